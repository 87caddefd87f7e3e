/* SPDX-License-Identifier: Apache-2.0 */
/* What needs the kernel's own identity of objects is in tests/e2e/test_evidence_refused.py. */
#include "daemon/subject.h"

#include <errno.h>
#include <fcntl.h>
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

#include "base/effort.h"

static bool traced(pid_t pid)
{
	struct subject_look look = {0};
	bool is = false;

	assert_int_equal(subject_traced(pid, &look, &is), 0);
	assert_null(look.tasks);
	return is;
}

struct stay {
	int told[2], until[2]; /* pipes */
};

/* Until its input ends: to cancel a thread leaves what a sanitizer knows of its stack behind. */
static void *stay(void *data)
{
	struct stay *s = data;
	pid_t tid = gettid();
	char byte;

	prctl(PR_SET_NAME, "a\nTracerPid:\t0"); /* which reads like a line of /proc */
	if (write(s->told[1], &tid, sizeof(tid)) == sizeof(tid))
		(void)!read(s->until[0], &byte, 1);
	return NULL;
}

/* Traces that thread until its input ends; tells when it does. */
static void trace(pid_t tid, int told, int until)
{
	char byte = 0;

	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) || write(told, &byte, 1) != 1)
		_exit(1);
	while (read(until, &byte, 1) > 0)
		;
	_exit(0);
}

static void traced_by_child(pid_t tid)
{
	int told[2], until[2];
	pid_t tracer;
	char byte;

	assert_int_equal(pipe(told), 0);
	assert_int_equal(pipe(until), 0);
	tracer = fork();
	assert_true(tracer >= 0);
	if (tracer == 0) {
		close(until[1]);
		trace(tid, told[1], until[0]);
	}
	close(told[1]);
	close(until[0]);
	assert_int_equal(read(told[0], &byte, 1), 1);
	assert_true(traced(getpid()));
	close(until[1]);
	assert_int_equal(waitpid(tracer, NULL, 0), tracer);
	close(told[0]);
	assert_false(traced(getpid()));
}

/* Any thread, not the leader alone. */
static void test_traced(void **state)
{
	struct stay s;
	pthread_t thread;
	pid_t tid;

	(void)state;
	(void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	assert_int_equal(pipe2(s.told, O_CLOEXEC), 0);
	assert_int_equal(pipe2(s.until, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&thread, NULL, stay, &s), 0);
	assert_int_equal(read(s.told[0], &tid, sizeof(tid)), sizeof(tid));
	assert_int_not_equal(tid, getpid());
	assert_false(traced(getpid()));
	traced_by_child(getpid());
	traced_by_child(tid);
	close(s.until[1]);
	pthread_join(thread, NULL);
	close(s.until[0]);
	close(s.told[0]);
	close(s.told[1]);
}

static void test_gone(void **state)
{
	struct subject_look look = {0};
	bool is = true;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(subject_traced(pid, &look, &is), -ESRCH);
	assert_true(is); /* untouched */
}

static void *wait_for_ever(void *unused)
{
	pause();
	return unused;
}

#ifdef __SANITIZE_THREAD__
#define OWN_THREADS 2 /* its runtime has one */
#else
#define OWN_THREADS 1
#endif

/* Executed anew: ThreadSanitizer lets no forked child start threads. */
static int many_threads(void)
{
	pthread_t thread;

	for (int n = OWN_THREADS; n < SUBJECT_THREADS_MAX; n++)
		if (pthread_create(&thread, NULL, wait_for_ever, NULL))
			return 1;
	if (write(STDOUT_FILENO, "x", 1) != 1 || raise(SIGSTOP) ||
	    pthread_create(&thread, NULL, wait_for_ever, NULL) || write(STDOUT_FILENO, "x", 1) != 1)
		return 1;
	wait_for_ever(NULL);
	return 0;
}

/* Of one turn of the loop it is a few: what is left is looked at in the next ones. */
static void look_in_turns(pid_t pid)
{
	struct subject_look look = {0};
	int turns = 0, r;
	bool is = true;

	do {
		const struct effort until = {effort.files + 100, UINT64_MAX, UINT64_MAX};
		uint64_t before = effort.files;

		effort_bound(&until, UINT64_MAX);
		r = subject_traced(pid, &look, &is);
		assert_true(effort.files - before <= 101);
		turns++;
	} while (r == 1);
	assert_int_equal(r, 0);
	assert_false(is);
	assert_true(turns > SUBJECT_THREADS_MAX / 101);
	/* However much the turn has done before, it gets on; and it can end early. */
	effort_bound(&(struct effort){0}, 0);
	assert_int_equal(subject_traced(pid, &look, &is), 1);
	assert_int_equal(look.count, SUBJECT_THREADS_STEP);
	effort_unbound();
	subject_look_clear(&look);
	assert_null(look.tasks);
}

/* A process can make the look at it as long as it has threads, and nobody else is served then. */
static void test_threads(void **state)
{
	struct subject_look look = {0};
	bool is;
	pid_t pid;
	int told[2];
	char byte;

	(void)state;
	assert_int_equal(pipe(told), 0);
	pid = fork();
	if (pid == 0) {
		dup2(told[1], STDOUT_FILENO);
		execl("/proc/self/exe", "test_subject", "threads", NULL);
		_exit(1);
	}
	close(told[1]);
	assert_int_equal(read(told[0], &byte, 1), 1);
	assert_false(traced(pid));
	look_in_turns(pid);
	assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
	kill(pid, SIGCONT);
	assert_int_equal(read(told[0], &byte, 1), 1);
	assert_int_equal(subject_traced(pid, &look, &is), -E2BIG);
	assert_null(look.tasks);
	close(told[0]);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_traced),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_threads),
	};

	if (argc == 2 && !strcmp(argv[1], "threads"))
		return many_threads();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
