/* SPDX-License-Identifier: Apache-2.0 */
/* Which numbers a reader has to say are missing. */
#include "cli/missing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/pb.h"

static void read_gap(struct missing *m, Affiant__V1__GapReason reason, uint64_t first,
		     uint64_t last)
{
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__Gap gap = AFFIANT__V1__GAP__INIT;

	SET(&gap, reason, reason);
	if (last) {
		SET(&gap, first_sequence, first);
		SET(&gap, last_sequence, last);
	}
	r.body_case = AFFIANT__V1__RECORD__BODY_GAP;
	r.gap = &gap;
	assert_int_equal(missing_read(m, &r), 0);
}

#define RETENTION AFFIANT__V1__GAP_REASON__GAP_RETENTION
#define TORN AFFIANT__V1__GAP_REASON__GAP_TORN
#define VOID AFFIANT__V1__GAP_REASON__GAP_VOID

static void says_what_nobody_told(void **state)
{
	struct missing_range found = {7, 7};
	struct missing m = {};

	(void)state;
	assert_false(missing_next(&m, &found));
	assert_int_equal(missing_hole(&m, 10, 19), 0);
	assert_int_equal(missing_hole(&m, 30, 30), 0);
	assert_int_equal(missing_hole(&m, 50, UINT64_MAX), 0);
	/* Whichever comes first, the hole or the Gap; and of more than that. */
	read_gap(&m, VOID, 29, 31);
	/* Nearly. */
	read_gap(&m, RETENTION, 11, 19);
	read_gap(&m, RETENTION, 1, 9);
	read_gap(&m, TORN, 20, 28);
	read_gap(&m, TORN, 0, 0);
	assert_true(missing_next(&m, &found));
	assert_int_equal(found.first, 50);
	assert_true(found.last == UINT64_MAX);
	assert_true(missing_next(&m, &found));
	assert_int_equal(found.first, 10);
	assert_int_equal(found.last, 19);
	/* Once. */
	assert_false(missing_next(&m, &found));
	missing_done(&m);
}

static void several_tell_of_one(void **state)
{
	struct missing_range found;
	struct missing m = {};

	(void)state;
	read_gap(&m, RETENTION, 15, 40);
	read_gap(&m, RETENTION, 1, 10);
	read_gap(&m, RETENTION, 11, 14);
	assert_int_equal(missing_hole(&m, 5, 40), 0);
	assert_false(missing_next(&m, &found));
	assert_int_equal(missing_hole(&m, 5, 41), 0);
	assert_true(missing_next(&m, &found));
	assert_int_equal(found.last, 41);
	missing_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_nobody_told),
		cmocka_unit_test(several_tell_of_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
