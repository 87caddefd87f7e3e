// SPDX-License-Identifier: Apache-2.0
#include "collect/pins.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "collect/why.h"

struct pins {
	char *dir;
	int fd;
};

DEFINE_CLEANUP(struct pins *, pins_close)

void pins_close(struct pins *p)
{
	if (!p)
		return;
	if (p->fd >= 0)
		close(p->fd);
	free(p->dir);
	free(p);
}

/*
 * Whoever removes the directory while we wait for its lock leaves us with one that nobody else will
 * ever find.
 */
static bool still_there(const struct pins *p)
{
	struct stat ours, now;

	return !fstat(p->fd, &ours) && !stat(p->dir, &now) && ours.st_dev == now.st_dev &&
	       ours.st_ino == now.st_ino;
}

static int open_and_lock(struct pins *p, char *why, size_t why_size)
{
	struct statfs fs;
	struct stat st;

	p->fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->fd < 0)
		return why_errno(why, why_size, "%s", p->dir);
	if (fstatfs(p->fd, &fs) || fstat(p->fd, &st))
		return why_errno(why, why_size, "%s", p->dir);
	if (fs.f_type != BPF_FS_MAGIC)
		return why_say(why, why_size, -ENOENT,
			       "%s is not on a BPF filesystem: mount -t bpf bpf /sys/fs/bpf",
			       p->dir);
	/* Who can write there takes pins away, or puts others in their place. */
	if (st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
		return why_say(why, why_size, -EPERM,
			       "%s belongs to user %u with mode %04o: others must not write there",
			       p->dir, st.st_uid, st.st_mode & 07777);
	if (flock(p->fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? why_say(why, why_size, -EBUSY,
						      "%s is held by another daemon", p->dir)
					    : why_errno(why, why_size, "can't lock %s", p->dir);
	return 0;
}

int pins_open(const char *dir, bool create, struct pins **ret, char *why, size_t why_size)
{
	_cleanup_(pins_closep) struct pins *p = NULL;
	int err;

	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->fd = -1;
	p->dir = strdup(dir);
	if (!p->dir)
		return -ENOMEM;
	if (create && mkdir(dir, 0700) && errno != EEXIST)
		return why_errno(why, why_size, "can't make %s", dir);
	err = open_and_lock(p, why, why_size);
	if (err)
		return err;
	if (!still_there(p))
		return why_say(why, why_size, -EBUSY, "%s was removed just now: try again", dir);
	*ret = TAKE_PTR(p);
	return 0;
}

static int pin_path(const struct pins *p, const char *kind, const char *name,
		    char ret[static PATH_MAX])
{
	int len = snprintf(ret, PATH_MAX, "%s/%s_%s", p->dir, kind, name);

	return len < 0 || len >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int pins_get(const struct pins *p, const char *kind, const char *name)
{
	char path[PATH_MAX];
	int err, fd;

	err = pin_path(p, kind, name, path);
	if (err)
		return err;
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

int pins_put(const struct pins *p, const char *kind, const char *name, int fd)
{
	char path[PATH_MAX];
	int err;

	err = pin_path(p, kind, name, path);
	if (err)
		return err;
	return bpf_obj_pin(fd, path) ? -errno : 0;
}

int pins_remove(const struct pins *p, const char *kind, const char *name)
{
	char path[PATH_MAX];
	int err;

	err = pin_path(p, kind, name, path);
	if (err)
		return err;
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

static bool same_shape(const struct bpf_map *map, const struct bpf_map_info *info)
{
	return info->type == bpf_map__type(map) && info->key_size == bpf_map__key_size(map) &&
	       info->value_size == bpf_map__value_size(map) &&
	       info->map_flags == bpf_map__map_flags(map);
}

int pins_look(const struct pins *p, const struct bpf_map *map)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);
	_cleanup_close_ int fd = -1;

	fd = pins_get(p, "map", bpf_map__name(map));
	if (fd < 0)
		return fd;
	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	return same_shape(map, &info) ? 0 : -ESTALE;
}

int pins_reuse_map(const struct pins *p, struct bpf_map *map, char *why, size_t why_size)
{
	const char *name = bpf_map__name(map);
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);
	_cleanup_close_ int fd = -1;

	fd = pins_get(p, "map", name);
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return why_say(why, why_size, fd, "%s/map_%s: %s", p->dir, name, strerror(-fd));
	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return why_errno(why, why_size, "%s/map_%s", p->dir, name);
	if (!same_shape(map, &info))
		return why_say(
			why, why_size, -ESTALE,
			"%s/map_%s is of an incompatible version: run 'affiant uninstall-bpf', which ends "
			"the sessions that are tracked now",
			p->dir, name);
	return bpf_map__reuse_fd(map, fd) ? why_errno(why, why_size, "%s/map_%s", p->dir, name) : 0;
}

static int sweep_kind(const struct pins *p, const char *kind,
		      bool (*keep)(const char *kind, const char *name))
{
	_cleanup_closedir_ DIR *d = opendir(p->dir);
	size_t len = strlen(kind);
	struct dirent *entry;
	int err = 0;

	if (!d)
		return -errno;
	while ((entry = readdir(d))) {
		const char *name = entry->d_name;

		if (strncmp(name, kind, len) || name[len] != '_' ||
		    (keep && keep(kind, name + len + 1)))
			continue;
		if (unlinkat(dirfd(d), name, 0) && errno != ENOENT)
			err = -errno;
	}
	return err;
}

int pins_sweep(const struct pins *p, bool (*keep)(const char *kind, const char *name))
{
	static const char *const kinds[] = {"link", "prog", "map"};
	int err = 0;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds) && !err; i++)
		err = sweep_kind(p, kinds[i], keep);
	return err;
}

int pins_remove_directory(const struct pins *p)
{
	return rmdir(p->dir) ? -errno : 0;
}
