/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/heldkeys.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct tag first = {.session = 7, .start_boottime = 5, .exec_seq = 3};

static bool never(void *data, pid_t pid, const struct tag *tag)
{
	(void)data, (void)pid, (void)tag;
	return false;
}

static bool even(void *data, pid_t pid, const struct tag *tag)
{
	(void)data, (void)tag;
	return pid % 2 == 0;
}

static bool always(void *data, pid_t pid, const struct tag *tag)
{
	(void)data, (void)pid, (void)tag;
	return true;
}

static const struct tag *in_session(uint64_t session)
{
	static struct tag tag;

	tag = first;
	tag.session = session;
	return &tag;
}

/* Another process, image or session than the one that asked has no key. */
static void belongs_to_one_image(void **state)
{
	struct tag other_exec = first, other_start = first, other_session = first;
	struct heldkeys *k;
	EVP_PKEY *key, *again;

	(void)state;
	other_exec.exec_seq++;
	other_start.start_boottime++;
	other_session.session++;
	assert_int_equal(heldkeys_new(&k), 0);
	assert_null(heldkeys_find(k, 100, &first));
	assert_int_equal(heldkeys_make(k, 100, &first, never, NULL, &key), 0);
	assert_int_equal(heldkeys_make(k, 100, &first, never, NULL, &again), 0);
	assert_ptr_equal(key, again);
	assert_ptr_equal(heldkeys_find(k, 100, &first), key);
	assert_null(heldkeys_find(k, 101, &first));
	assert_null(heldkeys_find(k, 100, &other_exec));
	assert_null(heldkeys_find(k, 100, &other_start));
	assert_null(heldkeys_find(k, 100, &other_session));
	assert_int_equal(heldkeys_make(k, 100, &other_exec, never, NULL, &again), 0);
	assert_int_not_equal(EVP_PKEY_eq(key, again), 1);
	heldkeys_free(k);
}

static void goes_with_the_process(void **state)
{
	struct heldkeys *k;
	EVP_PKEY *key;

	(void)state;
	assert_int_equal(heldkeys_new(&k), 0);
	for (pid_t pid = 1; pid <= 10; pid++)
		assert_int_equal(heldkeys_make(k, pid, &first, always, NULL, &key), 0);
	heldkeys_purge(k, even, NULL);
	assert_int_equal(heldkeys_count(k), 5);
	assert_null(heldkeys_find(k, 1, &first));
	assert_non_null(heldkeys_find(k, 2, &first));
	heldkeys_free(k);
}

static void is_bounded(void **state)
{
	struct heldkeys *k;
	EVP_PKEY *key = NULL;

	(void)state;
	assert_int_equal(heldkeys_new(&k), 0);
	for (pid_t pid = 1; pid <= HELDKEYS_MAX; pid++)
		assert_int_equal(heldkeys_make(k, pid, in_session(pid % 4), always, NULL, &key), 0);
	assert_int_equal(heldkeys_make(k, HELDKEYS_MAX + 1, in_session(5), always, NULL, &key),
			 -ENOSPC);
	assert_int_equal(heldkeys_make(k, 1, in_session(1), always, NULL, &key),
			 0); /* one that is there */
	assert_int_equal(heldkeys_make(k, HELDKEYS_MAX + 1, in_session(5), even, NULL, &key), 0);
	assert_int_equal(heldkeys_count(k), HELDKEYS_MAX / 2 + 1);
	heldkeys_free(k);
}

/* A session that takes all it can get leaves the others theirs. */
static void is_bounded_for_a_session(void **state)
{
	struct heldkeys *k;
	EVP_PKEY *key = NULL;

	(void)state;
	assert_int_equal(heldkeys_new(&k), 0);
	for (pid_t pid = 1; pid <= HELDKEYS_SESSION_MAX; pid++)
		assert_int_equal(heldkeys_make(k, pid, in_session(1), always, NULL, &key), 0);
	assert_int_equal(heldkeys_make(k, 5000, in_session(1), always, NULL, &key), -ENOSPC);
	assert_int_equal(heldkeys_make(k, 5000, in_session(2), always, NULL, &key), 0);
	assert_int_equal(heldkeys_make(k, 5001, in_session(1), even, NULL, &key), 0);
	heldkeys_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(belongs_to_one_image),
		cmocka_unit_test(goes_with_the_process),
		cmocka_unit_test(is_bounded),
		cmocka_unit_test(is_bounded_for_a_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
