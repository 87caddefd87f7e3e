/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define S UINT64_C(1000000000)
#define DAY (86400 * S)
#define PLENTY (UINT64_C(1) << 40)

static unsigned int take(struct pace **all, const char *agent, uint64_t per_day, uint64_t bytes,
			 uint64_t now)
{
	unsigned int n = 0;
	bool said;

	while (n < 1000 && pace_take(all, agent, per_day, now, &said)) {
		pace_spend(*all, agent, bytes);
		n++;
	}
	return n;
}

static void so_many_in_a_minute(void **state)
{
	struct pace *all = NULL;
	bool said;

	(void)state;
	assert_int_equal(take(&all, "a", PLENTY, 1, S), PACE_PER_MINUTE);
	assert_int_equal(take(&all, "b", PLENTY, 1, S), PACE_PER_MINUTE);
	assert_int_equal(take(&all, "a", PLENTY, 1, 60 * S), 0);
	assert_false(pace_take(&all, "a", PLENTY, 60 * S, &said));
	assert_true(said);
	assert_int_equal(take(&all, "a", PLENTY, 1, 61 * S), PACE_PER_MINUTE);
	pace_clear(&all);
	assert_null(all);
	pace_spend(all, "a", 1);
}

/* What was refused first in a minute is to be said. */
static void says_it_once_a_minute(void **state)
{
	struct pace *all = NULL;
	bool said = true;

	(void)state;
	for (int minute = 0; minute < 3; minute++) {
		for (int i = 0; i < PACE_PER_MINUTE; i++)
			assert_true(pace_take(&all, "a", PLENTY, (1 + 60 * minute) * S, &said));
		assert_false(pace_take(&all, "a", PLENTY, (2 + 60 * minute) * S, &said));
		assert_false(said);
		assert_false(pace_take(&all, "a", PLENTY, (3 + 60 * minute) * S, &said));
		assert_true(said);
	}
	pace_clear(&all);
}

/* Large sessions are fewer: over a day they take what runs in, and the burst. */
static void no_more_bytes_than_run_in(void **state)
{
	const uint64_t per_day = 10 << 20, each = 50000;
	struct pace *all = NULL;
	uint64_t n = 0;

	(void)state;
	for (uint64_t now = S; now <= DAY; now += 30 * S)
		n += take(&all, "a", per_day, each, now);
	assert_in_range(n * each, per_day - each, per_day + (64 << 10) + each);
	pace_clear(&all);
}

/* Whoever may name agents fills no memory. */
static void bounded_by_number(void **state)
{
	struct pace *all = NULL;
	unsigned int n = 0;
	char name[32];
	bool said;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "agent%d", i);
		n += pace_take(&all, name, PLENTY, S, &said);
	}
	assert_int_equal(n, 8192);
	assert_true(pace_take(&all, "late", PLENTY, 100 * S, &said));
	pace_clear(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(so_many_in_a_minute),
		cmocka_unit_test(says_it_once_a_minute),
		cmocka_unit_test(no_more_bytes_than_run_in),
		cmocka_unit_test(bounded_by_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
