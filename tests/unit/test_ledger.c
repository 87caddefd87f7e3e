/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger_fixture.h"

#include <sys/syscall.h>
#include <sys/wait.h>

/* So many syncs are refused. */
static int refusals;

int fdatasync(int fd)
{
	if (refusals > 0) {
		refusals--;
		errno = EIO;
		return -1;
	}
	return syscall(SYS_fdatasync, fd);
}

struct seen {
	uint64_t count, first, last;
};

static void note_seen(void *data, const struct segment_frame *frame)
{
	struct seen *s = data;

	if (s->count++)
		assert_int_equal(frame->sequence, s->last + 1);
	else
		s->first = frame->sequence;
	assert_int_equal(frame->source, frame->sequence << 8);
	s->last = frame->sequence;
}

static void appends_rotates_and_reads_back(void **state)
{
	struct ledger_stats stats;
	struct ledger *l;

	(void)state;
	l = open_clean();
	assert_int_equal(ledger_next_sequence(l), 1);
	append(l, 200);
	assert_int_equal(ledger_sync(l), 0);
	assert_int_equal(read_all(l, 1), 201);
	ledger_stats(l, &stats);
	assert_true(stats.segments > 4);
	assert_int_equal(stats.oldest_sequence, 1);
	assert_int_equal(stats.next_sequence, 201);
	assert_int_equal(stats.current_index, stats.segments);
	ledger_close(l);

	l = open_clean();
	assert_int_equal(ledger_next_sequence(l), 201);
	append(l, 100);
	assert_int_equal(ledger_flush(l), 0);
	assert_int_equal(read_all(l, 1), 301);
	ledger_close(l);
}

static void files_are_private(void **state)
{
	struct ledger *l = open_clean();
	struct stat st;
	char path[128];

	(void)state;
	assert_int_equal(stat(ledger_dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	snprintf(path, sizeof(path), "%s/0000000000000001.seg", ledger_dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	ledger_close(l);
}

static void refuses_what_does_not_fit(void **state)
{
	static uint8_t big[SEGMENT_PAYLOAD_MAX + 1];
	struct segment_reader *r;
	struct segment_frame frame;
	struct ledger *l = open_clean();
	uint64_t index, first;
	bool sealed;

	(void)state;
	assert_int_equal(ledger_append(l, 0, 0, big, sizeof(big)), -EMSGSIZE);
	assert_int_equal(ledger_append(l, 0, 0, big, 0), -EMSGSIZE);
	assert_int_equal(ledger_next_sequence(l), 1);
	for (int i = 0; i < 10; i++) {
		memset(big, i, sizeof(big));
		assert_int_equal(ledger_append(l, 0, 0, big, SEGMENT_PAYLOAD_MAX), 0);
	}
	assert_int_equal(ledger_flush(l), 0);
	/* each is larger than segment_bytes: a segment for every one */
	for (int i = 0; i < 10; i++) {
		assert_int_equal(segment_reader_new(
					 ledger_segment_fd(l, 1 + i, &index, &first, &sealed), &r),
				 0);
		assert_int_equal(segment_reader_next(r, &frame), 1);
		assert_int_equal(frame.len, SEGMENT_PAYLOAD_MAX);
		assert_int_equal(frame.payload[0], i);
		assert_int_equal(frame.payload[SEGMENT_PAYLOAD_MAX - 1], i);
		segment_reader_free(r);
	}
	ledger_close(l);
}

static void one_writer_a_directory(void **state)
{
	struct ledger_recovery recovery;
	struct ledger *l = open_clean(), *other = NULL;

	(void)state;
	assert_int_equal(ledger_open(&defaults, UINT64_MAX, NULL, NULL, &recovery, &other), -EBUSY);
	assert_null(other);
	ledger_close(l);
}

static void another_boot_begins_a_segment(void **state)
{
	struct ledger_config config = defaults;
	struct ledger_recovery recovery;
	struct ledger_stats stats;
	struct seen seen = {};
	struct ledger *l = open_clean();

	(void)state;
	append(l, 3);
	ledger_close(l);
	config.boot_id[0] ^= 1;
	l = open_with(&config, &recovery);
	assert_int_equal(recovery.last_sequence, 3);
	append(l, 4);
	ledger_stats(l, &stats);
	assert_int_equal(stats.segments, 2);
	assert_int_equal(ledger_flush(l), 0);
	assert_int_equal(read_all(l, 1), 8);
	ledger_close(l);

	/* Only this boot's frames are shown: the other's sources mean nothing now. */
	assert_int_equal(ledger_open(&config, 0, note_seen, &seen, &recovery, &l), 0);
	assert_int_equal(seen.count, 4);
	assert_int_equal(seen.first, 4);
	ledger_close(l);
}

static void shows_the_window(void **state)
{
	struct ledger_recovery recovery;
	struct ledger *l = open_clean();

	(void)state;
	append(l, 300);
	ledger_close(l);
	for (uint64_t window = 0; window < 400; window += 7) {
		struct seen seen = {};
		uint64_t expected = window < 300 ? window : 300;
		uint64_t from = window < 301 ? 301 - window : 0;

		assert_int_equal(ledger_open(&defaults, from, note_seen, &seen, &recovery, &l), 0);
		assert_int_equal(seen.count, expected);
		if (expected)
			assert_int_equal(seen.last, 300);
		ledger_close(l);
	}
}

static uint64_t total_size(void)
{
	uint64_t sum = 0;
	DIR *dir = opendir(ledger_dir);
	struct dirent *entry;
	struct stat st;

	while ((entry = readdir(dir)))
		if (strstr(entry->d_name, ".seg") && !fstatat(dirfd(dir), entry->d_name, &st, 0))
			sum += st.st_size;
	closedir(dir);
	return sum;
}

static void retention_tells_what_it_took(void **state)
{
	struct ledger_config config = defaults;
	struct ledger_recovery recovery;
	struct ledger *l;
	struct ledger_stats stats;
	uint64_t first = 99, last, bytes, oldest = 1;

	(void)state;
	config.total_bytes = 20000;
	l = open_with(&config, &recovery);
	assert_false(ledger_removed(l, &first, &last, &bytes));
	for (int i = 0; i < 2000; i++) {
		append(l, 1);
		assert_int_equal(ledger_flush(l), 0);
		assert_true(total_size() <= config.total_bytes + 512);
		if (!ledger_removed(l, &first, &last, &bytes))
			continue;
		assert_int_equal(first, oldest);
		assert_true(last >= first);
		assert_in_range(bytes, 4096, 4096 + 512);
		oldest = last + 1;
		ledger_stats(l, &stats);
		assert_int_equal(stats.oldest_sequence, oldest);
		assert_false(ledger_removed(l, &first, &last, &bytes));
	}
	assert_true(oldest > 1000);
	assert_int_equal(read_all(l, oldest), 2001);
	ledger_close(l);
}

/* A child that ends without closing anything: what kill -9 leaves. */
enum sync { FLUSH, SYNC, BEGIN, BEGIN_EARLY, BEGIN_END };

/* What is told before it began, or after, and whether it came to an end. */
static int sync_as(struct ledger *l, enum sync sync, int begun)
{
	int fd = begun;

	switch (sync) {
	case FLUSH:
		return ledger_flush(l);
	case SYNC:
		return ledger_sync(l);
	case BEGIN:
		return ledger_sync_begin(l, &fd);
	case BEGIN_EARLY:
		return fdatasync(fd) ?: ledger_sync_end(l, 0);
	case BEGIN_END:
		return ledger_sync_begin(l, &fd) ?: fdatasync(fd) ?: ledger_sync_end(l, 0);
	}
	return -EINVAL;
}

static void remove_and_die(bool tell, enum sync sync)
{
	struct ledger_config config = defaults;
	struct ledger_recovery recovery;
	uint64_t first, last, bytes;
	struct ledger_stats stats;
	struct ledger *l;
	int begun = -1;

	config.total_bytes = 10000;
	if (ledger_open(&config, UINT64_MAX, NULL, NULL, &recovery, &l))
		_exit(1);
	do {
		if (append_one(l))
			_exit(2);
		ledger_stats(l, &stats);
	} while (stats.oldest_sequence == 1);
	if (sync == BEGIN_EARLY && ledger_sync_begin(l, &begun))
		_exit(3);
	if (tell && !ledger_removed(l, &first, &last, &bytes))
		_exit(4);
	if (append_one(l)) /* the Gap */
		_exit(5);
	if (sync_as(l, sync, begun))
		_exit(6);
	_exit(0);
}

static void die_untold(void)
{
	remove_and_die(false, SYNC);
}

static void die_unsynced(void)
{
	remove_and_die(true, FLUSH);
}

static void die_synced(void)
{
	remove_and_die(true, SYNC);
}

static void die_begun(void)
{
	remove_and_die(true, BEGIN);
}

static void die_begun_before(void)
{
	remove_and_die(true, BEGIN_EARLY);
}

static void die_begun_and_ended(void)
{
	remove_and_die(true, BEGIN_END);
}

static void removal_is_told_after_a_crash(void **state)
{
	static const struct {
		void (*die)(void);
		bool again;
	} deaths[] = {
		{die_untold, true}, {die_unsynced, true},     {die_synced, false},
		{die_begun, true},  {die_begun_before, true}, {die_begun_and_ended, false},
	};

	for (size_t i = 0; i < sizeof(deaths) / sizeof(*deaths); i++) {
		uint64_t first = 0, last = 0, bytes;
		struct ledger_recovery recovery;
		struct ledger_stats stats;
		struct ledger *l;

		begin(state);
		in_child(deaths[i].die);
		l = open_with(&defaults, &recovery);
		ledger_stats(l, &stats);
		assert_true(stats.oldest_sequence > 1);
		assert_int_equal(ledger_removed(l, &first, &last, &bytes), deaths[i].again);
		if (deaths[i].again) {
			assert_int_equal(first, 1);
			assert_int_equal(last, stats.oldest_sequence - 1);
		}
		ledger_close(l);
	}
}

/*
 * What it said is not known any more. All that is not there was removed once; what of it was told
 * is told again, which is better than silence.
 */
static void a_damaged_note_stands_for_all_that_was_removed(void **state)
{
	uint64_t first = 0, last = 0, bytes = 1;
	struct ledger_recovery recovery;
	struct ledger_stats stats;
	struct ledger *l;
	uint8_t *data;
	size_t size;

	(void)state;
	in_child(die_untold);
	for (int i = 0; i < 3; i++) {
		data = load("removed", &size);
		data[9] ^= 1;
		store("removed", data, i == 1 ? 20 : i == 2 ? 0 : size);
		free(data);
		l = open_with(&defaults, &recovery);
		ledger_stats(l, &stats);
		assert_true(stats.oldest_sequence > 1);
		ledger_close(l); /* a start that fails */
		l = open_with(&defaults, &recovery);
		assert_true(ledger_removed(l, &first, &last, &bytes));
		assert_int_equal(first, 1);
		assert_int_equal(last, stats.oldest_sequence - 1);
		assert_int_equal(bytes, 0);
		append(l, 1);
		assert_int_equal(ledger_sync(l), 0);
		assert_false(ledger_removed(l, &first, &last, &bytes));
		ledger_close(l);
	}
	/* Nor is known what was cut: that something may have been is all that is told. */
	data = load("removed", &size);
	data[40] ^= 1;
	store("removed", data, size);
	assert_int_equal(ledger_open(&defaults, 0, NULL, NULL, &recovery, &l), 0);
	assert_true(recovery.repaired);
	assert_int_equal(recovery.torn_bytes, 0);
	ledger_close(l);
	/* Of a ledger that has all, nothing was removed. */
	begin(state);
	ledger_close(open_clean());
	store("removed", "x", 1);
	l = open_untold(&defaults, &recovery);
	assert_false(ledger_removed(l, &first, &last, &bytes));
	ledger_close(l);
	free(data);
}

/* ---- a disk that refuses to make records durable ---- */

static void assert_doubted(struct ledger *l, uint64_t first, uint64_t last)
{
	uint64_t f = 0, t = 0;

	assert_int_equal(ledger_doubted(l, &f, &t), first != 0);
	assert_int_equal(f, first);
	assert_int_equal(t, last);
	assert_false(ledger_doubted(l, &f, &t));
}

/* The kernel says it once; what is written after that goes into another file. */
static void a_sync_that_fails_puts_its_records_in_doubt(void **state)
{
	struct ledger *l = open_clean();
	struct ledger_stats stats;
	int fd;

	(void)state;
	append(l, 3);
	assert_int_equal(ledger_sync(l), 0);
	append(l, 2);
	assert_int_equal(ledger_sync_begin(l, &fd), 0);
	close(fd);
	append(l, 1);
	assert_int_equal(ledger_sync_end(l, -EIO), 0);
	assert_doubted(l, 0, 0); /* the Gap is to lie in another segment */
	append(l, 1);
	refusals = 1; /* and that can't be begun yet */
	assert_int_equal(ledger_sync_begin(l, &fd), -EIO);
	append(l, 1);
	assert_int_equal(ledger_sync_begin(l, &fd), 0);
	close(fd);
	assert_doubted(l, 4, 8);
	ledger_stats(l, &stats);
	assert_int_equal(stats.segments, 2);
	append(l, 1);
	assert_int_equal(ledger_sync_end(l, 0), 0);
	assert_int_equal(ledger_sync(l), 0);
	assert_doubted(l, 0, 0);
	assert_int_equal(read_all(l, 1), 10);
	ledger_close(l);
	ledger_close(open_clean());
}

static void a_refusal_when_a_segment_ends(void **state)
{
	struct ledger *l = open_clean();
	struct ledger_stats stats;
	int fd;

	(void)state;
	append(l, 2);
	assert_int_equal(ledger_sync(l), 0);
	refusals = 1;
	while (append_one(l) == 0)
		;
	assert_int_equal(refusals, 0);
	assert_doubted(l, 0, 0);
	ledger_stats(l, &stats);
	assert_int_equal(stats.segments, 1);
	append(l, 1);
	assert_doubted(l, 3, stats.next_sequence - 1);

	/* A sync that was under way when a segment ended, which went well. */
	assert_int_equal(ledger_sync(l), 0);
	append(l, 1);
	assert_int_equal(ledger_sync_begin(l, &fd), 0);
	close(fd);
	ledger_stats(l, &stats);
	for (uint64_t now = stats.segments; stats.segments == now; ledger_stats(l, &stats))
		append(l, 1);
	assert_int_equal(ledger_sync_end(l, -EIO), 0);
	assert_int_equal(ledger_sync(l), 0);
	ledger_stats(l, &stats);
	assert_int_equal(stats.segments, 4);
	ledger_close(l);
	ledger_close(open_clean());
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(appends_rotates_and_reads_back, begin),
		cmocka_unit_test_setup(files_are_private, begin),
		cmocka_unit_test_setup(refuses_what_does_not_fit, begin),
		cmocka_unit_test_setup(one_writer_a_directory, begin),
		cmocka_unit_test_setup(another_boot_begins_a_segment, begin),
		cmocka_unit_test_setup(shows_the_window, begin),
		cmocka_unit_test_setup(retention_tells_what_it_took, begin),
		cmocka_unit_test_setup(removal_is_told_after_a_crash, begin),
		cmocka_unit_test_setup(a_sync_that_fails_puts_its_records_in_doubt, begin),
		cmocka_unit_test_setup(a_refusal_when_a_segment_ends, begin),
		cmocka_unit_test_setup(a_damaged_note_stands_for_all_that_was_removed, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return run_in_directory(run);
}
