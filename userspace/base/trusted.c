/* SPDX-License-Identifier: Apache-2.0 */
#include "base/trusted.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/magic.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"

#define LINKS_MAX 40 /* as the kernel's MAXSYMLINKS */
#define HERE (O_PATH | O_CLOEXEC | O_DIRECTORY)

static void name_descriptor(int fd, char ret[static 32])
{
	snprintf(ret, 32, "/proc/self/fd/%d", fd);
}

/* For messages: what is there, whatever way led to it. */
static void name_of(int fd, const char *otherwise, char *ret, size_t size)
{
	char link[32];
	ssize_t len;

	name_descriptor(fd, link);
	len = readlink(link, ret, size - 1);
	if (len > 0)
		ret[len] = '\0';
	else
		snprintf(ret, size, "%s", otherwise);
}

/* With an access list the group's bits are the most that any of those named in it may do. */
static bool has_access_list(int fd)
{
	char link[32];

	name_descriptor(fd, link);
	return getxattr(link, "system.posix_acl_access", NULL, 0) >= 0 ||
	       (errno != ENODATA && errno != EOPNOTSUPP);
}

/* Nobody but @owner, by whatever name, has that group. */
static bool group_is_own(uid_t owner, gid_t group)
{
	const struct passwd *user = getpwuid(owner);
	const struct group *g;
	bool own = user && user->pw_gid == group;

	setpwent();
	while (own && (user = getpwent()))
		own = user->pw_gid != group || user->pw_uid == owner;
	endpwent();
	g = own ? getgrgid(group) : NULL;
	for (char **member = g ? g->gr_mem : NULL; own && member && *member; member++) {
		user = getpwnam(*member);
		own = user && user->pw_uid == owner;
	}
	return own;
}

int trusted_check(int fd, const char *path, char *ret_why, size_t size)
{
	struct stat st;
	int err;

	if (fstat(fd, &st) < 0) {
		err = -errno;
		snprintf(ret_why, size, "%s: %s", path, strerror(-err));
		return err;
	}
	if (st.st_uid != 0 && st.st_uid != geteuid()) {
		snprintf(ret_why, size, "%s: belongs to user %u: chown it to root", path,
			 st.st_uid);
		return -EPERM;
	}
	if (S_ISLNK(st.st_mode) || !(st.st_mode & (S_IWGRP | S_IWOTH)) ||
	    (S_ISDIR(st.st_mode) && st.st_mode & S_ISVTX) ||
	    (!(st.st_mode & S_IWOTH) && !has_access_list(fd) &&
	     group_is_own(st.st_uid, st.st_gid)))
		return 0;
	snprintf(ret_why, size,
		 "%s: can be written by others than its owner (mode %04o): chmod go-w it", path,
		 st.st_mode & 07777);
	return -EPERM;
}

struct walk {
	int at; /* the directory reached */
	char rest[2 * PATH_MAX];
	unsigned int links;
	char *why;
	size_t size;
};

static int check(const struct walk *w, int fd, const char *name)
{
	char path[PATH_MAX];

	name_of(fd, name, path, sizeof(path));
	return trusted_check(fd, path, w->why, w->size);
}

static void go_to(struct walk *w, int directory)
{
	close(w->at);
	w->at = directory;
}

/* What is above a directory is where nobody walked: up to /, which is its own parent. */
static int check_above(const struct walk *w)
{
	_cleanup_close_ int at = dup(w->at);
	struct stat below, above;
	int err = at < 0 ? -errno : check(w, at, ".");

	while (!err) {
		int up = openat(at, "..", HERE);

		if (up < 0 || fstat(at, &below) < 0 || fstat(up, &above) < 0)
			err = -errno;
		close(at);
		at = up;
		if (err || (below.st_dev == above.st_dev && below.st_ino == above.st_ino))
			break;
		err = check(w, at, "..");
	}
	return err;
}

static int begin(struct walk *w, int dir, const char *path)
{
	const bool absolute = *path == '/';

	if (strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	strcpy(w->rest, path);
	w->at = openat(absolute ? AT_FDCWD : dir, absolute ? "/" : ".", HERE);
	return w->at < 0 ? -errno : check_above(w);
}

/* The link's text comes before what is left to walk. */
static int follow(struct walk *w, int link)
{
	char to[2 * PATH_MAX];
	ssize_t len = readlinkat(link, "", to, PATH_MAX - 1);
	int root;

	if (len < 0)
		return -errno;
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	to[len] = '\0';
	if (len + 1 + strlen(w->rest) >= sizeof(w->rest))
		return -ENAMETOOLONG;
	if (*to == '/') {
		root = open("/", HERE);
		if (root < 0)
			return -errno;
		go_to(w, root);
	}
	to[len++] = '/';
	strcpy(to + len, w->rest);
	strcpy(w->rest, to);
	return 0;
}

/* A descriptor of this very process, as of a shell's <(...): nobody else put it there. */
static bool is_own_descriptor(int link)
{
	struct statfs fs;

	return fstatfs(link, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

static int open_last(const struct walk *w, int found, const char *name, int flags)
{
	_cleanup_close_ int fd = openat(w->at, name, flags | O_CLOEXEC | O_NOFOLLOW);
	struct stat checked, opened;

	if (fd < 0 || fstat(found, &checked) < 0 || fstat(fd, &opened) < 0)
		return -errno;
	return checked.st_dev == opened.st_dev && checked.st_ino == opened.st_ino ? TAKE_FD(fd)
										   : -EAGAIN;
}

/* One name: 0 and the walk goes on, or the descriptor + 1, or a negative errno. */
static int step(struct walk *w, char *name, bool last, int flags)
{
	_cleanup_close_ int found = openat(w->at, name, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	int err;

	if (found < 0 || fstat(found, &st) < 0)
		return -errno;
	err = check(w, found, name);
	if (err)
		return err;
	if (S_ISLNK(st.st_mode) && is_own_descriptor(found) && last) {
		int fd = openat(w->at, name, flags | O_CLOEXEC);

		return fd < 0 ? -errno : fd + 1;
	}
	if (S_ISLNK(st.st_mode))
		return follow(w, found);
	if (last) {
		int fd = open_last(w, found, name, flags);

		return fd < 0 ? fd : fd + 1;
	}
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	go_to(w, TAKE_FD(found));
	return 0;
}

static int walk(struct walk *w, int flags)
{
	int err = 0;

	while (!err) {
		char name[NAME_MAX + 1], *at = w->rest + strspn(w->rest, "/");
		const size_t len = strcspn(at, "/");
		bool last;

		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, at, len);
		name[len] = '\0';
		at += len;
		last = !at[strspn(at, "/")];
		memmove(w->rest, at, strlen(at) + 1);
		/* "" is what is left behind a slash at the end. */
		err = step(w, len ? name : (char[]){"."}, last, flags);
	}
	return err > 0 ? err - 1 : err;
}

/*
 * A directory that is opened is for files of ours: in a sticky one nobody replaces those, but others
 * put theirs where ours are to be.
 */
static int check_use(const struct walk *w, int fd)
{
	char path[PATH_MAX];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!(st.st_mode & S_ISVTX) || !(st.st_mode & (S_IWGRP | S_IWOTH)))
		return 0;
	name_of(fd, ".", path, sizeof(path));
	snprintf(w->why, w->size,
		 "%s: others can put files there (mode %04o): chmod go-w it, or take one below it",
		 path, st.st_mode & 07777);
	return -EPERM;
}

int trusted_open(int dir, const char *path, int flags, char *ret_why, size_t size)
{
	struct walk w = {.at = -1, .why = ret_why, .size = size};
	int fd, err;

	*ret_why = '\0';
	fd = *path ? begin(&w, dir, path) : -ENOENT;
	fd = fd ?: walk(&w, flags);
	err = fd >= 0 && flags & O_DIRECTORY ? check_use(&w, fd) : 0;
	if (err) {
		close(fd);
		fd = err;
	}
	if (w.at >= 0)
		close(w.at);
	if (fd < 0 && !*ret_why)
		snprintf(ret_why, size, "%s: %s", path, strerror(-fd));
	return fd;
}
