/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/marks.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "collect/mounts.h"
#include "collect/procroot.h"

#define NAMESPACES_MAX 64 /* more only cost another look */
#define LOOK_AGAIN_NS 1000000000ull

struct marks {
	int fanotify;
	bool any; /* maybe */
	unsigned int next;
	struct {
		ino_t ns;
		uint64_t looked_ns;
	} seen[NAMESPACES_MAX];
};

int marks_new(int fanotify, struct marks **ret)
{
	struct marks *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->fanotify = fanotify;
	*ret = m;
	return 0;
}

void marks_free(struct marks *m)
{
	free(m);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* True when it was looked at lately; else it counts as looked at from now on. */
static bool seen_lately(struct marks *m, ino_t ns)
{
	uint64_t now = now_ns();
	unsigned int i;

	for (i = 0; i < NAMESPACES_MAX; i++)
		if (m->seen[i].ns == ns)
			break;
	if (i < NAMESPACES_MAX && now - m->seen[i].looked_ns < LOOK_AGAIN_NS)
		return true;
	if (i == NAMESPACES_MAX)
		i = m->next++ % NAMESPACES_MAX;
	m->seen[i].ns = ns;
	m->seen[i].looked_ns = now;
	return false;
}

/*
 * The user namespace that owns a mount namespace is ours: nobody without privilege here mounted in
 * it.
 */
static bool owned_by_us(int ns)
{
	_cleanup_close_ int owner = ioctl(ns, NS_GET_USERNS);
	struct stat a, b;

	return owner >= 0 && fstat(owner, &a) == 0 && stat("/proc/self/ns/user", &b) == 0 &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/*
 * A marked filesystem is marked again: it costs little, and its device number may have become
 * another's. The mount point is in the kernel's memory, so that no lookup has to ask a server on
 * the way.
 */
static int mark(const struct marks *m, int root, const struct mount_line *line)
{
	_cleanup_close_ int fd = procroot_resolve(root, "/", line->point, true);
	char path[32];
	struct stat st;

	if (fd < 0)
		return fd == -EAGAIN || fd == -ENOENT ? 0 : fd;
	/*
	 * Another mount may cover it, or the path lead elsewhere by now. btrfs tells other numbers
	 * (subvolumes).
	 */
	if (strcmp(line->type, "btrfs") != 0 &&
	    (fstat(fd, &st) < 0 || st.st_dev != makedev(line->major, line->minor)))
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fanotify_mark(m->fanotify, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN_EXEC, AT_FDCWD,
			  path) < 0)
		return -errno;
	return 0;
}

static int mark_all(const struct marks *m, pid_t tgid, int ns)
{
	_cleanup_close_ int root = procroot_open(tgid);
	_cleanup_fclose_ FILE *f = mounts_open(tgid);
	_cleanup_free_ char *text = NULL;
	bool ours = owned_by_us(ns);
	struct mount_line line;
	size_t size = 0;
	int r, err = 0;

	if (root < 0 || !f)
		return -ESRCH;
	while (getline(&text, &size, f) > 0) {
		if (!mount_line_parse(text, &line) || !mounts_local(line.type))
			continue;
		if (strcmp(line.type, "overlay") == 0 && !ours &&
		    !mounts_have(line.major, line.minor))
			continue;
		r = mark(m, root, &line);
		err = err ?: r;
	}
	return err;
}

int marks_add(struct marks *m, pid_t tgid)
{
	_cleanup_close_ int ns = -1;
	char path[40];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", tgid);
	if (stat(path, &st) < 0)
		return -ESRCH;
	if (seen_lately(m, st.st_ino))
		return 0;
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0)
		return -ESRCH;
	m->any = true;
	return mark_all(m, tgid, ns);
}

int marks_remove_all(struct marks *m)
{
	if (!m->any)
		return 0;
	if (fanotify_mark(m->fanotify, FAN_MARK_FLUSH | FAN_MARK_FILESYSTEM, 0, AT_FDCWD, "/") < 0)
		return -errno;
	memset(m->seen, 0, sizeof(m->seen));
	m->any = false;
	return 0;
}
