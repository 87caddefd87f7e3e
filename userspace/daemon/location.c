/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/location.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/effort.h"
#include "collect/answers.h"

#define LINKS_MAX 40 /* as the kernel's own (fs/namei.c, MAXSYMLINKS) */
#define TRIES_MAX 16 /* of a name that changes all the time */

struct walk {
	const struct answering *answering;
	location_seen_fn seen;
	void *data;
	int dir;
	int links;
	char rest[PATH_MAX]; /* what is still to be followed */
};

static bool is_same(int a, int b)
{
	struct stat x, y;

	if (a < 0 || b < 0)
		return a < 0 && b < 0;
	return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int ask(const struct walk *w, int fd)
{
	struct object_facts facts;

	return w->answering ? answers_look_named(w->answering, fd, &facts) : 0;
}

static int open_name(const struct walk *w, const char *name)
{
	int fd = effort_openat(w->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 && errno != ENOENT ? -errno : fd;
}

/*
 * *@ret: what has the name, -1 when nothing has; @ret_st is of it. It is the same before and after
 * somebody was told.
 */
static int look_up(struct walk *w, const char *name, int *ret, struct stat *ret_st)
{
	int err = ask(w, w->dir);

	for (int i = 0; !err && i < TRIES_MAX; i++) {
		_cleanup_close_ int fd = open_name(w, name), again = -1;

		if (fd < -1)
			return fd;
		err = fd >= 0 ? ask(w, fd) : 0;
		if (err)
			return err;
		if (fd >= 0 && fstat(fd, ret_st) < 0)
			return -errno;
		w->seen(w->data, w->dir, fd, fd >= 0 && S_ISDIR(ret_st->st_mode));
		again = open_name(w, name);
		if (!is_same(fd, again))
			continue;
		*ret = TAKE_FD(fd);
		return 0;
	}
	return err ?: -EAGAIN;
}

static void enter(struct walk *w, int fd)
{
	closep(&w->dir);
	w->dir = fd;
}

static int enter_root(struct walk *w)
{
	int fd = effort_open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	enter(w, fd);
	return 0;
}

/* Its target stands before what is left of the path. */
static int follow(struct walk *w, int link)
{
	char target[PATH_MAX], rest[PATH_MAX];
	ssize_t len = effort_readlinkat(link, "", target, sizeof(target));
	int n;

	if (len < 0)
		return -errno;
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	n = snprintf(rest, sizeof(rest), "%.*s%s%s", (int)len, target, *w->rest ? "/" : "",
		     w->rest);
	if (len == sizeof(target) || n >= (int)sizeof(rest))
		return -ENAMETOOLONG;
	memcpy(w->rest, rest, n + 1);
	return *target == '/' ? enter_root(w) : 0;
}

/* The next name of what is left: false when there is none. "." and empty ones say nothing. */
static bool next_name(struct walk *w, char ret[static NAME_MAX + 1], int *ret_err)
{
	const char *at = w->rest;
	size_t len;

	*ret_err = 0;
	do {
		at += strspn(at, "/");
		len = strcspn(at, "/");
		if (len > NAME_MAX) {
			*ret_err = -ENAMETOOLONG;
			return false;
		}
		memcpy(ret, at, len);
		ret[len] = '\0';
		at += len;
	} while (!strcmp(ret, "."));
	memmove(w->rest, at, strlen(at) + 1);
	return len;
}

static bool is_last(const struct walk *w)
{
	return !w->rest[strspn(w->rest, "/")];
}

static int up(struct walk *w)
{
	int fd = effort_openat(w->dir, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	enter(w, fd);
	return 0;
}

/* 1: the path ends here, and *@ret_file is what it leads to. */
static int step(struct walk *w, const char *name, int *ret_file)
{
	_cleanup_close_ int fd = -1;
	struct stat st = {};
	int err;

	if (!strcmp(name, ".."))
		return up(w);
	err = look_up(w, name, &fd, &st);
	if (err)
		return err;
	if (fd >= 0 && S_ISLNK(st.st_mode))
		return follow(w, fd);
	if (fd >= 0 && S_ISDIR(st.st_mode)) {
		enter(w, TAKE_FD(fd));
		return 0;
	}
	if (!is_last(w))
		return fd < 0 ? -ENOENT : -ENOTDIR;
	*ret_file = TAKE_FD(fd);
	return 1;
}

int location_find(const char *path, const struct answering *a, location_seen_fn seen, void *data,
		  struct location *ret)
{
	struct walk w = {.answering = a, .seen = seen, .data = data, .dir = -1};
	int err, file = -1;

	if (snprintf(w.rest, sizeof(w.rest), "%s", path) >= (int)sizeof(w.rest))
		return -ENAMETOOLONG;
	err = enter_root(&w);
	while (!err) {
		char name[NAME_MAX + 1];

		if (!next_name(&w, name, &err)) {
			err = err ?: -EISDIR;
			break;
		}
		err = step(&w, name, &file);
		if (err == 1) {
			*ret = (struct location){.dir = w.dir, .file = file};
			memcpy(ret->name, name, sizeof(name));
			return 0;
		}
	}
	closep(&w.dir);
	return err;
}

void location_clear(struct location *l)
{
	closep(&l->dir);
	closep(&l->file);
}
