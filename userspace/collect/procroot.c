/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/procroot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/effort.h"
#include "collect/answers.h"

#define DEPTH_MAX 128
#define LINKS_MAX 40 /* as the kernel's own (MAXSYMLINKS) */

int procroot_open(pid_t tgid)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/root", tgid);
	fd = effort_open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return fd;
}

static int join(const char *cwd, const char *path, char ret[static PATH_MAX])
{
	int len = path[0] == '/' ? snprintf(ret, PATH_MAX, "%s", path)
				 : snprintf(ret, PATH_MAX, "%s/%s", cwd, path);

	return len < 0 || len >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int procroot_resolve(int root, const char *cwd, const char *path, bool cached)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (cached ? RESOLVE_CACHED : 0),
	};
	char whole[PATH_MAX];
	int fd = join(cwd, path, whole);

	if (fd < 0)
		return fd;
	fd = syscall(SYS_openat2, root, whole, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

/*
 * Name by name, as the kernel would: what it does between two names, nobody can be asked before.
 * @at: the directories down to where it is, which ".." goes back through.
 */
struct walk {
	const struct answering *answering;
	int root; /* borrowed */
	int at[DEPTH_MAX];
	unsigned int depth;
	unsigned int links;
	char rest[PATH_MAX]; /* that is still to be gone */
};

static void up(struct walk *w, unsigned int to)
{
	while (w->depth > to)
		close(w->at[--w->depth]);
}

static int where(const struct walk *w)
{
	return w->depth ? w->at[w->depth - 1] : w->root;
}

/* Takes the next name off; false: there is none. */
static bool next_name(struct walk *w, char ret[static NAME_MAX + 1], int *ret_err)
{
	const char *from = w->rest + strspn(w->rest, "/");
	size_t len = strcspn(from, "/");

	*ret_err = len > NAME_MAX ? -ENAMETOOLONG : 0;
	if (!len || *ret_err)
		return false;
	memcpy(ret, from, len);
	ret[len] = '\0';
	memmove(w->rest, from + len, strlen(from + len) + 1);
	return true;
}

/* What the link says stands before what is still to be gone. */
static int follow(struct walk *w, int link)
{
	char target[PATH_MAX], whole[PATH_MAX];
	ssize_t len = effort_readlinkat(link, "", target, sizeof(target) - 1);

	if (len < 0)
		return -errno;
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	target[len] = '\0';
	len = snprintf(whole, sizeof(whole), "%s/%s", target, w->rest);
	if (len < 0 || (size_t)len >= sizeof(whole))
		return -ENAMETOOLONG;
	if (target[0] == '/')
		up(w, 0);
	strcpy(w->rest, whole);
	return 0;
}

/* Into a directory, or to the file at the end: 1, and *@ret_fd. */
static int enter(struct walk *w, const char *name, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	struct object_facts facts;
	int err;

	err = answers_look(w->answering, where(w), &facts);
	if (err)
		return err;
	fd = effort_openat(where(w), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = answers_look(w->answering, fd, &facts);
	if (!err && S_ISLNK(facts.guard.mode))
		return follow(w, fd);
	if ((!err || err == -EREMOTE) && !w->rest[strspn(w->rest, "/")]) {
		*ret_fd = TAKE_FD(fd);
		return 1;
	}
	if (err)
		return err;
	if (!S_ISDIR(facts.guard.mode))
		return -ENOTDIR;
	if (w->depth == DEPTH_MAX)
		return -ELOOP;
	w->at[w->depth++] = TAKE_FD(fd);
	return 0;
}

static int walk_on(struct walk *w)
{
	char name[NAME_MAX + 1];
	int err, fd = -1;

	while (next_name(w, name, &err)) {
		if (!strcmp(name, "."))
			continue;
		if (!strcmp(name, "..")) {
			up(w, w->depth ? w->depth - 1 : 0);
			continue;
		}
		err = enter(w, name, &fd);
		if (err)
			return err < 0 ? err : fd;
	}
	if (err)
		return err;
	fd = fcntl(where(w), F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? -errno : fd;
}

int procroot_walk(int root, const char *cwd, const char *path, const struct answering *a)
{
	_cleanup_free_ struct walk *w = calloc(1, sizeof(*w));
	int fd;

	if (!w)
		return -ENOMEM;
	w->answering = a;
	w->root = root;
	fd = join(cwd, path, w->rest) ?: walk_on(w);
	up(w, 0);
	return fd;
}
