/* SPDX-License-Identifier: Apache-2.0 */
/* chain_bed: real execs, as root, in a directory of their own, and a chain that is told of them. */
#pragma once

#include "collect/chain.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/effort.h"
#include "collect/aside.h"
#include "collect/elfnote.h"
#include "collect/hostmounts.h"
#include "collect/mounts.h"
#include "scratch.h"

static char dir[] = "/tmp/affiant-chain-XXXXXX";
static pid_t wanted_child;
static bool wanted_never;

static inline bool wanted(void *context, pid_t tgid)
{
	(void)context;
	return !wanted_never && tgid == wanted_child;
}

static inline int identify(void *context, int fd, struct object_id *ret)
{
	struct statfs fs;
	struct stat st;

	(void)context;
	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return -errno;
	*ret = (struct object_id){
		.inode = st.st_ino,
		.device = major(st.st_dev) << 20 | minor(st.st_dev),
		.magic = fs.f_type,
	};
	return 0;
}

static inline const char *path_of(const char *name)
{
	static char path[8][PATH_MAX];
	static unsigned int turn;
	char *p = path[turn++ % 8];

	snprintf(p, PATH_MAX, "%s/%s", dir, name);
	return p;
}

static inline void make_script(const char *name, const char *text)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* It begins in the loader that it asks for. */
static inline void set_begin(struct event_exec *e, const char *exe)
{
	int fd = open(exe, O_RDONLY | O_CLOEXEC);
	struct elfnote note;

	assert_true(fd >= 0);
	assert_int_equal(elfnote_read(fd, &note), 0);
	close(fd);
	fd = open(note.loader, O_PATH | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(identify(NULL, fd, &e->begin), 0);
	close(fd);
	e->flags |= EXEC_BEGIN;
}

/* What the kernel would tell of an exec; argv ends with NULL. */
static inline const struct event_exec *event_of(pid_t pid, const char *exe, const char *filename,
					 const char *interp, const char *const argv[])
{
	static struct {
		struct event_exec e;
		char data[EVENT_DATA_MAX];
	} u;
	char *at = u.e.data;
	int fd = open(exe, O_PATH | O_CLOEXEC);
	char cwd[256], *part[16];
	int parts = 0;

	memset(&u, 0, sizeof(u));
	u.e.header.type = EVENT_EXEC;
	u.e.header.actor.tgid = pid;
	assert_true(fd >= 0);
	assert_int_equal(identify(NULL, fd, &u.e.exe), 0);
	close(fd);
	set_begin(&u.e, exe);
	snprintf(cwd, sizeof(cwd), "%s", dir);
	for (char *save, *word = strtok_r(cwd, "/", &save); word; word = strtok_r(NULL, "/", &save))
		part[parts++] = word;
	while (parts-- > 0)
		at = stpcpy(at, part[parts]) + 1;
	u.e.cwd_len = at - u.e.data;
	u.e.filename_len = strlen(filename);
	at = mempcpy(at, filename, u.e.filename_len);
	u.e.interp_len = strlen(interp);
	at = mempcpy(at, interp, u.e.interp_len);
	for (; *argv; argv++) {
		u.e.argv_len += strlen(*argv) + 1;
		at = stpcpy(at, *argv) + 1;
	}
	return &u.e;
}

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

/* More than whoever else executes something on this filesystem, and ends at once, can fill. */
#define ROOM 4096

static bool tagged_late;

static struct aside *beside;
static struct hostmounts *mounts;
static uint64_t watched_token;
static int watched_err;

static inline void watched(void *context, uint64_t token, int err)
{
	(void)context;
	watched_token = token;
	watched_err = err;
}

/* As who opens a session does: until it is done. */
static inline int watch(struct chain *c, pid_t pid)
{
	static uint64_t tokens;
	int err = chain_watch(c, pid, 0, 1, ++tokens);

	while (!err && watched_token != tokens) {
		struct pollfd p = {.fd = aside_fd(beside), .events = POLLIN};

		assert_int_equal(poll(&p, 1, 5000), 1);
		aside_collect(beside);
	}
	return err ?: watched_err;
}

static inline void stop(struct chain *c)
{
	chain_free(c);
	aside_free(beside);
	hostmounts_free(mounts);
}

static inline struct chain *start(size_t queue_max)
{
	struct chain_config config = {.wanted = wanted,
				      .identify = identify,
				      .tagged_late = tagged_late,
				      .queue_max = queue_max,
				      .watched = watched};
	struct chain *c = NULL;
	int r;

	wanted_never = false;
	assert_int_equal(aside_new(&beside), 0);
	assert_int_equal(hostmounts_new(&mounts), 0);
	config.aside = beside;
	config.mounts = mounts;
	r = chain_new(&config, &c);
	if (r == -EPERM || r == -ENOTSUP) {
		print_message("fanotify is refused here (%s)\n", strerror(-r));
		skip();
	}
	assert_int_equal(r, 0);
	r = watch(c, getpid());
	if (r == -EPERM) {
		print_message("marking filesystems is refused here\n");
		stop(c);
		skip();
	}
	assert_int_equal(r, 0);
	return c;
}

static int done[2];

/* Runs @act in a child that is wanted from the start. */
static inline pid_t run_begin(void (*act)(void))
{
	int gate[2];
	char c;

	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	assert_int_equal(pipe2(done, O_CLOEXEC), 0);
	wanted_child = fork();
	if (wanted_child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(gate[1]);
		if (read(gate[0], &c, 1) < 0 || chdir(dir) < 0)
			_exit(125);
		act();
		_exit(126);
	}
	close(gate[0]);
	close(gate[1]);
	close(done[1]);
	return wanted_child;
}

/* Waits for the exec that succeeds, which closes it. */
static inline void run_end(void)
{
	char c;

	assert_int_equal(read(done[0], &c, 1), 0);
	close(done[0]);
}

/* It ends up sleeping, or dead. */
static inline pid_t run(void (*act)(void))
{
	pid_t pid = run_begin(act);

	run_end();
	return pid;
}

static inline void finish(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static inline void check(const struct chain_step *s, enum chain_kind kind, const char *file)
{
	struct stat a, b;

	assert_int_equal(s->kind, kind);
	assert_int_equal(fstat(s->fd, &a), 0);
	assert_int_equal(stat(file, &b), 0);
	assert_true(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	assert_non_null(s->path);
}

static inline int take(struct chain *c, const struct event_exec *e, struct chain_step ret[CHAIN_STEPS_MAX])
{
	memset(ret, 0xa5, CHAIN_STEPS_MAX * sizeof(*ret));
	assert_int_equal(chain_read(c), 0);
	return chain_take(c, e, ret);
}

static inline void release(struct chain_step *s, int n)
{
	for (int i = 0; i < n; i++) {
		close(s[i].fd);
		free(s[i].path);
	}
}

/* The loader of a dynamically linked program, by asking the program. */
static inline bool is_loader(const struct chain_step *s)
{
	return s->kind == CHAIN_LOADER && strstr(s->path, "ld-");
}

static inline void exec_sleep(void)
{
	execl("/bin/sleep", "sleep", "60", NULL);
}

static inline void exec_script(void)
{
	execl("s.sh", "s.sh", NULL);
}

static inline int remove_dir(void **state)
{
	(void)state;
	return scratch_remove(dir);
}
