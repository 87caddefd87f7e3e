/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forge: what the programs share that make a file say something else than what ran of it.
 *
 * Every victim has a page of its own among its constants: which bytes a file holds is told by one
 * byte of it, 'A' at first, 'B' after the forgery. All else is equal, so that a victim goes on
 * whatever is stored below it. tests/e2e writes a number into the page as well: no two victims have
 * a digest in common.
 */
#pragma once

#include "program.h"

#include <linux/prctl.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PAGE 4096
#define MARK_STATE 32 /* where 'A' becomes 'B' */
#define MARK_TEXT "affiant-forge-mark: these bytes A"

/* volatile: what the file holds now is read, whatever the compiler knows. */
static const volatile char mark[PAGE] __attribute__((aligned(PAGE), used)) = MARK_TEXT;

/* The page of a victim's file, and where it lies. */
struct mark {
	char page[PAGE] __attribute__((aligned(PAGE)));
	off_t at;
};

static inline void mark_find(const char *path, struct mark *ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		err(1, "%s", path);
	for (ret->at = 0; pread(fd, ret->page, PAGE, ret->at) == PAGE; ret->at += PAGE) {
		if (!memcmp(ret->page, MARK_TEXT, MARK_STATE)) {
			close(fd);
			return;
		}
	}
	errx(1, "%s has no mark", path);
}

static inline void mark_store(int fd, const struct mark *m)
{
	static const char after = 'B';

	if (pwrite(fd, &after, 1, m->at + MARK_STATE) != 1)
		err(1, "pwrite");
}

static inline void say(const char *word)
{
	puts(word);
	fflush(stdout);
}

static inline void signal_byte(int fd)
{
	if (write(fd, "", 1) != 1)
		err(1, "write");
}

static inline void await_byte(int fd)
{
	char byte;

	if (read(fd, &byte, 1) != 1)
		exit(0); /* who would have said so is gone */
}

/*
 * Until nobody has the other end of the input. What else can be read is for others that share it:
 * each takes its own byte.
 */
static inline void await_end(void)
{
	struct pollfd input = {.fd = STDIN_FILENO};
	struct stat st;

	if (fstat(STDIN_FILENO, &st) || !S_ISFIFO(st.st_mode))
		return;
	while (poll(&input, 1, -1) >= 0 && !input.revents)
		;
}

static inline void pipe_of(int ends[2])
{
	if (pipe(ends))
		err(1, "pipe");
}

static inline void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd))
		err(1, "%s", path);
}

/*
 * A user namespace of one's own, in which one is root: any mount may be made in a mount namespace
 * of it.
 */
static inline void own_namespaces(int flags)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char map[64];

	if (unshare(CLONE_NEWUSER | flags))
		skip("no user namespace for an unprivileged user: %m");
	write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %d 1", uid);
	write_file("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "0 %d 1", gid);
	write_file("/proc/self/gid_map", map);
}

/*
 * A child that executes a victim (by NAME, or by FD under that name, unless it is -1), which then
 * says so to the test.
 */
struct child {
	pid_t pid;
	int go[2], done[2];
};

/*
 * The child waits for the test's word before it has the forgery done: by its parent, which returns.
 */
static inline void child_start(struct child *c, int fd, const char *name)
{
	char go[16], done[16], link[32];

	pipe_of(c->go);
	pipe_of(c->done);
	snprintf(go, sizeof(go), "%d", c->go[1]);
	snprintf(done, sizeof(done), "%d", c->done[0]);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	c->pid = fork();
	switch (c->pid) {
	case -1:
		err(1, "fork");
	case 0:
		execl(fd < 0 ? name : link, name, "image", go, done, NULL);
		err(1, "%s", name);
	default:
		close(c->go[1]);
		close(c->done[0]);
		await_byte(c->go[0]);
	}
}

static inline int child_end(struct child *c)
{
	int status;

	signal_byte(c->done[1]);
	if (waitpid(c->pid, &status, 0) < 0)
		err(1, "wait");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
