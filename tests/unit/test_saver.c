/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "daemon/saver.h"

struct bed {
	char path[64];
	int directory;
	struct saver *saver;
	int ledger; /* the last job's error of that */
};

static int setup(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	strcpy(b->path, "/tmp/affiant-test-saver-XXXXXX");
	assert_non_null(mkdtemp(b->path));
	b->directory = open(b->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(b->directory >= 0);
	assert_int_equal(saver_new(&b->saver), 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"ledger", "state", "state.new"};
	struct bed *b = *state;

	saver_free(b->saver);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		unlinkat(b->directory, names[i], 0);
	close(b->directory);
	assert_int_equal(rmdir(b->path), 0);
	free(b);
	return 0;
}

static pthread_t packed_by;

static int pack(void *message, uint8_t **ret, size_t *ret_len)
{
	packed_by = pthread_self();
	*ret = message;
	*ret_len = strlen(message);
	return 0;
}

static int pack_in_vain(void *message, uint8_t **ret, size_t *ret_len)
{
	(void)ret, (void)ret_len;
	free(message);
	return -EFBIG;
}

/* A job with a ledger that can be synced. */
static struct saver_job job_of(struct bed *b, const char *text)
{
	struct saver_job job = {.directory = b->directory, .name = "state", .beside = "state.new"};

	job.ledger = openat(b->directory, "ledger", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(job.ledger >= 0);
	job.pack = text ? pack : NULL;
	job.message = text ? strdup(text) : NULL;
	return job;
}

static void assert_state(struct bed *b, const char *text)
{
	_cleanup_close_ int fd = openat(b->directory, "state", O_RDONLY | O_CLOEXEC);
	char found[64] = "";

	if (!text) {
		assert_int_equal(fd, -1);
		return;
	}
	assert_true(fd >= 0);
	assert_int_equal(read(fd, found, sizeof(found)), strlen(text));
	assert_memory_equal(found, text, strlen(text));
}

static int run(struct bed *b, const struct saver_job *job)
{
	int err = 99, ledger = 99;

	assert_false(saver_busy(b->saver));
	saver_start(b->saver, job);
	assert_true(saver_busy(b->saver));
	assert_true(saver_collect(b->saver, true, &ledger, &err));
	assert_false(saver_busy(b->saver));
	assert_false(saver_collect(b->saver, true, &ledger, &err));
	/* Whose error it was: the state that comes second can't fail by it. */
	assert_true(ledger == 0 || ledger == err);
	b->ledger = ledger;
	return err;
}

static void replaces_a_file(void **state)
{
	struct bed *b = *state;
	struct saver_job job = job_of(b, "one");
	struct stat st;

	assert_int_equal(run(b, &job), 0);
	assert_state(b, "one");
	job = job_of(b, "another");
	assert_int_equal(run(b, &job), 0);
	assert_state(b, "another");
	assert_int_equal(saver_length(b->saver), strlen("another"));
	assert_false(pthread_equal(packed_by, pthread_self())); /* who asks isn't kept by it */
	job = job_of(b, "too much");
	job.pack = pack_in_vain;
	assert_int_equal(run(b, &job), -EFBIG);
	assert_int_equal(b->ledger, 0);
	assert_state(b, "another");
	assert_int_equal(fstatat(b->directory, "state.new", &st, 0), -1);
	assert_int_equal(fcntl(job.ledger, F_GETFD), -1); /* it was the saver's */
}

static void syncs_without_a_file(void **state)
{
	struct bed *b = *state;
	struct saver_job job = job_of(b, NULL);

	assert_int_equal(run(b, &job), 0);
	assert_state(b, NULL);
}

/* A state must not stand for records that a power cut can take. */
static void a_ledger_that_is_not_durable_keeps_the_old_state(void **state)
{
	struct bed *b = *state;
	struct saver_job job = job_of(b, "old");
	int pipes[2];

	assert_int_equal(run(b, &job), 0);
	job = job_of(b, "new");
	close(job.ledger);
	assert_int_equal(pipe(pipes), 0);
	close(pipes[1]);
	job.ledger = pipes[0]; /* which can't be synced */
	assert_int_equal(run(b, &job), -EINVAL);
	assert_int_equal(b->ledger, -EINVAL);
	assert_state(b, "old");
}

static void a_state_that_finds_no_room_keeps_the_old_one(void **state)
{
	struct bed *b = *state;
	struct saver_job job = job_of(b, "old");
	int full = open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(run(b, &job), 0);
	job = job_of(b, "new");
	job.directory = full;
	job.beside = "full"; /* /dev/full: each write fails */
	assert_int_equal(run(b, &job), -ENOSPC);
	assert_int_equal(b->ledger, 0);
	assert_state(b, "old");
	close(full);
}

static void ends_its_job_before_it_goes(void **state)
{
	struct bed *b = *state;
	struct saver_job job = job_of(b, "last");

	saver_start(b->saver, &job);
	saver_free(b->saver);
	b->saver = NULL;
	assert_state(b, "last");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(replaces_a_file),
		TEST(syncs_without_a_file),
		TEST(a_ledger_that_is_not_durable_keeps_the_old_state),
		TEST(a_state_that_finds_no_room_keeps_the_old_one),
		TEST(ends_its_job_before_it_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
