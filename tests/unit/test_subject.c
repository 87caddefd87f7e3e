/* SPDX-License-Identifier: Apache-2.0 */
/* What needs the kernel's own identity of objects is in tests/e2e/test_evidence_refused.py. */
#include "daemon/subject.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct child {
	pid_t pid, thread;
	int end; /* it ends when this is closed */
};

static void *stay(void *told)
{
	pid_t tid = gettid();

	if (write(*(int *)told, &tid, sizeof(tid)) == sizeof(tid))
		pause();
	return NULL;
}

/* With a thread that is not its leader, and a name that reads like a line of /proc. */
static int start(void **state)
{
	static struct child child;
	int told[2], end[2];

	assert_int_equal(pipe(told), 0);
	assert_int_equal(pipe(end), 0);
	child.pid = fork();
	assert_true(child.pid >= 0);
	if (child.pid == 0) {
		pthread_t thread;
		char byte;

		prctl(PR_SET_NAME, "a\nTracerPid:\t0");
		close(end[1]);
		if (pthread_create(&thread, NULL, stay, &told[1]))
			_exit(1);
		while (read(end[0], &byte, 1) > 0)
			;
		_exit(0);
	}
	close(told[1]);
	close(end[0]);
	assert_int_equal(read(told[0], &child.thread, sizeof(child.thread)), sizeof(child.thread));
	close(told[0]);
	child.end = end[1];
	*state = &child;
	return 0;
}

static int end(void **state)
{
	const struct child *c = *state;

	close(c->end);
	kill(c->pid, SIGKILL);
	while (waitpid(c->pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	return 0;
}

static bool traced(pid_t pid)
{
	bool is = !pid;

	assert_int_equal(subject_traced(pid, &is), 0);
	return is;
}

static void let_go(pid_t tid)
{
	assert_int_equal(ptrace(PTRACE_INTERRUPT, tid, NULL, NULL), 0);
	assert_int_equal(waitpid(tid, NULL, __WALL), tid);
	assert_int_equal(ptrace(PTRACE_DETACH, tid, NULL, NULL), 0);
}

/* Any of its threads, whatever it calls itself. */
static void test_traced(void **state)
{
	const struct child *c = *state;
	const pid_t threads[] = {c->pid, c->thread};

	assert_int_not_equal(c->pid, c->thread);
	assert_false(traced(c->pid));
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(ptrace(PTRACE_SEIZE, threads[i], NULL, NULL), 0);
		assert_true(traced(c->pid));
		let_go(threads[i]);
		assert_false(traced(c->pid));
	}
}

static void test_gone(void **state)
{
	bool is = true;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(subject_traced(pid, &is), -ESRCH);
	assert_true(is); /* untouched */
}

static void *wait_for_ever(void *unused)
{
	pause();
	return unused;
}

/* A process can make the look at it as long as it has threads, and nobody else is served then. */
static void test_threads(void **state)
{
	pthread_t thread;
	bool is;
	pid_t pid;
	int told[2];
	char byte;

	(void)state;
	assert_int_equal(pipe(told), 0);
	pid = fork();
	if (pid == 0) {
		for (int n = 1; n < SUBJECT_THREADS_MAX; n++)
			if (pthread_create(&thread, NULL, wait_for_ever, NULL))
				_exit(1);
		if (write(told[1], "x", 1) != 1 || raise(SIGSTOP) ||
		    pthread_create(&thread, NULL, wait_for_ever, NULL) ||
		    write(told[1], "x", 1) != 1)
			_exit(1);
		wait_for_ever(NULL);
	}
	close(told[1]);
	assert_int_equal(read(told[0], &byte, 1), 1);
	assert_false(traced(pid));
	assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
	kill(pid, SIGCONT);
	assert_int_equal(read(told[0], &byte, 1), 1);
	assert_int_equal(subject_traced(pid, &is), -E2BIG);
	close(told[0]);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_traced, start, end),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
