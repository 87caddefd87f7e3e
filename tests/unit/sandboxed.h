/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandboxed: a process behind the daemon's own system call filter, with what its functions are to
 * decide about: processes, cgroups, files and sockets that are there, and others that are gone.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "collect/aside.h"
#include "collect/cgroup.h"
#include "collect/chain.h"
#include "collect/hostmounts.h"
#include "collect/source.h"
#include "daemon/interrupt.h"
#include "daemon/privileges.h"
#include "scratch.h"

#define OTHER_USER 65534

struct place {
	char dir[32];
	int dirfd;
	struct source *source;
	char pins[64];
	pid_t live, dead;
	int live_fd, dead_fd;     /* pidfds */
	int live_proc;            /* /proc/PID */
	int listener;             /* "socket" in the directory, nobody waits */
	int notify;               /* "notify" */
	int live_peer, dead_peer; /* accepted from it */
	struct cgroup_names *cgroups;
	char cgroup[32]; /* the live one's name */
	uint64_t live_cgroup, dead_cgroup;
	/* of the process in the sandbox: they have threads */
	struct interrupt *interrupt;
	struct aside *aside;
	struct hostmounts *mounts;
	struct chain *chain;
	int watched; /* what chain_watch() came to */
	char why[512];
};

static inline int place_bind(const struct place *p, const char *name, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	snprintf(to.sun_path, sizeof(to.sun_path), "%s/%s", p->dir, name);
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static inline int place_connect(const struct place *p)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	snprintf(to.sun_path, sizeof(to.sun_path), "%s/socket", p->dir);
	return connect(fd, (struct sockaddr *)&to, sizeof(to)) ? -errno : fd;
}

/* A process that connects, and waits until it is killed. */
static inline pid_t place_process(struct place *p, int *ret_pidfd, int *ret_peer)
{
	int told[2];
	pid_t pid;
	char c;

	if (pipe(told))
		return -errno;
	pid = fork();
	if (!pid) {
		(void)!write(told[1], place_connect(p) < 0 ? "n" : "y", 1);
		for (;;)
			pause();
	}
	if (read(told[0], &c, 1) != 1 || c != 'y')
		return -EIO;
	close(told[0]);
	close(told[1]);
	*ret_pidfd = syscall(SYS_pidfd_open, pid, 0);
	*ret_peer = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
	return pid;
}

static inline uint64_t place_cgroup(const struct place *p, bool keep)
{
	int root = source_cgroup_fd(p->source);
	struct stat st = {};

	if (mkdirat(root, p->cgroup, 0755) || fstatat(root, p->cgroup, &st, 0))
		return 0;
	return keep || !unlinkat(root, p->cgroup, AT_REMOVEDIR) ? st.st_ino : 0;
}

static inline void place_file(const struct place *p, const char *name, mode_t mode, uid_t owner)
{
	int fd = openat(p->dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, "hello", 5), 5);
	assert_int_equal(fchown(fd, owner, owner), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static inline bool place_wants(void *context, pid_t tgid)
{
	(void)context, (void)tgid;
	return true;
}

static inline int place_identify(void *context, int fd, struct object_id *ret)
{
	return source_object_id(((struct place *)context)->source, fd, ret);
}

static inline void place_make(struct place *p)
{
	char path[64];

	strcpy(p->dir, "/tmp/affiant-sandboxed-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	assert_int_equal(chmod(p->dir, 0755), 0);
	p->dirfd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	place_file(p, "plain", 0644, 0);
	place_file(p, "private", 0600, 0);
	place_file(p, "theirs", 0600, OTHER_USER);
	assert_int_equal(mkfifoat(p->dirfd, "fifo", 0600), 0);
	p->listener = place_bind(p, "socket", SOCK_STREAM);
	assert_int_equal(listen(p->listener, 16), 0);
	p->notify = place_bind(p, "notify", SOCK_DGRAM);
	p->live = place_process(p, &p->live_fd, &p->live_peer);
	p->dead = place_process(p, &p->dead_fd, &p->dead_peer);
	assert_true(p->live > 0 && p->dead > 0);
	snprintf(path, sizeof(path), "/proc/%d", p->live);
	p->live_proc = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	kill(p->dead, SIGKILL);
	assert_int_equal(waitpid(p->dead, NULL, 0), p->dead);
	snprintf(p->pins, sizeof(p->pins), "/sys/fs/bpf/affiant-test-%d", getpid());
	snprintf(p->cgroup, sizeof(p->cgroup), "affiant-test-%d-sandboxed", getpid());
}

/* Returns 0, or why this kernel or its sandbox can't have it: @p->why. */
static inline int place_open(struct place *p)
{
	const struct source_config source = {
		.pin_dir = p->pins, .ring_bytes = 1 << 16, .max_tags = 64};
	char path[PATH_MAX], link[64];
	ssize_t n;
	int err;

	err = source_open(&source, &p->source, p->why, sizeof(p->why))
		      ?: source_attach(p->source, 0, p->why, sizeof(p->why));
	if (err)
		return err;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", source_cgroup_fd(p->source));
	n = readlink(link, path, sizeof(path) - 1);
	path[n < 0 ? 0 : n] = '\0';
	p->dead_cgroup = place_cgroup(p, false);
	p->live_cgroup = place_cgroup(p, true);
	assert_true(p->live_cgroup && p->dead_cgroup);
	err = cgroup_names_new(path, &p->cgroups);
	if (err)
		snprintf(p->why, sizeof(p->why), "set-up: %s", strerror(-err));
	return err;
}

/* By the parent, which gave up nothing. */
static inline void place_remove(struct place *p)
{
	char why[512];

	kill(p->live, SIGKILL);
	waitpid(p->live, NULL, 0);
	if (p->source)
		unlinkat(source_cgroup_fd(p->source), p->cgroup, AT_REMOVEDIR);
	cgroup_names_free(p->cgroups);
	source_close(p->source);
	if (!access(p->pins, F_OK))
		assert_int_equal(source_uninstall(p->pins, why, sizeof(why)), 0);
	close(p->dirfd);
	assert_int_equal(scratch_remove(p->dir), 0);
}

/* ---- what is asked ---- */

struct check {
	const char *what;
	int (*ask)(struct place *p); /* what the function says: 0, or -errno */
	int want;
};

#define UNASKED (-100000) /* the process ended before */

static inline void place_watched(void *place, uint64_t token, int err)
{
	(void)token;
	((struct place *)place)->watched = err;
}

/* As the daemon does before it gives up its rights. */
static inline int place_start(struct place *p)
{
	struct chain_config chain = {.wanted = place_wants,
				     .identify = place_identify,
				     .context = p,
				     .queue_max = 16,
				     .watched = place_watched};
	int err = interrupt_new(&p->interrupt) ?: aside_new(&p->aside) ?: hostmounts_new(&p->mounts);

	chain.aside = p->aside;
	chain.mounts = p->mounts;
	return err ?: chain_new(&chain, &p->chain);
}

/* In a process of its own, which becomes what the daemon is once it is up. Returns its wait status. */
static inline int place_ask(struct place *p, const struct check *checks, size_t count, int *answers)
{
	int status = -1;
	/* One thread: fork(2) of ThreadSanitizer's has two. */
	pid_t pid = _Fork();

	if (!pid) {
		for (int i = 0; i < 2; i++) /* not cmocka's: a crash is one */
			signal(i ? SIGSEGV : SIGBUS, SIG_DFL);
		if (privileges_limit() || place_start(p) || privileges_drop())
			_exit(200);
		for (size_t i = 0; i < count; i++)
			answers[i] = checks[i].ask(p);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static inline void place_check(struct place *p, const struct check *checks, size_t count)
{
	int *answers = mmap(NULL, count * sizeof(*answers), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	size_t wrong = 0;
	int status;

	for (size_t i = 0; i < count; i++)
		answers[i] = UNASKED;
	status = place_ask(p, checks, count, answers);
	for (size_t i = 0; i < count; i++) {
		if (answers[i] == checks[i].want)
			continue;
		wrong++;
		if (answers[i] == UNASKED)
			print_error("%s: the process ended there (wait status %#x)\n",
				    checks[i].what, status);
		else
			print_error("%s: %d (%s), not %d\n", checks[i].what, answers[i],
				    answers[i] < 0 ? strerror(-answers[i]) : "-", checks[i].want);
	}
	munmap(answers, count * sizeof(*answers));
	assert_int_equal(wrong, 0);
	assert_int_equal(status, 0);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOXED_SANITIZED 1
#else
#define SANDBOXED_SANITIZED 0
#endif

/* Group set-up and its end. Without the rights or the kernel all tests of the group skip. */
static inline int place_setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	*state = p;
	/* A sanitizer's own calls are allowed to it, so that its answers would say nothing. */
	if (SANDBOXED_SANITIZED)
		snprintf(p->why, sizeof(p->why),
			 "the filter of a build with a sanitizer is wider: the release build tells");
	else if (geteuid())
		snprintf(p->why, sizeof(p->why), "only root has privileges to drop");
	if (*p->why)
		return 0;
	place_make(p);
	if (!place_open(p))
		*p->why = '\0';
	return 0;
}

static inline int place_teardown(void **state)
{
	struct place *p = *state;

	if (*p->dir)
		place_remove(p);
	free(p);
	return 0;
}

static inline struct place *place_get(void **state)
{
	struct place *p = *state;

	if (*p->why) {
		print_message("[  REASON  ] %s\n", p->why);
		skip();
	}
	return p;
}
