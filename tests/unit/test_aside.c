/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/aside.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MS 1000000ull

static atomic_int freed;
static int told, late;

struct wait {
	int fd; /* it reads until this is closed elsewhere */
	int n;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void hang(void *data)
{
	struct wait *w = data;
	char c;

	w->n = (int)read(w->fd, &c, 1);
}

static void count(void *data)
{
	++*(atomic_int *)data;
}

static void let_go(void *data)
{
	free(data);
	freed++;
}

static void tell(void *data, int err)
{
	(void)data;
	told += !err;
	late += err == -ETIMEDOUT;
}

static struct aside_work hanging(int fd, uint64_t key, uint64_t wait_ns)
{
	struct wait *w = malloc(sizeof(*w));

	assert_non_null(w);
	w->fd = fd;
	return (struct aside_work){
		.key = key, .wait_ns = wait_ns, .run = hang, .done = tell, .free = let_go, .data = w};
}

static void collect_until(struct aside *a, const int *n, int wanted)
{
	struct pollfd f = {.fd = aside_fd(a), .events = POLLIN};
	uint64_t end = now_ns() + 5000 * MS;

	while (*n < wanted && now_ns() < end) {
		(void)poll(&f, 1, 5);
		aside_collect(a);
	}
	assert_int_equal(*n, wanted);
}

static int reset(void **state)
{
	(void)state;
	freed = 0;
	told = late = 0;
	return 0;
}

static void test_done(void **state)
{
	atomic_int n = 0;
	const struct aside_work w = {
		.wait_ns = 5000 * MS, .run = count, .done = tell, .data = &n};
	struct aside *a;

	(void)state;
	assert_int_equal(aside_new(&a), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(aside_submit(a, &w), 0);
	collect_until(a, &told, 100);
	assert_int_equal(n, 100);
	assert_int_equal(aside_do(a, &w), 0);
	assert_int_equal(n, 101);
	assert_int_equal(told, 100);
	aside_free(a);
	aside_free(NULL);
}

/* Who hangs takes a thread or two; who asks for others isn't kept waiting. */
static void test_one_key_hangs(void **state)
{
	atomic_int n = 0;
	const struct aside_work other = {
		.key = 2, .wait_ns = 5000 * MS, .run = count, .done = tell, .data = &n};
	struct aside_work w;
	struct aside *a;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(aside_new(&a), 0);
	for (int i = 0; i < 100; i++) {
		w = hanging(fds[0], 1, 50 * MS);
		assert_int_equal(aside_submit(a, &w), 0);
	}
	assert_int_equal(aside_submit(a, &other), 0);
	collect_until(a, &told, 1);
	collect_until(a, &late, 100);
	/* Those that nobody had begun with are gone. */
	assert_int_equal(freed, 100 - ASIDE_KEY_MAX);
	assert_int_equal(aside_stuck(a), ASIDE_KEY_MAX);
	close(fds[1]);
	for (int i = 0; i < 500 && freed < 100; i++)
		usleep(10000);
	assert_int_equal(freed, 100);
	assert_int_equal(aside_stuck(a), 0);
	aside_free(a);
	close(fds[0]);
}

/* What is under way for a key and takes its time does not hang: the loop does not wait behind it. */
static void test_not_behind_its_key(void **state)
{
	struct aside *a = NULL;
	atomic_int counted = 0;
	struct aside_work work = {.key = 1, .wait_ns = 2000 * MS, .run = count, .data = &counted};
	struct aside_work many = {.run = hang};
	uint64_t began;
	int gate[2];

	(void)state;
	assert_int_equal(pipe(gate), 0);
	assert_int_equal(aside_new(&a), 0);
	/* Of twelve keys, one each, and more of the first than run at once. */
	for (uint64_t i = 0; i < 3 * ASIDE_THREADS; i++) {
		many = hanging(gate[0], 1 + i % ASIDE_THREADS, 60000 * MS);
		assert_int_equal(aside_submit(a, &many), 0);
	}
	usleep(50000);
	for (int i = 0; i < 100; i++) {
		began = now_ns();
		assert_int_equal(aside_do(a, &work), 0);
		assert_true(now_ns() - began < 1000 * MS);
	}
	assert_int_equal(counted, 100);
	/* And what nothing can hold is done beside that. */
	work.wait_ns = ASIDE_ENDS;
	work.done = tell;
	assert_int_equal(aside_submit(a, &work), 0);
	collect_until(a, &told, 1);
	close(gate[1]);
	collect_until(a, &told, 1 + 3 * ASIDE_THREADS);
	aside_free(a);
	close(gate[0]);
}

static void test_waits_so_long(void **state)
{
	struct aside_work w;
	struct aside *a;
	uint64_t began;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(aside_new(&a), 0);
	w = hanging(fds[0], 1, 20 * MS);
	began = now_ns();
	assert_int_equal(aside_do(a, &w), -ETIMEDOUT);
	assert_true(now_ns() - began >= 20 * MS && now_ns() - began < 2000 * MS);
	assert_int_equal(freed, 0);
	close(fds[1]);
	for (int i = 0; i < 500 && !freed; i++)
		usleep(10000);
	assert_int_equal(freed, 1);
	aside_free(a);
	close(fds[0]);
}

/* Who is stuck takes no thread from others, however many keys they are of. */
static void test_many_keys_hang(void **state)
{
	enum { MANY = 5 * ASIDE_THREADS };
	atomic_int n = 0;
	const struct aside_work other = {
		.key = 1, .wait_ns = 5000 * MS, .run = count, .done = tell, .data = &n};
	struct aside_work w;
	struct aside *a;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(aside_new(&a), 0);
	/* Nor while they are not late yet. */
	for (int i = 0; i < MANY; i++) {
		w = hanging(fds[0], 2 + i, 60000 * MS);
		assert_int_equal(aside_submit(a, &w), 0);
	}
	for (int i = 0; i < 500 && aside_stuck(a) < MANY; i++) {
		usleep(10000);
		aside_collect(a);
	}
	assert_int_equal(aside_stuck(a), MANY);
	assert_int_equal(aside_do(a, &other), 0);
	assert_int_equal(n, 1);
	close(fds[1]);
	collect_until(a, &told, MANY);
	assert_int_equal(freed, MANY);
	assert_int_equal(aside_do(a, &other), 0);
	assert_true(aside_free(a));
	close(fds[0]);
}

static uint32_t user_of(void *first, uint64_t key)
{
	uint32_t user;

	if (aside_key_user(key, &user))
		return user;
	return key < *(const uint64_t *)first ? 1000 : 1001;
}

/* Nor by all the keys of one user: others find a thread, and have as many as he. */
static void test_one_user_hangs(void **state)
{
	atomic_int n = 0;
	uint64_t others = 2 * ASIDE_THREADS_MAX;
	struct aside_work w, work = {.wait_ns = 5000 * MS, .run = count, .data = &n};
	struct aside *a;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(aside_new(&a), 0);
	aside_users(a, user_of, &others);
	for (int i = 0; i < ASIDE_THREADS_MAX; i++) {
		w = hanging(fds[0], i + 1, 40 * MS);
		assert_int_equal(aside_submit(a, &w), 0);
		if (i % 8 == 7)
			collect_until(a, &late, i + 1);
	}
	assert_int_equal(aside_stuck(a), ASIDE_USER_MAX);
	/* He is told at once; so is what is done for him and is no session's. */
	work.key = others - 1;
	assert_int_equal(aside_do(a, &work), -EAGAIN);
	work.key = aside_key(ASIDE_FOR_OPENING, 1000);
	assert_int_equal(aside_do(a, &work), -EAGAIN);
	work.key = aside_key(ASIDE_FOR_OPENING, 1001);
	assert_int_equal(aside_do(a, &work), 0);
	work.key = aside_key(ASIDE_FOR_STRANGERS, 0);
	assert_int_equal(aside_do(a, &work), 0);
	for (int i = 0; i < ASIDE_THREADS_MAX; i++) {
		w = hanging(fds[0], others + i, 40 * MS);
		assert_int_equal(aside_submit(a, &w), 0);
		if (i % 8 == 7)
			collect_until(a, &late, ASIDE_THREADS_MAX + i + 1);
	}
	assert_int_equal(aside_stuck(a), 2 * ASIDE_USER_MAX);
	assert_int_equal(n, 2);
	close(fds[1]);
	for (int i = 0; i < 500 && freed < 2 * ASIDE_THREADS_MAX; i++)
		usleep(10000);
	assert_int_equal(freed, 2 * ASIDE_THREADS_MAX);
	assert_true(aside_free(a));
	close(fds[0]);
}

/* All threads hang: what comes is late, and the end is not. What they come back to is theirs. */
static void test_all_hang(void **state)
{
	atomic_int n = 0;
	const struct aside_work ends = {.wait_ns = ASIDE_ENDS, .run = count, .data = &n};
	struct aside_work w;
	struct aside *a;
	uint64_t began;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(aside_new(&a), 0);
	for (int i = 0; i < 2 * ASIDE_THREADS_MAX; i++) {
		w = hanging(fds[0], i + 1, 20 * MS);
		assert_int_equal(aside_submit(a, &w), 0);
		if (i % 8 == 7)
			collect_until(a, &late, i + 1);
	}
	assert_int_equal(aside_stuck(a), ASIDE_THREADS_MAX - ASIDE_RESERVED);
	/* Nobody waits for what can't be looked at. */
	w = hanging(fds[0], 0, 5000 * MS);
	began = now_ns();
	assert_int_equal(aside_do(a, &w), -EAGAIN);
	assert_true(now_ns() - began < 2000 * MS);
	free(w.data);
	/* And what hangs for nobody is done all the same. */
	assert_int_equal(aside_do(a, &ends), 0);
	assert_int_equal(n, 1);
	began = now_ns();
	assert_false(aside_free(a));
	assert_true(now_ns() - began < 2000 * MS);
	close(fds[1]);
	for (int i = 0; i < 500 && freed < 2 * ASIDE_THREADS_MAX; i++)
		usleep(10000);
	assert_int_equal(freed, 2 * ASIDE_THREADS_MAX);
	usleep(20000); /* the last thread frees what they shared */
	close(fds[0]);
}

static void test_full(void **state)
{
	struct aside_work w;
	struct aside *a;
	int fds[2], err = 0;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(aside_new(&a), 0);
	for (int i = 0; !err; i++) {
		w = hanging(fds[0], 1, 5000 * MS);
		err = aside_submit(a, &w);
		assert_true(i <= ASIDE_QUEUE_MAX + ASIDE_KEY_MAX);
	}
	assert_int_equal(err, -EAGAIN);
	free(w.data);
	close(fds[1]);
	aside_free(a);
	close(fds[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_done, reset),
		cmocka_unit_test_setup(test_one_key_hangs, reset),
		cmocka_unit_test_setup(test_not_behind_its_key, reset),
		cmocka_unit_test_setup(test_waits_so_long, reset),
		cmocka_unit_test_setup(test_many_keys_hang, reset),
		cmocka_unit_test_setup(test_one_user_hangs, reset),
		cmocka_unit_test_setup(test_all_hang, reset),
		cmocka_unit_test_setup(test_full, reset),
	};

	return cmocka_run_group_tests_name("aside", tests, NULL, NULL);
}
