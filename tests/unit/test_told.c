/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/told.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "affiant/v1/record.pb-c.h"
#include "base/pb.h"
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

static void add_record(struct told_set *t, uint64_t source, Affiant__V1__Record *r)
{
	uint8_t bytes[1024];
	struct segment_frame frame = {.source = source, .payload = bytes};

	frame.len = affiant__v1__record__pack(r, bytes);
	assert_true(frame.len <= sizeof(bytes));
	told_add(t, &frame);
}

static void add_lost(struct told_set *t, uint64_t note, uint64_t total)
{
	Affiant__V1__LostCount count = AFFIANT__V1__LOST_COUNT__INIT, *counts[] = {&count};
	Affiant__V1__Lost lost = AFFIANT__V1__LOST__INIT;
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;

	SET(&count, count, total);
	lost.totals = counts;
	lost.n_totals = 1;
	r.body_case = AFFIANT__V1__RECORD__BODY_LOST;
	r.lost = &lost;
	SET(&r, boottime_ns, note);
	add_record(t, (uint64_t)NOTE_CPU << 48 | note, &r);
}

static void add_gap(struct told_set *t, uint64_t note, Affiant__V1__GapReason reason)
{
	Affiant__V1__Gap gap = AFFIANT__V1__GAP__INIT;
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;

	SET(&gap, reason, reason);
	r.body_case = AFFIANT__V1__RECORD__BODY_GAP;
	r.gap = &gap;
	SET(&r, boottime_ns, note);
	add_record(t, (uint64_t)NOTE_CPU << 48 | note, &r);
}

/* Where the state is gone, the ledger has them. */
static void knows_the_last_time_and_totals(void **state)
{
	Affiant__V1__DaemonStopping stopping = AFFIANT__V1__DAEMON_STOPPING__INIT;
	Affiant__V1__Record own = AFFIANT__V1__RECORD__INIT;
	struct told_set *t;

	(void)state;
	assert_int_equal(told_new(&t), 0);
	assert_false(told_any(t));
	assert_int_equal(told_newest_ns(t), 0);
	assert_null(told_lost(t));
	add_lost(t, 10, 1);
	add_lost(t, 20, 2);
	assert_true(told_any(t));
	assert_int_equal(told_lost(t)->totals[0]->count, 2);
	assert_null(told_lost_before(t));
	add_gap(t, 30, AFFIANT__V1__GAP_REASON__GAP_STATE);
	assert_null(told_lost_before(t));
	for (uint64_t i = 3; i < 6; i++) {
		add_gap(t, 20 * i, AFFIANT__V1__GAP_REASON__GAP_TRACING_REMOVED);
		add_gap(t, 20 * i + 1, AFFIANT__V1__GAP_REASON__GAP_TRACING_REMOVED);
		assert_int_equal(told_lost_before(t)->totals[0]->count, i - 1);
		add_lost(t, 20 * i + 2, i);
		assert_int_equal(told_lost(t)->totals[0]->count, i);
	}
	assert_int_equal(told_newest_ns(t), 102);
	SET(&own, boottime_ns, 200);
	own.body_case = AFFIANT__V1__RECORD__BODY_DAEMON_STOPPING;
	own.daemon_stopping = &stopping;
	add_record(t, SEGMENT_NO_SOURCE, &own);
	assert_int_equal(told_newest_ns(t), 200);
	told_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_what_was_told),
		cmocka_unit_test(knows_the_highest_numbers),
		cmocka_unit_test(knows_the_last_time_and_totals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
