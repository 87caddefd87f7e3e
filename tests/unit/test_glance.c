/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/glance.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>


/* A FIFO: whoever opens it waits for one that writes. */
static char place[] = "/tmp/affiant-glance-XXXXXX", silent[64], file[64];
static struct aside *aside;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int set_up(void **state)
{
	int fd;

	(void)state;
	assert_non_null(mkdtemp(place));
	snprintf(silent, sizeof(silent), "%s/silent", place);
	snprintf(file, sizeof(file), "%s/file", place);
	assert_int_equal(mkfifo(silent, 0600), 0);
	fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "text", 4), 4);
	close(fd);
	assert_int_equal(aside_new(&aside), 0);
	return 0;
}

/* Those that wait come back. */
static int tear_down(void **state)
{
	(void)state;
	for (int i = 0; i < 500 && aside_stuck(aside); i++) {
		int fd = open(silent, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

		usleep(1000);
		if (fd >= 0)
			close(fd);
	}
	assert_int_equal(aside_stuck(aside), 0);
	aside_free(aside);
	unlink(silent);
	unlink(file);
	rmdir(place);
	return 0;
}

static void test_reads(void **state)
{
	char text[8];
	int fd;

	(void)state;
	assert_int_equal(glance_read(aside, 1, file, text, sizeof(text)), 4);
	assert_string_equal(text, "text");
	assert_int_equal(glance_read(aside, 1, file, text, 3), 2);
	assert_int_equal(glance_read(NULL, 1, file, text, sizeof(text)), 4);
	fd = glance_open(aside, 1, file);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(glance_open(aside, 1, "/tmp/affiant-glance-none"), -ENOENT);
}

/* Many that let it wait take a part of the time, and each of them only once in a second. */
static void test_waits_in_vain(void **state)
{
	uint64_t began, first;
	char text[8];

	(void)state;
	began = now_ns();
	assert_int_equal(glance_read(aside, 2, silent, text, sizeof(text)), -ETIMEDOUT);
	first = now_ns() - began;
	assert_true(first <= GLANCE_PATIENCE_NS);
	began = now_ns();
	assert_int_equal(glance_read(aside, 2, silent, text, sizeof(text)), -ETIMEDOUT);
	assert_true(now_ns() - began < first / 2);
	/* Two hang: it isn't even tried. */
	assert_int_equal(glance_read(aside, 2, silent, text, sizeof(text)), -EAGAIN);

	began = now_ns();
	for (uint64_t key = 3; key < 60; key++)
		assert_int_equal(glance_read(aside, key, silent, text, sizeof(text)), -ETIMEDOUT);
	assert_true(now_ns() - began < 2 * GLANCE_PATIENCE_NS);
	/* Nobody else is looked at the less for it. */
	for (int i = 0; i < 100; i++)
		if (glance_read(aside, 100, file, text, sizeof(text)) == 4)
			return;
	fail();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads),
		cmocka_unit_test(test_waits_in_vain),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
