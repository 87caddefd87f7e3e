/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SECOND 1000000000ull

static unsigned int take_all(struct tokens *t, uint64_t session, uint64_t now)
{
	unsigned int n = 0;

	while (n < 1000 && tokens_take(t, session, 1, now))
		n++;
	return n;
}

static void as_many_as_the_rate_says(void **state)
{
	uint64_t now = 77 * SECOND;
	struct tokens *t;

	(void)state;
	assert_int_equal(tokens_new(10, 25, &t), 0);
	assert_int_equal(take_all(t, 1, now), 25);
	assert_int_equal(take_all(t, 1, now + SECOND / 20), 0);
	assert_int_equal(take_all(t, 1, now + SECOND / 10), 1);
	assert_int_equal(take_all(t, 1, now + SECOND), 9);
	assert_int_equal(take_all(t, 1, now + 100 * SECOND), 25); /* never more than at once */
	tokens_free(t);
}

static void several_at_once(void **state)
{
	struct tokens *t;

	(void)state;
	assert_int_equal(tokens_new(10, 25, &t), 0);
	assert_true(tokens_take(t, 2, 26, SECOND)); /* all of them */
	assert_false(tokens_take(t, 2, 26, 2 * SECOND));
	assert_int_equal(take_all(t, 2, 2 * SECOND), 10);
	assert_true(tokens_take(t, 1, 20, SECOND));
	assert_false(tokens_take(t, 1, 6, SECOND));
	assert_true(tokens_take(t, 1, 0, SECOND));
	assert_int_equal(take_all(t, 1, SECOND), 5);
	assert_true(tokens_take(t, 1, 0, SECOND));
	assert_true(tokens_take(t, 1, 10, 2 * SECOND));
	assert_false(tokens_take(t, 1, 1, 2 * SECOND));
	tokens_free(t);
}

/* What was done without asking is paid for later, however much it was. */
static void charged_beyond_what_there_is(void **state)
{
	struct tokens *t;

	(void)state;
	assert_int_equal(tokens_new(10, 25, &t), 0);
	tokens_charge(t, 1, 5, SECOND);
	assert_int_equal(take_all(t, 1, SECOND), 20);
	tokens_charge(t, 1, 30, SECOND);
	assert_false(tokens_take(t, 1, 1, 4 * SECOND));
	assert_true(tokens_take(t, 1, 1, 4 * SECOND + SECOND / 10));
	assert_int_equal(take_all(t, 2, SECOND), 25);
	tokens_free(t);
}

/* What one session uses up, another still has. */
static void each_session_has_its_own(void **state)
{
	struct tokens *t;

	(void)state;
	assert_int_equal(tokens_new(1, 3, &t), 0);
	assert_int_equal(take_all(t, 1, SECOND), 3);
	assert_int_equal(take_all(t, 2, SECOND), 3);
	assert_int_equal(take_all(t, 1, SECOND), 0);
	tokens_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_many_as_the_rate_says),
		cmocka_unit_test(several_at_once),
		cmocka_unit_test(charged_beyond_what_there_is),
		cmocka_unit_test(each_session_has_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
