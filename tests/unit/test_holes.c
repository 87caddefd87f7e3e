/* SPDX-License-Identifier: Apache-2.0 */
/* Segments that somebody else removed, while the ledger was closed and while it was written. */
#include "ledger_fixture.h"

static void fill(int count)
{
	struct ledger *l = open_clean();

	append(l, count);
	ledger_close(l);
}

static void path_of(uint64_t index, char ret[static 128])
{
	snprintf(ret, 128, "%s/%016llx.seg", ledger_dir, (unsigned long long)index);
}

static void take_away(uint64_t index)
{
	char path[128];

	path_of(index, path);
	assert_int_equal(unlink(path), 0);
}

/* The number of the first record of that segment. */
static uint64_t first_of(uint64_t index)
{
	struct segment_reader *r;
	char path[128];
	uint64_t first;

	path_of(index, path);
	assert_int_equal(segment_reader_new(open(path, O_RDONLY), &r), 0);
	first = segment_reader_sequence(r);
	segment_reader_free(r);
	return first;
}

static void assert_hole(struct ledger *l, uint64_t first, uint64_t last)
{
	uint64_t found_first = 0, found_last = 0;

	assert_true(ledger_hole(l, &found_first, &found_last));
	assert_int_equal(found_first, first);
	assert_int_equal(found_last, last);
}

static void assert_no_hole(struct ledger *l)
{
	uint64_t first, last;

	assert_false(ledger_hole(l, &first, &last));
}

/* In a child, which dies of it. */
static void tell_and_die(void)
{
	struct ledger_recovery recovery;
	uint64_t first, last;
	struct ledger *l;

	if (ledger_open(&defaults, UINT64_MAX, NULL, NULL, &recovery, &l))
		_exit(1);
	if (!ledger_hole(l, &first, &last) || append_one(l) || ledger_flush(l))
		_exit(2);
	_exit(0);
}

static void is_told_again_after_a_crash(void **state)
{
	uint64_t first, last;
	struct ledger *l;

	(void)state;
	fill(200);
	first = first_of(3);
	last = first_of(4) - 1;
	take_away(3);
	in_child(tell_and_die);
	l = open_clean();
	assert_hole(l, first, last);
	append(l, 1);
	ledger_close(l);
	for (int i = 0; i < 2; i++) {
		l = open_clean();
		assert_no_hole(l);
		ledger_close(l);
	}
}

static void the_beginning_is_known(void **state)
{
	uint64_t last;
	struct ledger *l;

	(void)state;
	fill(200);
	last = first_of(3) - 1;
	take_away(1);
	take_away(2);
	l = open_clean();
	assert_hole(l, 1, last);
	assert_no_hole(l);
	ledger_close(l);
	l = open_clean();
	assert_no_hole(l);
	ledger_close(l);
}

static void an_end_that_was_cut(void **state)
{
	uint64_t last;
	struct ledger *l;
	char path[128];

	(void)state;
	fill(200);
	last = first_of(3) - 1;
	path_of(2, path);
	assert_int_equal(truncate(path, 2000), 0);
	l = open_clean();
	{
		uint64_t first, found;

		assert_true(ledger_hole(l, &first, &found));
		assert_in_range(first, first_of(2) + 1, last);
		assert_int_equal(found, last);
	}
	ledger_close(l);
	l = open_clean();
	assert_no_hole(l);
	ledger_close(l);
}

static void retention_makes_none(void **state)
{
	struct ledger_config config = defaults;
	struct ledger_recovery recovery;
	uint64_t first, last, bytes;
	struct ledger *l;

	(void)state;
	config.total_bytes = 12000;
	for (int i = 0; i < 3; i++) {
		l = open_with(&config, &recovery);
		assert_no_hole(l);
		append(l, 150);
		assert_true(ledger_removed(l, &first, &last, &bytes));
		assert_no_hole(l);
		assert_int_equal(ledger_check(l), 0);
		assert_no_hole(l);
		ledger_close(l);
	}
}

/* Recovery told of it. */
static void a_torn_end_makes_none(void **state)
{
	struct ledger_recovery recovery;
	struct ledger *l;
	uint8_t *data;
	char name[32];
	size_t size;

	(void)state;
	fill(200);
	l = open_clean();
	{
		struct ledger_stats stats;

		append(l, 5);
		ledger_stats(l, &stats);
		snprintf(name, sizeof(name), "%016llx.seg",
			 (unsigned long long)stats.current_index);
	}
	ledger_close(l);
	data = load(name, &size);
	data[SEGMENT_HEADER_SIZE + SEGMENT_FRAME_HEADER_SIZE] ^= 1;
	store(name, data, size);
	free(data);
	l = open_with(&defaults, &recovery);
	assert_true(recovery.damaged);
	assert_no_hole(l);
	append(l, 3);
	ledger_close(l);
	for (int i = 0; i < 2; i++) {
		l = open_clean();
		assert_no_hole(l);
		ledger_close(l);
	}
}

static void is_found_while_it_is_written(void **state)
{
	uint64_t first, last, next, index, first_sequence;
	struct ledger_stats stats;
	struct ledger *l;
	bool sealed;
	int fd;

	(void)state;
	l = open_clean();
	append(l, 200);
	assert_int_equal(ledger_flush(l), 0);
	assert_int_equal(ledger_check(l), 0);
	assert_no_hole(l);
	first = first_of(2);
	last = first_of(3) - 1;
	take_away(2);
	/* Readers get the others at once. */
	fd = ledger_segment_fd(l, 2, &index, &first_sequence, &sealed);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(index, 3);
	assert_int_equal(ledger_check(l), 0);
	assert_hole(l, first, last);
	assert_no_hole(l);

	/* And the one that is being written: what is not written yet goes with it. */
	ledger_stats(l, &stats);
	first = first_of(stats.current_index);
	take_away(stats.current_index);
	append(l, 2);
	next = ledger_next_sequence(l);
	assert_int_equal(ledger_check(l), 0);
	assert_hole(l, first, next - 1);
	assert_no_hole(l);
	append(l, 2);
	ledger_close(l);
	l = open_clean();
	assert_no_hole(l);
	assert_int_equal(ledger_next_sequence(l), next + 2);
	ledger_stats(l, &stats);
	assert_int_equal(first_of(stats.current_index), next);
	ledger_close(l);
}

static void without_a_directory_nothing_is_written(void **state)
{
	struct ledger *l = open_clean();

	(void)state;
	append(l, 20);
	assert_int_equal(ledger_flush(l), 0);
	begin(NULL);
	assert_int_equal(ledger_check(l), -ENOENT);
	append(l, 1);
	assert_int_equal(ledger_flush(l), -ENOENT);
	assert_int_equal(ledger_sync(l), -ENOENT);
	assert_int_equal(ledger_check(l), -ENOENT);
	ledger_close(l);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(is_told_again_after_a_crash, begin),
		cmocka_unit_test_setup(the_beginning_is_known, begin),
		cmocka_unit_test_setup(an_end_that_was_cut, begin),
		cmocka_unit_test_setup(retention_makes_none, begin),
		cmocka_unit_test_setup(a_torn_end_makes_none, begin),
		cmocka_unit_test_setup(is_found_while_it_is_written, begin),
		cmocka_unit_test_setup(without_a_directory_nothing_is_written, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return run_in_directory(run);
}
