/* SPDX-License-Identifier: Apache-2.0 */
/* What fanotify tells, joined to the exec that it is of. */
#include "chain_bed.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_script),
		cmocka_unit_test(test_nested),
		cmocka_unit_test(test_failed_attempts),
		cmocka_unit_test(test_enoexec),
		cmocka_unit_test(test_merged_events),
		cmocka_unit_test(test_later_execs_wait),
		cmocka_unit_test(test_attempt_of_another_name),
		cmocka_unit_test(test_own_mount_namespace),
		cmocka_unit_test(test_mountinfo),
	};

	assert_non_null(mkdtemp(dir));
	return cmocka_run_group_tests_name("chain", tests, NULL, remove_dir);
}
