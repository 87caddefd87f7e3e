/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/told.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collect/decode.h"

static void add(struct told_set *t, uint64_t cpu, uint64_t number, uint32_t part)
{
	const struct segment_frame frame = {.source = cpu << 48 | number, .part = part};

	told_add(t, &frame);
}

static void knows_what_was_told(void **state)
{
	struct told_set *t;

	(void)state;
	assert_false(told_has(NULL, 1, 0));
	assert_int_equal(told_notes(NULL), 0);
	assert_int_equal(told_highest(NULL), 0);
	assert_int_equal(told_new(&t), 0);
	add(t, 3, 70, 1);
	add(t, 3, 70, 1);
	assert_true(told_has(t, (uint64_t)3 << 48 | 70, 1));
	assert_false(told_has(t, (uint64_t)3 << 48 | 70, 0));
	assert_false(told_has(t, 70, 1));
	told_free(t);
}

/* Notes have numbers of their own, and what has no source has none. */
static void knows_the_highest_numbers(void **state)
{
	const struct segment_frame own = {.source = SEGMENT_NO_SOURCE};
	const uint64_t most = ((uint64_t)1 << 48) - 1;
	struct told_set *t;

	(void)state;
	assert_int_equal(told_new(&t), 0);
	told_add(t, &own);
	assert_int_equal(told_highest(t), 0);
	assert_int_equal(told_notes(t), 0);
	add(t, NOTE_CPU, 500, 0);
	assert_int_equal(told_highest(t), 0);
	add(t, NOTE_CPU, NOTE_REBOOT_SEQUENCE, 0); /* none has that number */
	assert_int_equal(told_notes(t), 501);
	add(t, 1, 90, 0);
	add(t, 0, 80, 0);
	assert_int_equal(told_highest(t), 90);
	add(t, 8191, most, 0);
	assert_int_equal(told_highest(t), most);
	assert_int_equal(told_notes(t), 501);
	told_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_what_was_told),
		cmocka_unit_test(knows_the_highest_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
