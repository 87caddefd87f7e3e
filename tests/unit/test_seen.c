/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/seen.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS 1000000ull
#define S 1000000000ull

struct gap {
	uint32_t cpu;
	uint64_t first, last;
};

struct fixture {
	struct seen seen;
	struct gap gaps[4096];
	size_t count;
};

static void missing(void *data, uint32_t cpu, uint64_t first, uint64_t last)
{
	struct fixture *f = data;

	assert_true(first <= last);
	assert_true(f->count < sizeof(f->gaps) / sizeof(f->gaps[0]));
	f->gaps[f->count++] = (struct gap){cpu, first, last};
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->seen.missing = missing;
	f->seen.data = f;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	seen_clear(&f->seen);
	free(f);
	return 0;
}

static void assert_gap(const struct fixture *f, size_t n, uint32_t cpu, uint64_t first,
		       uint64_t last)
{
	assert_true(n < f->count);
	assert_int_equal(f->gaps[n].cpu, cpu);
	assert_int_equal(f->gaps[n].first, first);
	assert_int_equal(f->gaps[n].last, last);
}

static void reload(struct fixture *f)
{
	static struct seen_span span;
	struct seen old = f->seen;

	memset(f->seen.cpus, 0, sizeof(f->seen.cpus));
	for (uint32_t cpu = 0; cpu < SEEN_CPUS; cpu++)
		if (seen_save(&old, cpu, &span))
			assert_int_equal(seen_load(&f->seen, cpu, span.low, span.top, span.bits,
						   seen_span_bytes(span.low, span.top))
						 ?: seen_load_missed(&f->seen, cpu, span.missed,
								     span.missed_len),
					 0);
	seen_clear(&old);
}

static void tells_no_gap_where_there_is_none(void **state)
{
	struct fixture *f = *state;

	for (uint64_t n = 1; n <= 3 * SEEN_WINDOW; n++)
		assert_int_equal(seen_mark(&f->seen, 0, n, n * MS), 1);
	seen_ripen(&f->seen);
	assert_int_equal(f->count, 0);
}

static void drops_doubles(void **state)
{
	struct fixture *f = *state;

	for (uint64_t n = 1; n <= SEEN_WINDOW + 100; n++)
		assert_int_equal(seen_mark(&f->seen, 7, n, 5), 1);
	/* Within the window, at its edges, and below. */
	for (uint64_t n = 1; n <= SEEN_WINDOW + 100; n++)
		assert_int_equal(seen_mark(&f->seen, 7, n, 5), 0);
	assert_int_equal(seen_mark(&f->seen, 7, SEEN_WINDOW + 101, 5), 1);
	/* Another CPU counts for itself. */
	assert_int_equal(seen_mark(&f->seen, 8, 5, 5), 1);
	assert_int_equal(f->count, 0);
}

static void waits_for_inversions(void **state)
{
	struct fixture *f = *state;

	seen_mark(&f->seen, 0, 1, S);
	seen_mark(&f->seen, 0, 4, S);
	seen_mark(&f->seen, 0, 6, S + 999 * MS);
	assert_int_equal(seen_mark(&f->seen, 0, 3, S), 1);
	assert_int_equal(seen_mark(&f->seen, 0, 2, S), 1);
	assert_int_equal(seen_mark(&f->seen, 0, 5, S), 1);
	seen_mark(&f->seen, 0, 7, 9 * S);
	seen_mark(&f->seen, 0, 8, 19 * S);
	assert_int_equal(f->count, 0);
}

static void tells_a_gap_once_when_it_is_final(void **state)
{
	struct fixture *f = *state;

	seen_mark(&f->seen, 0, 1, S);
	seen_mark(&f->seen, 0, 5, S);     /* 2..4 */
	seen_mark(&f->seen, 0, 7, S);     /* 6 */
	seen_mark(&f->seen, 0, 8, 2 * S); /* of a second later: marks how far it is ripe */
	assert_int_equal(f->count, 0);
	seen_mark(&f->seen, 0, 9, 3 * S - 1);
	assert_int_equal(f->count, 0);
	seen_mark(&f->seen, 0, 11, 3 * S);
	assert_int_equal(f->count, 2);
	assert_gap(f, 0, 0, 2, 4);
	assert_gap(f, 1, 0, 6, 6);
	/* It comes after all, for which a state in between is no hindrance; and no second word about them. */
	assert_int_equal(seen_mark(&f->seen, 0, 3, 3 * S), 1);
	assert_int_equal(seen_mark(&f->seen, 0, 3, 3 * S), 0);
	reload(f);
	assert_int_equal(seen_mark(&f->seen, 0, 3, 3 * S), 0);
	assert_int_equal(seen_mark(&f->seen, 0, 5, 3 * S), 0);
	assert_int_equal(seen_mark(&f->seen, 0, 4, 3 * S), 1);
	assert_int_equal(seen_mark(&f->seen, 0, 4, 3 * S), 0);
	seen_mark(&f->seen, 0, 12, 9 * S);
	seen_mark(&f->seen, 0, 13, 19 * S);
	assert_int_equal(f->count, 3);
	assert_gap(f, 2, 0, 10, 10);
}

/* Other CPUs' events show that time went by. */
static void tells_gaps_of_a_cpu_that_fell_silent(void **state)
{
	struct fixture *f = *state;

	seen_mark(&f->seen, 3, 1, S);
	seen_mark(&f->seen, 3, 3, S);
	seen_mark(&f->seen, 4, 1, 2 * S);
	seen_ripen(&f->seen);
	assert_int_equal(f->count, 0);
	seen_mark(&f->seen, 4, 2, 3 * S);
	seen_ripen(&f->seen);
	assert_int_equal(f->count, 1);
	assert_gap(f, 0, 3, 2, 2);
	/* The newest number is not followed by any: what is lost behind it can't be known. */
	seen_mark(&f->seen, 4, 3, 30 * S);
	seen_ripen(&f->seen);
	assert_int_equal(f->count, 1);
}

static void tells_what_leaves_the_window(void **state)
{
	struct fixture *f = *state;

	seen_mark(&f->seen, 0, 1, S);
	seen_mark(&f->seen, 0, 1 + SEEN_WINDOW, S);
	assert_int_equal(f->count, 0); /* 2 is the lowest that is not final */
	assert_int_equal(seen_mark(&f->seen, 0, 2, S), 1);
	seen_mark(&f->seen, 0, 2 + SEEN_WINDOW, S);
	assert_int_equal(f->count, 0);
	seen_mark(&f->seen, 0, 4 + SEEN_WINDOW, S);
	assert_int_equal(f->count, 1);
	assert_gap(f, 0, 0, 3, 4);
	assert_int_equal(seen_mark(&f->seen, 0, 4, S), 1);
	assert_int_equal(seen_mark(&f->seen, 0, 4, S), 0);
	assert_int_equal(seen_mark(&f->seen, 0, 5, S), 1);
}

static void tells_a_jump_as_one_gap(void **state)
{
	const uint64_t far = (uint64_t)1 << 47;
	struct fixture *f = *state;

	seen_mark(&f->seen, 0, 1, S);
	seen_mark(&f->seen, 0, 2, S);
	assert_int_equal(seen_mark(&f->seen, 0, far, S), 1);
	assert_int_equal(f->count, 1);
	assert_gap(f, 0, 0, 3, far - SEEN_WINDOW);
	/* Nobody is that late. */
	assert_int_equal(seen_mark(&f->seen, 0, far - 2 * SEEN_WINDOW, S), 0);
	assert_int_equal(seen_mark(&f->seen, 0, far - 2 * SEEN_WINDOW + 1, S), 1);
	assert_int_equal(seen_mark(&f->seen, 0, far - SEEN_WINDOW + 1, S), 1);
	assert_int_equal(seen_mark(&f->seen, 0, far - 1, S), 1);
	/* Over a gap that was open. */
	assert_int_equal(seen_mark(&f->seen, 0, far + 2 * SEEN_WINDOW, S), 1);
	assert_int_equal(f->count, 3);
	assert_gap(f, 1, 0, far - SEEN_WINDOW + 2, far - 2);
	assert_gap(f, 2, 0, far + 1, far + SEEN_WINDOW);
}

static void begins_where_the_kernel_began(void **state)
{
	struct fixture *f = *state;

	/* The first that is read is number 4: 1 to 3 may come yet, or are lost. */
	seen_mark(&f->seen, 0, 4, S);
	assert_int_equal(seen_mark(&f->seen, 0, 2, S), 1);
	seen_mark(&f->seen, 0, 5, 2 * S);
	seen_mark(&f->seen, 0, 6, 3 * S);
	assert_int_equal(f->count, 2);
	assert_gap(f, 0, 0, 1, 1);
	assert_gap(f, 1, 0, 3, 3);
	/* Nobody knows what it began with: the rest was told elsewhere. */
	seen_mark(&f->seen, 1, 1000000, 3 * S);
	assert_int_equal(seen_mark(&f->seen, 1, 999990, 3 * S), 1);
	assert_int_equal(f->count, 2);
	/* What is not there below the first is no loss; what is behind it is one. */
	seen_mark(&f->seen, 1, 1000002, 4 * S);
	seen_mark(&f->seen, 1, 1000003, 6 * S);
	seen_mark(&f->seen, 1, 1000004, 8 * S);
	assert_int_equal(f->count, 3);
	assert_gap(f, 2, 1, 1000001, 1000001);
}

/* Also not behind a restart. */
static void keeps_what_is_no_loss(void **state)
{
	struct fixture *f = *state;
	struct seen_span span;

	seen_mark(&f->seen, 1, 1000000, S);
	assert_true(seen_save(&f->seen, 1, &span));
	seen_clear(&f->seen);
	assert_int_equal(seen_load(&f->seen, 1, span.low, span.top, span.bits,
				   seen_span_bytes(span.low, span.top)),
			 0);
	for (uint64_t n = 1; n < 5; n++)
		assert_int_equal(seen_mark(&f->seen, 1, 1000000 + n, 2 * n * S), 1);
	assert_int_equal(f->count, 0);
}

static void begins_where_it_is_told_to(void **state)
{
	struct fixture *f = *state;

	seen_begin(&f->seen, 1001);
	assert_int_equal(seen_highest(&f->seen), 0);
	assert_int_equal(seen_mark(&f->seen, 0, 1000, S), 0);
	assert_int_equal(seen_mark(&f->seen, 0, 1500, S), 1);
	assert_int_equal(seen_mark(&f->seen, 0, 1001, S), 1);
	assert_int_equal(seen_mark(&f->seen, 1, 1001, S), 1);
	assert_int_equal(seen_highest(&f->seen), 1500);
	assert_int_equal(f->count, 0);
	/* Whoever told these numbers will tell no more of them. */
	seen_begin(&f->seen, 7000000);
	assert_int_equal(f->count, 1);
	assert_gap(f, 0, 0, 1002, 1499);
	assert_int_equal(seen_mark(&f->seen, 0, 1501, S), 0);
	assert_int_equal(seen_mark(&f->seen, 0, 7000002, 2 * S), 1);
	assert_int_equal(seen_mark(&f->seen, 0, 7000003, 3 * S), 1);
	assert_int_equal(seen_mark(&f->seen, 0, 7000004, 4 * S), 1);
	assert_int_equal(f->count, 2);
	assert_gap(f, 1, 0, 7000000, 7000001);
}

static void refuses_numbers_that_are_none(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(seen_mark(&f->seen, SEEN_CPUS, 1, S), -ERANGE);
	assert_int_equal(seen_mark(&f->seen, UINT32_MAX, 1, S), -ERANGE);
	assert_int_equal(seen_mark(&f->seen, 0, (uint64_t)1 << 48, S), -ERANGE);
	assert_int_equal(seen_mark(&f->seen, 0, UINT64_MAX, S), -ERANGE);
	assert_int_equal(seen_mark(&f->seen, SEEN_CPUS - 1, ((uint64_t)1 << 48) - 1, S), 1);
	assert_int_equal(seen_mark(&f->seen, 0, 0, S), 0);
}

static void forgives_what_is_known(void **state)
{
	struct fixture *f = *state;

	seen_mark(&f->seen, 0, 1, S);
	seen_mark(&f->seen, 0, 10, S);
	seen_forgive(&f->seen, 0, 0, 3);
	seen_forgive(&f->seen, 0, 5, 5);
	seen_forgive(&f->seen, 0, 9, UINT64_MAX);
	seen_forgive(&f->seen, 1, 1, 2);
	seen_forgive(&f->seen, SEEN_CPUS, 1, 2);
	seen_mark(&f->seen, 0, 11, 2 * S);
	seen_mark(&f->seen, 0, 12, 3 * S);
	assert_int_equal(f->count, 2);
	assert_gap(f, 0, 0, 4, 4);
	assert_gap(f, 1, 0, 6, 8);
	/* They come after all. */
	for (uint64_t n = 2; n <= 9; n++)
		assert_int_equal(seen_mark(&f->seen, 0, n, 3 * S), 1);
	for (uint64_t n = 1; n <= 12; n++)
		assert_int_equal(seen_mark(&f->seen, 0, n, 3 * S), 0);
}

static void refuses_a_state_that_contradicts_itself(void **state)
{
	static const uint8_t bits[SEEN_WINDOW / 8 + 1];
	struct fixture *f = *state;

	assert_int_equal(seen_load(&f->seen, SEEN_CPUS, 1, 9, bits, 1), -EBADMSG);
	assert_int_equal(seen_load(&f->seen, 0, 9, 1, bits, 1), -EBADMSG);
	assert_int_equal(seen_load(&f->seen, 0, 1, 9, bits, 0), -EBADMSG);
	assert_int_equal(seen_load(&f->seen, 0, 1, 9, bits, 2), -EBADMSG);
	assert_int_equal(seen_load(&f->seen, 0, 0, SEEN_WINDOW + 1, bits, SEEN_WINDOW / 8 + 1),
			 -EBADMSG);
	assert_int_equal(seen_load(&f->seen, 0, UINT64_MAX - 8, UINT64_MAX, bits, 1), -EBADMSG);
	assert_int_equal(seen_load(&f->seen, 0, 1, 9, bits, 1), 0);
	assert_int_equal(seen_load(&f->seen, 0, 1, 9, bits, 1), -EBADMSG);
	assert_int_equal(seen_load(&f->seen, 1, 0, SEEN_WINDOW, bits, SEEN_WINDOW / 8), 0);
	assert_int_equal(seen_load(&f->seen, 2, 5, 5, NULL, 0), 0);
	assert_int_equal(seen_load_missed(&f->seen, 3, bits, 1), -EBADMSG);
	assert_int_equal(seen_load_missed(&f->seen, SEEN_CPUS, bits, 1), -EBADMSG);
	assert_int_equal(seen_load_missed(&f->seen, 2, bits, SEEN_WINDOW / 8 + 1), -EBADMSG);
	assert_int_equal(seen_load_missed(&f->seen, 2, bits, SEEN_WINDOW / 8), 0);
}

/*
 * A ring as the kernel fills it: each number is taken in order and finds its place up to 50 ms
 * later; some are lost, some are read twice, and the daemon is restarted now and then.
 */
static void tells_exactly_what_is_lost(void **state)
{
	enum { NUMBERS = 40000 };
	static struct event {
		uint64_t number, taken, placed;
		bool lost, told;
	} events[NUMBERS], *order[NUMBERS];
	struct fixture *f = *state;
	unsigned int seed = 4711;
	size_t n = 0;

	for (uint64_t i = 0; i < NUMBERS; i++) {
		uint64_t late = rand_r(&seed) % 16 ? 0 : rand_r(&seed) % (50 * MS);

		events[i] =
			(struct event){.number = i + 1, .taken = i * MS, .placed = i * MS + late};
		/* Singly, and in runs. */
		events[i].lost = rand_r(&seed) % 97 == 0 || (i % 5000 > 4900);
		if (!events[i].lost)
			order[n++] = &events[i];
	}
	/* By place: an insertion sort, since few are out of order. */
	for (size_t i = 1; i < n; i++)
		for (size_t k = i; k && order[k - 1]->placed > order[k]->placed; k--) {
			struct event *swap = order[k];

			order[k] = order[k - 1];
			order[k - 1] = swap;
		}
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(seen_mark(&f->seen, 5, order[i]->number, order[i]->placed), 1);
		if (rand_r(&seed) % 50 == 0)
			assert_int_equal(seen_mark(&f->seen, 5, order[i]->number, order[i]->placed),
					 0);
		if (rand_r(&seed) % 200 == 0) /* and so is all of a batch */
			for (size_t k = i > 300 ? i - 300 : 0; k <= i; k++)
				assert_int_equal(
					seen_mark(&f->seen, 5, order[k]->number, order[k]->placed),
					0);
		if (rand_r(&seed) % 300 == 0)
			reload(f);
	}
	/* Time goes by. */
	for (int i = 1; i <= 3; i++) {
		seen_mark(&f->seen, 6, i, NUMBERS * MS + i * 2 * S);
		seen_ripen(&f->seen);
	}

	for (size_t i = 0; i < f->count; i++)
		for (uint64_t k = f->gaps[i].first; k <= f->gaps[i].last; k++) {
			assert_int_equal(f->gaps[i].cpu, 5);
			assert_true(events[k - 1].lost);
			assert_false(events[k - 1].told);
			events[k - 1].told = true;
		}
	/* All but those behind the newest. */
	for (size_t i = 0; i < NUMBERS; i++)
		if (events[i].lost && events[i].number < order[n - 1]->number - 1000)
			assert_true(events[i].told);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(tells_no_gap_where_there_is_none),
		TEST(drops_doubles),
		TEST(waits_for_inversions),
		TEST(tells_a_gap_once_when_it_is_final),
		TEST(tells_gaps_of_a_cpu_that_fell_silent),
		TEST(tells_what_leaves_the_window),
		TEST(tells_a_jump_as_one_gap),
		TEST(begins_where_the_kernel_began),
		TEST(keeps_what_is_no_loss),
		TEST(begins_where_it_is_told_to),
		TEST(refuses_numbers_that_are_none),
		TEST(forgives_what_is_known),
		TEST(refuses_a_state_that_contradicts_itself),
		TEST(tells_exactly_what_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
