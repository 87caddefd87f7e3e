/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forge_store upper-write|upper-map|memfd-write|memfd-map FILE DIRECTORY: executes FILE in a way
 * that leaves it open to stores, and stores into it while it runs. What the child says is
 * forge_victim's.
 *
 * upper-*: FILE's directory is the upper layer of an overlay of one's own, with DIRECTORY for all
 * the rest (lower, work and merged are in it), and the store goes to the upper file: by write(2),
 * or through a mapping that was dirtied before. memfd-*: FILE is copied into one.
 */
#include "memory.h"

#include <libgen.h>
#include <sys/mount.h>

static void overlay(const char *upper, const char *place)
{
	char options[4096], merged[2048];

	own_namespaces(CLONE_NEWNS);
	snprintf(merged, sizeof(merged), "%s/merged", place);
	snprintf(options, sizeof(options),
		 "lowerdir=%s/lower,upperdir=%s,workdir=%s/work,userxattr", place, upper, place);
	if (mount("forge", merged, "overlay", 0, options))
		skip("no overlay for an unprivileged user: %m");
}

/* A dirty page takes further stores without a trace until it is written out. */
static char *map_dirty(int fd, const struct mark *m)
{
	volatile char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, m->at);

	if (page == MAP_FAILED)
		err(1, "mmap");
	page[PAGE - 1] = page[PAGE - 1];
	return (char *)page;
}

int main(int argc, char **argv)
{
	struct child child;
	char *directory, merged[2048], *page = NULL;
	int fd, in_memory, mapped;
	struct mark m;

	usage_unless(argc == 4,
		     "forge_store upper-write|upper-map|memfd-write|memfd-map FILE DIRECTORY");
	in_memory = !strncmp(argv[1], "memfd", 5);
	mapped = !strcmp(strchr(argv[1], '-'), "-map");
	mark_find(argv[2], &m);
	directory = dirname(strdup(argv[2]));
	snprintf(merged, sizeof(merged), "%s/merged/%s", argv[3], basename(strdup(argv[2])));
	if (!in_memory)
		overlay(directory, argv[3]);
	fd = in_memory ? memory_copy(argv[2]) : open(argv[2], O_RDWR | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", argv[2]);
	if (mapped)
		page = map_dirty(fd, &m);
	child_start(&child, in_memory ? fd : -1, in_memory ? argv[2] : merged);
	if (mapped)
		page[MARK_STATE] = 'B';
	else
		mark_store(fd, &m);
	return child_end(&child);
}
