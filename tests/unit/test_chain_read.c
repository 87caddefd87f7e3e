/* SPDX-License-Identifier: Apache-2.0 */
/* Whose events are kept, and how many of them at once. */
#include "chain_bed.h"

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
				  .wait_ns = 5 * CLOCK_SECOND_NS, /* else one may be over before it begins */
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
	/* Others' that are in limbo go in a tenth of a second; its own would stay for five. */
	for (int tries = 0; open_files() - before > 100; tries++) {
		assert_true(tries < 20);
		usleep(100000);
		assert_int_equal(chain_read(c), 0);
	}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gone_before_it_was_asked_for),
		cmocka_unit_test(test_tagged_late),
		cmocka_unit_test(test_leaving),
		cmocka_unit_test(test_others_and_bounds),
		cmocka_unit_test(test_many_attempts),
		cmocka_unit_test(test_in_turns),
		cmocka_unit_test(test_expires_in_turns),
		/* For seconds after it strangers are hardly waited for. */
		cmocka_unit_test(test_unseen),
	};

	assert_non_null(mkdtemp(dir));
	return cmocka_run_group_tests_name("chain_read", tests, NULL, remove_dir);
}
