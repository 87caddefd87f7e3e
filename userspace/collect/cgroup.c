/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <uthash.h>

#include "base/cleanup.h"
#include "base/effort.h"

/* A cgroup's file handle is its id (FILEID_KERNFS, include/linux/exportfs.h). */
#define FILEID_KERNFS 0xfe
#define CACHE_MAX 1024

struct name {
	UT_hash_handle hh;
	uint64_t id;
	struct cgroup_name known;
	char path[];
};

struct cgroup_names {
	int root;
	char root_path[PATH_MAX]; /* "" when it is "/" */
	struct name *names;       /* the least used first */
};

static int fd_path(int fd, char ret[static PATH_MAX])
{
	char link[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, ret, PATH_MAX - 1);
	if (n < 0)
		return -errno;
	ret[n] = '\0';
	return 0;
}

int cgroup_names_new(const char *root, struct cgroup_names **ret)
{
	struct cgroup_names *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->root = effort_open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = c->root < 0 ? -errno : fd_path(c->root, c->root_path);
	if (err) {
		cgroup_names_free(c);
		return err;
	}
	if (!strcmp(c->root_path, "/"))
		c->root_path[0] = '\0';
	*ret = c;
	return 0;
}

void cgroup_names_free(struct cgroup_names *c)
{
	struct name *n, *next;

	if (!c)
		return;
	HASH_ITER (hh, c->names, n, next) {
		HASH_DEL(c->names, n);
		free(n);
	}
	closep(&c->root);
	free(c);
}

/* NULL when @path is not below the root: the kernel gave a cgroup that no mount of ours shows. */
static const char *below_root(const struct cgroup_names *c, const char *path)
{
	size_t len = strlen(c->root_path);

	if (strncmp(path, c->root_path, len) || (path[len] && path[len] != '/'))
		return NULL;
	return path[len] ? path + len : "/";
}

/*
 * Whether every directory of the first @len bytes of @path, and the root, takes new cgroups from
 * root alone. Asked while the cgroup is there, which holds all above it in place.
 */
static bool only_root_makes(const struct cgroup_names *c, const char *path, size_t len)
{
	char part[PATH_MAX];
	struct stat st;
	size_t at = 0;

	if (len >= sizeof(part))
		return false;
	while (true) {
		snprintf(part, sizeof(part), ".%.*s", (int)at, path);
		if (fstatat(c->root, part, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_uid ||
		    st.st_mode & (S_IWGRP | S_IWOTH))
			return false;
		if (at >= len)
			return true;
		at += 1 + strcspn(path + at + 1, "/");
	}
}

static struct name *look_up(struct cgroup_names *c, uint64_t id)
{
	struct {
		struct file_handle h;
		uint64_t id;
	} handle = {.h = {.handle_bytes = sizeof(id), .handle_type = FILEID_KERNFS}};
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	char container[CONTAINER_ID_SIZE];
	const char *below;
	struct name *n;
	size_t above;

	memcpy(handle.h.f_handle, &id, sizeof(id));
	fd = open_by_handle_at(c->root, &handle.h, O_PATH | O_CLOEXEC);
	if (fd < 0 || fd_path(fd, path))
		return NULL;
	below = below_root(c, path);
	if (!below)
		return NULL;
	n = malloc(sizeof(*n) + strlen(below) + 1);
	if (!n)
		return NULL;
	n->id = id;
	strcpy(n->path, below);
	above = cgroup_container(below, container);
	n->known = (struct cgroup_name){
		.path = n->path,
		.container_root = *container && only_root_makes(c, below, above),
	};
	return n;
}

const struct cgroup_name *cgroup_name(struct cgroup_names *c, uint64_t id)
{
	struct name *n;

	HASH_FIND(hh, c->names, &id, sizeof(id), n);
	if (n) {
		/* Move to the young end: the oldest goes when the cache is full. */
		HASH_DEL(c->names, n);
	} else {
		n = look_up(c, id);
		if (!n)
			return NULL;
	}
	if (HASH_COUNT(c->names) >= CACHE_MAX) {
		struct name *oldest = c->names;

		HASH_DEL(c->names, oldest);
		free(oldest);
	}
	HASH_ADD(hh, c->names, id, sizeof(n->id), n);
	return &n->known;
}

size_t cgroup_container(const char *path, char ret[static CONTAINER_ID_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	size_t above = 0, at = 0;

	ret[0] = '\0';
	for (; path[at]; at++) {
		size_t n = strspn(path + at, digits);

		if (n == CONTAINER_ID_SIZE - 1) {
			memcpy(ret, path + at, n);
			ret[n] = '\0';
		}
		at += n;
		if (path[at] == '/' && *ret)
			break;
		if (path[at] == '/')
			above = at;
		if (!path[at])
			break;
	}
	return above;
}
