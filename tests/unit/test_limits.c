/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/limits.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define MINUTE_NS 60000000000ull

static void test_advice(void **state)
{
	(void)state;
	assert_non_null(strstr(limits_advice(-EMFILE), "LimitNOFILE"));
	assert_non_null(strstr(limits_advice(-ENFILE), "fs.file-max"));
	assert_non_null(strstr(limits_advice(-EAGAIN), "TasksMax"));
	assert_non_null(strstr(limits_advice(-ENOMEM), "LimitMEMLOCK"));
	assert_string_equal(limits_advice(-EPERM), "");
}

static void test_over_after_a_minute(void **state)
{
	const char *list[LIMIT_ALL];
	uint64_t met;

	(void)state;
	assert_int_equal(limit_as(-ENOSPC, -ENOSPC, LIMIT_TAGS), -ENOSPC);
	met = limit_met_ns(LIMIT_TAGS);
	assert_true(met > 0);
	assert_int_equal(limits_list(met, list), 1);
	assert_non_null(strstr(list[0], "max_tags"));
	assert_int_equal(limits_list(met + MINUTE_NS - 1, list), 1);
	assert_int_equal(limits_list(met + MINUTE_NS, list), 0);
	/* But for what is not tried again. */
	limit_met(LIMIT_FANOTIFY_GROUPS);
	assert_int_equal(limits_list(met + 100 * MINUTE_NS, list), 1);
}

static void test_errors(void **state)
{
	(void)state;
	assert_int_equal(limit_of(-EPERM), -EPERM);
	assert_int_equal(limit_of(0), 0);
	assert_int_equal(limit_met_ns(LIMIT_HOST_FILES), 0);
	assert_int_equal(limit_of(-ENFILE), -ENFILE);
	assert_true(limit_met_ns(LIMIT_HOST_FILES) > 0);
	assert_int_equal(limit_as(-ENOMEM, -ENOSPC, LIMIT_SESSIONS), -ENOMEM);
	assert_true(limit_met_ns(LIMIT_MEMORY) > 0);
	assert_int_equal(limit_met_ns(LIMIT_SESSIONS), 0);
}

/* inotify_init1(2) says the same of its own bound and of descriptors. */
static void test_instances(void **state)
{
	struct rlimit files, none;

	(void)state;
	assert_int_equal(limit_of_instances(-EMFILE, LIMIT_INOTIFY_INSTANCES), -EMFILE);
	assert_true(limit_met_ns(LIMIT_INOTIFY_INSTANCES) > 0);
	assert_int_equal(limit_met_ns(LIMIT_FILES), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	none = (struct rlimit){0, files.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(limit_of_instances(-EMFILE, LIMIT_THREADS), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	assert_true(limit_met_ns(LIMIT_FILES) > 0);
	assert_int_equal(limit_met_ns(LIMIT_THREADS), 0);
}

/* Each says which, what is blind, and what to raise. The last test: all are met now. */
static void test_texts(void **state)
{
	const char *list[LIMIT_ALL];

	(void)state;
	for (enum limit l = 0; l < LIMIT_ALL; l++)
		limit_met(l);
	assert_int_equal(limits_list(limit_met_ns(LIMIT_ALL - 1), list), LIMIT_ALL);
	for (enum limit l = 0; l < LIMIT_ALL; l++) {
		assert_non_null(strstr(list[l], ": "));
		assert_true(strstr(list[l], "raise") || l == LIMIT_STUCK);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_advice), cmocka_unit_test(test_over_after_a_minute),
		cmocka_unit_test(test_errors), cmocka_unit_test(test_instances),
		cmocka_unit_test(test_texts),
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
