/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/diskgroups.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/effort.h"

#define DEPTH_MAX 2
#define ENTRIES_MAX 4096

struct walk {
	struct disk_groups *groups;
	dev_t device; /* of /dev itself */
	unsigned int entries;
	bool all;
};

/*
 * Removable ones (floppies, optical discs) hold nothing that counts: the first can't be mounted as
 * a filesystem that does, the others can't be written in place. Desktops put people into their
 * groups.
 */
static bool is_disk(const struct stat *st)
{
	return S_ISBLK(st->st_mode) && major(st->st_rdev) != 2 && major(st->st_rdev) != 11;
}

static void add(struct walk *w, gid_t gid)
{
	struct disk_groups *g = w->groups;

	for (uint32_t i = 0; i < g->count; i++)
		if (g->gid[i] == gid)
			return;
	if (g->count == DISK_GROUPS_MAX)
		w->all = true;
	else
		g->gid[g->count++] = gid;
}

/*
 * Where others than root can make files (/dev/shm) there are as many as they like, and none of them
 * is a device: nobody else may fill the bound.
 */
static bool is_roots(const struct walk *w, const struct stat *st)
{
	return S_ISDIR(st->st_mode) && st->st_dev == w->device && st->st_uid == 0 &&
	       !(st->st_mode & (S_IWGRP | S_IWOTH));
}

static void look(struct walk *w, int dir, unsigned int depth)
{
	_cleanup_closedir_ DIR *d = effort_fdopendir(dir);
	const struct dirent *e;
	struct stat st;

	if (!d) {
		close(dir);
		return;
	}
	while ((e = effort_readdir(d))) {
		if (e->d_name[0] == '.' || fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (++w->entries > ENTRIES_MAX) {
			w->all = true;
			return;
		}
		if (is_roots(w, &st) && depth < DEPTH_MAX) {
			int below = effort_openat(dir, e->d_name,
						  O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

			if (below >= 0)
				look(w, below, depth + 1);
		}
		if (!is_disk(&st))
			continue;
		if (st.st_mode & S_IWGRP)
			add(w, st.st_gid);
		if (st.st_mode & S_IWOTH)
			w->all = true;
	}
}

void diskgroups_read(const char *dev, struct disk_groups *ret)
{
	struct disk_groups groups = {};
	struct walk w = {.groups = &groups};
	int dir = effort_open(dev, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (dir < 0 || fstat(dir, &st) < 0) {
		w.all = true;
		closep(&dir);
	} else {
		w.device = st.st_dev;
		look(&w, dir, 1);
	}
	if (w.all)
		groups.count = DISK_GROUPS_MAX + 1;
	*ret = groups;
}
