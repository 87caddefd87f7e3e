/* SPDX-License-Identifier: Apache-2.0 */
/* With real execs, as root: what fanotify tells is what is joined here. */
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
#include "base/effort.h"
#include "collect/aside.h"
#include "collect/elfnote.h"
#include "collect/hostmounts.h"
#include "collect/mounts.h"
#include "scratch.h"

static char dir[] = "/tmp/affiant-chain-XXXXXX";
static pid_t wanted_child;
static bool wanted_never;

static bool wanted(void *context, pid_t tgid)
{
	(void)context;
	return !wanted_never && tgid == wanted_child;
}

static int identify(void *context, int fd, struct object_id *ret)
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

static const char *path_of(const char *name)
{
	static char path[8][PATH_MAX];
	static unsigned int turn;
	char *p = path[turn++ % 8];

	snprintf(p, PATH_MAX, "%s/%s", dir, name);
	return p;
}

static void make_script(const char *name, const char *text)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* It begins in the loader that it asks for. */
static void set_begin(struct event_exec *e, const char *exe)
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
static const struct event_exec *event_of(pid_t pid, const char *exe, const char *filename,
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

static void watched(void *context, uint64_t token, int err)
{
	(void)context;
	watched_token = token;
	watched_err = err;
}

/* As who opens a session does: until it is done. */
static int watch(struct chain *c, pid_t pid)
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

static void stop(struct chain *c)
{
	chain_free(c);
	aside_free(beside);
	hostmounts_free(mounts);
}

static struct chain *start(size_t queue_max)
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
static pid_t run_begin(void (*act)(void))
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
static void run_end(void)
{
	char c;

	assert_int_equal(read(done[0], &c, 1), 0);
	close(done[0]);
}

/* It ends up sleeping, or dead. */
static pid_t run(void (*act)(void))
{
	pid_t pid = run_begin(act);

	run_end();
	return pid;
}

static void finish(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void check(const struct chain_step *s, enum chain_kind kind, const char *file)
{
	struct stat a, b;

	assert_int_equal(s->kind, kind);
	assert_int_equal(fstat(s->fd, &a), 0);
	assert_int_equal(stat(file, &b), 0);
	assert_true(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	assert_non_null(s->path);
}

static int take(struct chain *c, const struct event_exec *e, struct chain_step ret[CHAIN_STEPS_MAX])
{
	memset(ret, 0xa5, CHAIN_STEPS_MAX * sizeof(*ret));
	assert_int_equal(chain_read(c), 0);
	return chain_take(c, e, ret);
}

static void release(struct chain_step *s, int n)
{
	for (int i = 0; i < n; i++) {
		close(s[i].fd);
		free(s[i].path);
	}
}

/* The loader of a dynamically linked program, by asking the program. */
static bool is_loader(const struct chain_step *s)
{
	return s->kind == CHAIN_LOADER && strstr(s->path, "ld-");
}

static void exec_sleep(void)
{
	execl("/bin/sleep", "sleep", "60", NULL);
}

static void test_plain(void **state)
{
	struct chain *c = start(ROOM);
	pid_t pid = run(exec_sleep);
	const struct event_exec *e =
		event_of(pid, "/bin/sleep", "/bin/sleep", "/bin/sleep", ARGV("sleep", "60"));
	struct chain_step s[CHAIN_STEPS_MAX];
	int n;

	(void)state;
	n = take(c, e, s);
	assert_int_equal(n, 2);
	check(&s[0], CHAIN_EXECUTABLE, "/bin/sleep");
	assert_true(is_loader(&s[1]));
	release(s, n);
	assert_int_equal(take(c, e, s), 0);
	assert_int_equal(chain_lost(c), 0);
	finish(pid);
	stop(c);
}

static void exec_script(void)
{
	execl("s.sh", "s.sh", NULL);
}

static void test_script(void **state)
{
	struct chain *c = start(ROOM);
	struct chain_step s[CHAIN_STEPS_MAX];
	pid_t pid;
	int n;

	(void)state;
	make_script("s.sh", "#!/bin/sh -e\nread x </dev/zero\n");
	pid = run(exec_script);
	n = take(c, event_of(pid, "/bin/sh", "s.sh", "/bin/sh", ARGV("/bin/sh", "-e", "s.sh")), s);
	assert_int_equal(n, 3);
	check(&s[0], CHAIN_SCRIPT, path_of("s.sh"));
	check(&s[1], CHAIN_INTERPRETER, "/bin/sh");
	assert_true(is_loader(&s[2]));
	release(s, n);
	finish(pid);
	stop(c);
}

static void exec_nested(void)
{
	execl(path_of("outer"), "outer", "arg", NULL);
}

static void test_nested(void **state)
{
	struct chain *c = start(ROOM);
	struct chain_step s[CHAIN_STEPS_MAX];
	char text[PATH_MAX];
	pid_t pid;
	int n;

	(void)state;
	make_script("inner", "#!/bin/sh\nread x </dev/zero\n");
	snprintf(text, sizeof(text), "#!%s with spaces\n", path_of("inner"));
	make_script("outer", text);
	pid = run(exec_nested);
	n = take(
		c,
		event_of(pid, "/bin/sh", path_of("outer"), "/bin/sh",
			 ARGV("/bin/sh", path_of("inner"), "with spaces", path_of("outer"), "arg")),
		s);
	assert_int_equal(n, 4);
	check(&s[0], CHAIN_SCRIPT, path_of("outer"));
	check(&s[1], CHAIN_SCRIPT, path_of("inner"));
	check(&s[2], CHAIN_INTERPRETER, "/bin/sh");
	assert_true(is_loader(&s[3]));
	release(s, n);
	finish(pid);
	stop(c);
}

static void exec_gone(void)
{
	execl("gone.sh", "gone.sh", NULL);
}

/* It has ended, and has no tag any more, before its events are read. */
static void test_gone_before_it_was_asked_for(void **state)
{
	struct chain *c = start(ROOM);
	struct pollfd p = {.fd = chain_fd(c), .events = POLLIN};
	struct chain_step s[CHAIN_STEPS_MAX];
	const struct event_exec *e;
	pid_t pid;
	int n;

	(void)state;
	make_script("gone.sh", "#!/bin/true\n");
	for (int round = 0; round < 2; round++) {
		pid = run(exec_gone);
		waitpid(pid, NULL, 0);
		wanted_never = true;
		assert_int_equal(poll(&p, 1, 5000), 1);
		assert_int_equal(chain_read(c), 0);
		if (round == 1) {
			/* Nobody asks: after a tenth of a second it is let go. */
			usleep(150000);
			assert_int_equal(chain_read(c), 0);
		}
		e = event_of(pid, "/bin/true", "gone.sh", "/bin/true",
			     ARGV("/bin/true", "gone.sh"));
		n = take(c, e, s);
		assert_int_equal(n, round == 0 ? 3 : 0);
		if (n) {
			check(&s[0], CHAIN_SCRIPT, path_of("gone.sh"));
			check(&s[1], CHAIN_INTERPRETER, "/bin/true");
		}
		release(s, n);
		wanted_never = false;
	}
	stop(c);
}

static void hang(void *fd)
{
	char byte;

	(void)!read(*(int *)fd, &byte, 1);
}

/* Of whom nobody can say in time whether it lives, the events are kept a while, and nobody waits. */
static void test_unseen(void **state)
{
	struct chain *c = start(ROOM);
	struct chain_step s[CHAIN_STEPS_MAX];
	struct aside_work work = {.key = aside_key(ASIDE_FOR_STRANGERS, 0),
				  .wait_ns = 1000000,
				  .run = hang};
	int gate[2], n;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	work.data = &gate[0];
	for (int i = 0; i < ASIDE_KEY_MAX; i++)
		assert_int_equal(aside_submit(beside, &work), 0);
	while (aside_stuck(beside) < ASIDE_KEY_MAX) {
		usleep(2000);
		aside_collect(beside);
	}
	wanted_never = true;
	pid = run(exec_sleep);
	assert_int_equal(chain_read(c), 0);
	wanted_never = false;
	n = take(c, event_of(pid, "/bin/sleep", "/bin/sleep", "/bin/sleep", ARGV("sleep", "60")), s);
	assert_int_equal(n, 2);
	release(s, n);
	finish(pid);
	close(gate[1]);
	while (aside_stuck(beside))
		usleep(1000);
	close(gate[0]);
	stop(c);
}

/* A selector takes it where its exec ends, and the event of its beginning was read before. */
static void test_tagged_late(void **state)
{
	struct chain_step s[CHAIN_STEPS_MAX];
	struct chain *c;
	pid_t pid;
	int n;

	(void)state;
	tagged_late = true;
	c = start(ROOM);
	tagged_late = false;
	for (int round = 0; round < 2; round++) {
		wanted_never = true;
		pid = run(exec_sleep);
		assert_int_equal(chain_read(c), 0);
		if (round == 1) {
			/* It was nobody's. */
			usleep(150000);
			assert_int_equal(chain_read(c), 0);
		}
		n = take(c, event_of(pid, "/bin/sleep", "/bin/sleep", "/bin/sleep",
				     ARGV("sleep", "1000")), s);
		assert_int_equal(n, round == 0 ? 2 : 0);
		release(s, n);
		finish(pid);
		wanted_never = false;
	}
	stop(c);
}

/*
 * The first process of a pid namespace can't end before the others of it are reaped, also one whose
 * parent is outside and takes its time. Says the first one's id.
 */
static void linger(int say, int hold)
{
	pid_t first, other;
	char c;

	if (unshare(CLONE_NEWPID) || (first = fork()) < 0)
		_exit(125);
	if (first == 0) {
		if (read(hold, &c, 1) != 1)
			_exit(125);
		exec_gone();
		_exit(126);
	}
	other = fork();
	if (other == 0)
		for (;;)
			pause();
	if (other < 0 || write(say, &first, sizeof(first)) != sizeof(first))
		_exit(125);
	for (;;)
		pause();
}

static bool is_leaving(pid_t pid)
{
	char link[40], target[PATH_MAX];

	snprintf(link, sizeof(link), "/proc/%d/exe", pid);
	return readlink(link, target, sizeof(target)) < 0;
}

/* Its tag goes before it is dead: it may take a while to give back all that it has. */
static void test_leaving(void **state)
{
	struct chain *c = start(ROOM);
	struct chain_step s[CHAIN_STEPS_MAX];
	int say[2], hold[2], n;
	pid_t parent, pid;

	(void)state;
	make_script("gone.sh", "#!/bin/true\n");
	assert_int_equal(pipe2(say, O_CLOEXEC), 0);
	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	parent = fork();
	if (parent == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (chdir(dir) < 0)
			_exit(125);
		linger(say[1], hold[0]);
	}
	assert_int_equal(read(say[0], &pid, sizeof(pid)), sizeof(pid));
	wanted_never = true;
	assert_int_equal(write(hold[1], "", 1), 1);
	for (int i = 0; i < 500 && !is_leaving(pid); i++)
		usleep(10000);
	assert_true(is_leaving(pid));
	assert_int_equal(kill(pid, 0), 0);

	assert_int_equal(chain_read(c), 0);
	n = take(c,
		 event_of(pid, "/bin/true", "gone.sh", "/bin/true", ARGV("/bin/true", "gone.sh")),
		 s);
	assert_int_equal(n, 3);
	release(s, n);
	wanted_never = false;
	finish(parent);
	stop(c);
	for (int i = 0; i < 2; i++) {
		close(say[i]);
		close(hold[i]);
	}
}

/*
 * PATH is searched: what is missing, a directory, not executable, or no program at all (ENOEXEC).
 */
static void exec_search(void)
{
	char path[3 * PATH_MAX];

	snprintf(path, sizeof(path), "%s/none:%s/denied:%s/found", dir, dir, dir);
	setenv("PATH", path, 1);
	execl("noexec", "noexec", NULL);
	execl("benign.sh", "benign.sh", NULL);
	execlp("prog", "prog", NULL);
}

static void test_failed_attempts(void **state)
{
	struct chain *c = start(ROOM);
	struct chain_step s[CHAIN_STEPS_MAX];
	pid_t pid;
	int n;

	(void)state;
	make_script("noexec", "echo not a program\n");
	make_script("benign.sh", "#!/no/such/interpreter\n");
	assert_int_equal(mkdir(path_of("denied"), 0755), 0);
	assert_int_equal(mkdir(path_of("found"), 0755), 0);
	make_script("denied/prog", "#!/bin/sh\n");
	assert_int_equal(chmod(path_of("denied/prog"), 0644), 0);
	make_script("found/prog", "#!/bin/sh\nread x </dev/zero\n");
	pid = run(exec_search);
	n = take(c,
		 event_of(pid, "/bin/sh", path_of("found/prog"), "/bin/sh",
			  ARGV("/bin/sh", path_of("found/prog"))),
		 s);
	assert_int_equal(n, 3);
	check(&s[0], CHAIN_SCRIPT, path_of("found/prog"));
	check(&s[1], CHAIN_INTERPRETER, "/bin/sh");
	assert_true(is_loader(&s[2]));
	release(s, n);
	finish(pid);
	stop(c);
}

/*
 * execvp(3) hands a file without #! to /bin/sh: for the kernel, that is an exec of /bin/sh alone.
 */
static void exec_enoexec(void)
{
	execvp(path_of("noexec"), (char *const[]){(char *)"noexec", NULL});
}

static void test_enoexec(void **state)
{
	struct chain *c = start(ROOM);
	struct chain_step s[CHAIN_STEPS_MAX];
	pid_t pid;
	int n;

	(void)state;
	make_script("noexec", "read x </dev/zero\n");
	pid = run(exec_enoexec);
	n = take(c,
		 event_of(pid, "/bin/sh", "/bin/sh", "/bin/sh", ARGV("/bin/sh", path_of("noexec"))),
		 s);
	assert_int_equal(n, 2);
	check(&s[0], CHAIN_EXECUTABLE, "/bin/sh");
	assert_true(is_loader(&s[1]));
	release(s, n);
	finish(pid);
	stop(c);
}

/*
 * The event of the second, successful exec of evil.sh is merged with that of the first, which
 * fails; a benign script, which fails too, is then the one right before the interpreter.
 */
static void exec_evil(void)
{
	static char big[200000];
	char *const argv[] = {(char *)"x", big, NULL};
	char *const envp[] = {NULL};

	memset(big, 'x', sizeof(big) - 1); /* E2BIG (MAX_ARG_STRLEN), after the file was opened */
	execve("evil.sh", argv, envp);
	execve("good.sh", argv, envp);
	execl("evil.sh", "x", NULL);
}

static void test_merged_events(void **state)
{
	struct chain *c = start(ROOM);
	struct chain_step s[CHAIN_STEPS_MAX];
	pid_t pid;
	int n;

	(void)state;
	make_script("evil.sh", "#!/bin/sh\nread x </dev/zero # evil\n");
	make_script("good.sh", "#!/bin/sh\nread x </dev/zero # good\n");
	pid = run(exec_evil);
	n = take(c, event_of(pid, "/bin/sh", "evil.sh", "/bin/sh", ARGV("/bin/sh", "evil.sh")), s);
	/* Nothing rather than the good one. */
	assert_int_equal(n, 0);
	finish(pid);
	stop(c);
}

static void exec_twice(void)
{
	execl("/usr/bin/env", "env", "sleep", "60", NULL);
}

/* Both execs are queued before the first is asked for. */
static void test_later_execs_wait(void **state)
{
	struct chain *c = start(ROOM);
	struct chain_step s[CHAIN_STEPS_MAX];
	pid_t pid = run(exec_twice);
	int n;

	(void)state;
	for (int i = 0; i < 500; i++) {
		char comm[32] = "", path[64];
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		f = fopen(path, "re");
		assert_non_null(f);
		assert_non_null(fgets(comm, sizeof(comm), f));
		fclose(f);
		if (strcmp(comm, "sleep\n") == 0)
			break;
		usleep(10000);
	}
	n = take(c,
		 event_of(pid, "/usr/bin/env", "/usr/bin/env", "/usr/bin/env",
			  ARGV("env", "sleep", "60")),
		 s);
	assert_int_equal(n, 2);
	check(&s[0], CHAIN_EXECUTABLE, "/usr/bin/env");
	release(s, n);
	n = take(c,
		 event_of(pid, "/usr/bin/sleep", "/usr/bin/sleep", "/usr/bin/sleep",
			  ARGV("sleep", "60")),
		 s);
	/* The loader's second event was merged with the first. */
	assert_int_equal(n, 1);
	check(&s[0], CHAIN_EXECUTABLE, "/usr/bin/sleep");
	release(s, n);
	finish(pid);
	stop(c);
}

static void test_others_and_bounds(void **state)
{
	struct chain *c = start(2);
	struct chain_step s[CHAIN_STEPS_MAX];
	pid_t pid;
	int n;

	(void)state;
	/* Not wanted, and alive, which is not waited for on a busy machine: then it is kept a while. */
	wanted_never = true;
	n = 1;
	for (int tries = 0; n && tries < 20; tries++) {
		pid = run(exec_sleep);
		n = take(c,
			 event_of(pid, "/bin/sleep", "/bin/sleep", "/bin/sleep", ARGV("sleep")), s);
		release(s, n);
		finish(pid);
	}
	assert_int_equal(n, 0);

	/*
	 * Three steps, room for two: the oldest goes and is counted, and the script is not made up.
	 * Whoever else executes something on this filesystem and ends at once takes room too.
	 */
	wanted_never = false;
	make_script("s.sh", "#!/bin/sh\nread x </dev/zero\n");
	pid = run(exec_script);
	n = take(c, event_of(pid, "/bin/sh", "s.sh", "/bin/sh", ARGV("/bin/sh", "s.sh")), s);
	assert_int_equal(n, 0);
	assert_true(chain_lost(c) >= 1);
	finish(pid);

	/* Without marks there are no events. */
	assert_int_equal(chain_unwatch_all(c), 0);
	pid = run(exec_sleep);
	assert_int_equal(
		take(c, event_of(pid, "/bin/sleep", "/bin/sleep", "/bin/sleep", ARGV("sleep")), s),
		0);
	finish(pid);
	stop(c);
}

/* What was tried in vain explains nothing that is not of its name. */
static void exec_after_attempt(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("/dev/null", "/bin/sh", NULL, MS_BIND, NULL) < 0)
		_exit(1);
	execl("good.sh", "good.sh", NULL);
	usleep(100000);
	if (umount("/bin/sh") < 0 || mount("none", "mnt2", "tmpfs", 0, NULL) < 0)
		_exit(1);
	make_script("mnt2/evil.sh", "#!/bin/sh\nread x </dev/zero\n");
	execl("mnt2/evil.sh", "evil.sh", NULL);
}

static void test_attempt_of_another_name(void **state)
{
	struct chain *c = start(ROOM);
	struct pollfd p = {.fd = chain_fd(c), .events = POLLIN};
	struct chain_step s[CHAIN_STEPS_MAX];
	pid_t pid;
	int n;

	(void)state;
	make_script("good.sh", "#!/bin/sh\n");
	assert_int_equal(mkdir(path_of("mnt2"), 0755), 0);
	for (int named = 0; named < 2; named++) {
		pid = run_begin(exec_after_attempt);
		assert_int_equal(poll(&p, 1, 5000), 1);
		assert_int_equal(chain_read(c), 0);
		run_end();
		/* Had it been executed by its own name, it would be the one. */
		n = take(c, named ? event_of(pid, "/bin/sh", "good.sh", "/bin/sh",
					     ARGV("/bin/sh", "good.sh"))
				  : event_of(pid, "/bin/sh", "mnt2/evil.sh", "/bin/sh",
					     ARGV("/bin/sh", "mnt2/evil.sh")),
			 s);
		assert_int_equal(n, named ? 3 : 0);
		if (named)
			check(&s[0], CHAIN_SCRIPT, path_of("good.sh"));
		release(s, n);
		finish(pid);
	}
	stop(c);
}

/* ---- how much of it at once ---- */

#define VAIN_MAX 2000
static int vain; /* how many files it tries to execute that are no programs */

static void make_vain(void)
{
	char name[16];

	for (int i = 0; i < vain; i++) {
		snprintf(name, sizeof(name), "vain%d", i);
		make_script(name, "no program\n");
	}
}

static void try_vain(void)
{
	char name[16];

	for (int i = 0; i < vain; i++) {
		snprintf(name, sizeof(name), "vain%d", i);
		execl(name, name, NULL);
	}
}

static void exec_after_many(void)
{
	try_vain();
	execl("s.sh", "s.sh", NULL);
}

static void exec_unmarked_after_many(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "unmarked", "tmpfs", 0, NULL) < 0)
		_exit(1);
	make_script("unmarked/s.sh", "#!/bin/sh\nread x </dev/zero\n");
	try_vain();
	execl("unmarked/s.sh", "s.sh", NULL);
}

/* A turn of the loop that may open so many files yet. */
static void begin_turn(uint64_t files, uint64_t entries)
{
	const struct effort until = {effort.files + files, UINT64_MAX, effort.entries + entries};

	effort_bound(&until, UINT64_MAX);
}

static size_t open_files(void)
{
	_cleanup_closedir_ DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	return n;
}

/* How many turns it takes until all that was expected is read, none of which opens more than so many. */
static int read_in_turns(struct chain *c, uint64_t files)
{
	uint64_t before;
	int turns = 0, r;

	do {
		begin_turn(files, UINT64_MAX / 2);
		before = effort.files;
		r = chain_read(c);
		assert_true(r >= 0);
		assert_true(effort.files - before <= files + 64);
		turns++;
	} while (r);
	effort_unbound();
	return turns;
}

/* Whatever a process tried: what it then executed is found, and looked for among a few. */
static void test_many_attempts(void **state)
{
	struct chain *c = start(ROOM);
	struct chain_step s[CHAIN_STEPS_MAX];
	size_t before = open_files();
	pid_t pid;
	int n;

	(void)state;
	vain = 500;
	make_vain();
	make_script("s.sh", "#!/bin/sh\nread x </dev/zero\n");
	pid = run(exec_after_many);
	assert_int_equal(chain_read(c), 0);
	assert_true(open_files() - before <= 100);
	n = take(c, event_of(pid, "/bin/sh", "s.sh", "/bin/sh", ARGV("/bin/sh", "s.sh")), s);
	assert_int_equal(n, 3);
	check(&s[0], CHAIN_SCRIPT, path_of("s.sh"));
	release(s, n);
	assert_int_equal(chain_lost(c), 0);
	finish(pid);
	/* Where it is not, it may be among those that went. */
	assert_int_equal(mkdir(path_of("unmarked"), 0755), 0);
	pid = run(exec_unmarked_after_many);
	n = take(c,
		 event_of(pid, "/bin/sh", "unmarked/s.sh", "/bin/sh",
			  ARGV("/bin/sh", "unmarked/s.sh")),
		 s);
	assert_int_equal(n, 0);
	assert_int_equal(chain_lost(c), 1);
	finish(pid);
	stop(c);
}

/* How many events there are is for others to choose: of one turn it is not all. */
static void test_in_turns(void **state)
{
	struct chain *c = start(ROOM);
	struct chain_step s[CHAIN_STEPS_MAX];
	pid_t pid;
	int n;

	(void)state;
	vain = VAIN_MAX;
	make_vain();
	make_script("s.sh", "#!/bin/sh\nread x </dev/zero\n");
	pid = run(exec_after_many);
	chain_expect(c);
	assert_true(read_in_turns(c, 128) > VAIN_MAX / (128 + 64));
	n = chain_take(c, event_of(pid, "/bin/sh", "s.sh", "/bin/sh", ARGV("/bin/sh", "s.sh")), s);
	assert_int_equal(n, 3);
	check(&s[0], CHAIN_SCRIPT, path_of("s.sh"));
	release(s, n);
	assert_int_equal(chain_lost(c), 0);
	finish(pid);
	stop(c);
}

static void wait_for_end(void)
{
	try_vain();
	_exit(0);
}

/* What became old goes, and what nobody wants any more, some in each turn. */
static void test_expires_in_turns(void **state)
{
	struct chain *c = start(ROOM);
	size_t before = open_files(), many;
	uint64_t walked;
	int turns = 0;

	(void)state;
	vain = 60;
	make_vain();
	for (int i = 0; i < 40; i++) {
		pid_t pid = run(wait_for_end);

		assert_int_equal(chain_read(c), 0);
		finish(pid);
	}
	many = open_files();
	assert_true(many - before > 1000);
	assert_int_equal(chain_unwatch_all(c), 0);
	while (open_files() > before) {
		usleep(1000);
		begin_turn(UINT64_MAX / 2, 100);
		walked = effort.entries;
		assert_int_equal(chain_read(c), 0);
		assert_true(effort.entries - walked <= 101);
		assert_true(many - open_files() <= 101);
		many = open_files();
		assert_true(++turns < 1000);
	}
	effort_unbound();
	assert_true(turns > 10);
	stop(c);
}

static void exec_in_own_mount(void)
{
	execl("mnt/sleep", "sleep", "60", NULL);
}

/* A filesystem that only the process sees, mounted after its namespace was looked at. */
static void own_mount(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "mnt", "tmpfs", 0, NULL) < 0 || system("cp /bin/sleep mnt/sleep") != 0)
		_exit(1);
	raise(SIGSTOP);
	exec_in_own_mount();
}

static void test_own_mount_namespace(void **state)
{
	struct chain *c = start(ROOM);
	struct chain_step s[CHAIN_STEPS_MAX];
	struct event_exec e = {};
	char root[PATH_MAX];
	int status, n = 0;
	pid_t pid;

	(void)state;
	assert_int_equal(mkdir(path_of("mnt"), 0755), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (chdir(dir) < 0)
			_exit(1);
		own_mount();
		_exit(1);
	}
	wanted_child = pid;
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(watch(c, pid), 0);
	kill(pid, SIGCONT);
	for (int i = 0; i < 500 && n == 0; i++) {
		usleep(10000);
		snprintf(root, sizeof(root), "/proc/%d/root%s/sleep", pid, path_of("mnt"));
		e = *event_of(pid, root, "mnt/sleep", "mnt/sleep", ARGV("sleep"));
		n = take(c, event_of(pid, root, "mnt/sleep", "mnt/sleep", ARGV("sleep")), s);
	}
	assert_int_equal(n, 2);
	check(&s[0], CHAIN_EXECUTABLE, root);
	assert_true(is_loader(&s[1]));
	assert_int_equal(e.exe.magic, TMPFS_MAGIC);
	release(s, n);
	finish(pid);
	stop(c);
}

static void test_mountinfo(void **state)
{
	static const struct {
		const char *line;
		bool ok;
		unsigned int major, minor;
		const char *point, *type;
	} lines[] = {
		{"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw\n", true, 98,
		 0, "/mnt 2", "ext3"},
		{"27 1 254:12 / / rw,relatime - ext4 /dev/vda rw", true, 254, 12, "/", "ext4"},
		{"1 1 0:5 / /a\\134b rw shared:1 master:2 unbindable - tmpfs - rw", true, 0, 5,
		 "/a\\b", "tmpfs"},
		{"1 1 x / /a rw - tmpfs - rw", false, 0, 0, "", ""},
		{"1 1 0:5 / /a rw - ", false, 0, 0, "", ""},
		{"1 1 0:5 / /a rw", false, 0, 0, "", ""},
		{"", false, 0, 0, "", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		_cleanup_free_ char *line = strdup(lines[i].line);
		struct mount_line m;

		memset(&m, 0xa5, sizeof(m));
		assert_int_equal(mount_line_parse(line, &m), lines[i].ok);
		if (!lines[i].ok)
			continue;
		assert_int_equal(m.major, lines[i].major);
		assert_int_equal(m.minor, lines[i].minor);
		assert_string_equal(m.point, lines[i].point);
		assert_string_equal(m.type, lines[i].type);
	}
	assert_true(mounts_local("ext4"));
	assert_false(mounts_local("fuse.sshfs"));
	assert_false(mounts_local("nfs4"));
	assert_false(mounts_local("proc"));
}

static int remove_dir(void **state)
{
	(void)state;
	return scratch_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_script),
		cmocka_unit_test(test_nested),
		cmocka_unit_test(test_gone_before_it_was_asked_for),
		cmocka_unit_test(test_leaving),
		cmocka_unit_test(test_unseen),
		cmocka_unit_test(test_tagged_late),
		cmocka_unit_test(test_failed_attempts),
		cmocka_unit_test(test_enoexec),
		cmocka_unit_test(test_merged_events),
		cmocka_unit_test(test_later_execs_wait),
		cmocka_unit_test(test_others_and_bounds),
		cmocka_unit_test(test_attempt_of_another_name),
		cmocka_unit_test(test_many_attempts),
		cmocka_unit_test(test_in_turns),
		cmocka_unit_test(test_expires_in_turns),
		cmocka_unit_test(test_own_mount_namespace),
		cmocka_unit_test(test_mountinfo),
	};

	assert_non_null(mkdtemp(dir));
	return cmocka_run_group_tests_name("chain", tests, NULL, remove_dir);
}
