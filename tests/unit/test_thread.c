/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

#define MS_NS (CLOCK_SECOND_NS / 1000)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool go, gone;

static uint64_t in_ms(uint64_t ms)
{
	return clock_ns(CLOCK_MONOTONIC) + ms * MS_NS;
}

/* The whole of every number, the largest second among them. */
static void test_timespec(void **state)
{
	struct timespec t = clock_timespec(3 * CLOCK_SECOND_NS + 999999999);

	(void)state;
	assert_int_equal(t.tv_sec, 3);
	assert_int_equal(t.tv_nsec, 999999999);
	t = clock_timespec(UINT64_MAX);
	assert_int_equal(t.tv_sec, UINT64_MAX / CLOCK_SECOND_NS);
	assert_int_equal(t.tv_nsec, UINT64_MAX % CLOCK_SECOND_NS);
	assert_true(clock_ns(CLOCK_MONOTONIC) > 0);
}

static void *blocked(void *ret)
{
	pthread_sigmask(SIG_SETMASK, NULL, ret);
	return NULL;
}

/* A signal is the main thread's, which blocks after it what it blocked before. */
static void test_signals(void **state)
{
	sigset_t before, after, there;
	pthread_t thread;

	(void)state;
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	assert_int_equal(thread_start(&thread, blocked, &there), 0);
	assert_true(thread_join(thread, in_ms(10000)));
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	assert_int_equal(sigismember(&there, SIGTERM), 1);
	assert_int_equal(sigismember(&there, SIGCHLD), 1);
	assert_int_equal(sigismember(&before, SIGTERM), 0);
	assert_int_equal(sigismember(&after, SIGTERM), 0);
}

static void *wait_to_go(void *unused)
{
	pthread_mutex_lock(&lock);
	while (!go)
		pthread_cond_wait(&changed, &lock);
	gone = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	return unused;
}

static void set_going(bool to)
{
	pthread_mutex_lock(&lock);
	go = to;
	gone = false;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

/* One that does not end is waited for no longer than was said, and can be waited for again. */
static void test_join(void **state)
{
	uint64_t began = clock_ns(CLOCK_MONOTONIC);
	pthread_t thread;

	(void)state;
	set_going(false);
	assert_int_equal(thread_start(&thread, wait_to_go, NULL), 0);
	assert_false(thread_join(thread, 0));
	assert_false(thread_join(thread, in_ms(20)));
	assert_true(clock_ns(CLOCK_MONOTONIC) - began >= 20 * MS_NS);
	set_going(true);
	assert_true(thread_join(thread, in_ms(10000)));
}

static void test_detached_and_wait(void **state)
{
	uint64_t began = clock_ns(CLOCK_MONOTONIC);
	int err = 0;

	(void)state;
	set_going(false);
	pthread_mutex_lock(&lock);
	while (!err)
		err = thread_wait(&changed, &lock, began + 20 * MS_NS);
	pthread_mutex_unlock(&lock);
	assert_int_equal(err, -ETIMEDOUT);
	assert_true(clock_ns(CLOCK_MONOTONIC) - began >= 20 * MS_NS);

	assert_int_equal(thread_start(NULL, wait_to_go, NULL), 0);
	set_going(true);
	pthread_mutex_lock(&lock);
	err = 0;
	while (!gone && !err)
		err = thread_wait(&changed, &lock, in_ms(10000));
	pthread_mutex_unlock(&lock);
	assert_int_equal(err, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timespec),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_detached_and_wait),
	};

	return cmocka_run_group_tests_name("thread", tests, NULL, NULL);
}
