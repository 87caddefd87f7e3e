/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger_fixture.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

/*
 * A power cut can leave any length of the last segment. Whole frames stay, the rest is cut and
 * told, and the numbers go on without a hole.
 */
static void any_length_of_the_last_segment(void **state)
{
	size_t size, frames = 0, end = SEGMENT_HEADER_SIZE;
	uint8_t *data, payload[256];
	struct ledger *l = open_clean();

	(void)state;
	append(l, 8);
	ledger_close(l);
	data = load("0000000000000001.seg", &size);
	for (size_t len = 0; len <= size; len++) {
		struct ledger_recovery recovery;
		uint64_t next;

		if (len > SEGMENT_HEADER_SIZE &&
		    len == end + frame_size(payload_of(frames + 1, payload))) {
			end = len;
			frames++;
		}
		remove_files(ledger_dir);
		store("0000000000000001.seg", data, len);
		l = open_with(&defaults, &recovery);
		assert_int_equal(recovery.torn_bytes, len < SEGMENT_HEADER_SIZE ? len : len - end);
		assert_false(recovery.damaged);
		assert_int_equal(recovery.last_sequence, frames);
		append(l, 2);
		assert_int_equal(ledger_flush(l), 0);
		next = read_all(l, 1);
		assert_int_equal(next, frames + 3);
		ledger_close(l);
		ledger_close(open_clean());
	}
	assert_int_equal(frames, 8);
	free(data);
}

/* Zeros behind the last frame: some filesystems grow a file before its data is there. */
static void zeros_at_the_end_are_torn(void **state)
{
	struct ledger_recovery recovery;
	struct ledger *l = open_clean();
	uint8_t *data;
	size_t size;

	(void)state;
	append(l, 3);
	ledger_close(l);
	data = load("0000000000000001.seg", &size);
	data = realloc(data, size + 4096);
	memset(data + size, 0, 4096);
	store("0000000000000001.seg", data, size + 4096);
	l = open_with(&defaults, &recovery);
	assert_int_equal(recovery.torn_bytes, 4096);
	assert_false(recovery.damaged);
	assert_int_equal(read_all(l, 1), 4);
	ledger_close(l);
	free(data);
}

static bool exists(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", ledger_dir, name);
	return !access(path, F_OK);
}

static void damage_in_the_middle(void **state)
{
	struct ledger_recovery recovery;
	struct ledger *l = open_clean();
	struct segment_reader *r;
	struct segment_frame frame;
	uint64_t index, first;
	uint8_t *data, *torn;
	size_t size, torn_size;
	bool sealed;

	(void)state;
	append(l, 10);
	ledger_close(l);
	data = load("0000000000000001.seg", &size);
	data[SEGMENT_HEADER_SIZE + 4] ^= 0x10; /* the first frame's checksum */
	store("0000000000000001.seg", data, size);

	l = open_with(&defaults, &recovery);
	assert_true(recovery.damaged);
	assert_int_equal(recovery.torn_bytes, size - SEGMENT_HEADER_SIZE);
	assert_int_equal(recovery.lost_first, 1);
	assert_int_equal(recovery.lost_last, 10);
	assert_int_equal(recovery.last_sequence, 10);
	assert_int_equal(ledger_next_sequence(l), 11); /* readers may have seen the others */
	append(l, 1);
	assert_int_equal(ledger_flush(l), 0);

	torn = load("0000000000000001.torn", &torn_size);
	assert_int_equal(torn_size, size - SEGMENT_HEADER_SIZE);
	assert_memory_equal(torn, data + SEGMENT_HEADER_SIZE, torn_size);
	free(torn);
	assert_int_equal(segment_reader_new(ledger_segment_fd(l, 1, &index, &first, &sealed), &r),
			 0);
	assert_int_equal(segment_reader_next(r, &frame), -ENODATA);
	assert_true(sealed);
	segment_reader_free(r);
	assert_int_equal(segment_reader_new(ledger_segment_fd(l, 2, &index, &first, &sealed), &r),
			 0);
	assert_int_equal(first, 11);
	assert_int_equal(segment_reader_next(r, &frame), 1);
	assert_int_equal(frame.sequence, 11);
	segment_reader_free(r);
	ledger_close(l);
	ledger_close(open_clean());
	free(data);
}

/*
 * A start that ends behind the cut leaves what it found to the next, until a Gap of it is synced;
 * what comes to it meanwhile is added.
 */
static void what_was_cut_is_known_until_it_is_told(void **state)
{
	struct ledger_recovery recovery;
	struct ledger *l = open_clean();
	static const size_t torn[] = {50, 70, 0}, sum[] = {50, 120, 120};
	uint64_t first, last, bytes;
	uint8_t *data;
	size_t size;

	(void)state;
	append(l, 3);
	ledger_close(l);
	for (int i = 0; i < 3; i++) {
		data = load("0000000000000001.seg", &size);
		data = realloc(data, size + torn[i] + 1);
		memset(data + size, 0, torn[i]);
		store("0000000000000001.seg", data, size + torn[i]);
		free(data);
		l = open_untold(&defaults, &recovery);
		assert_int_equal(recovery.torn_bytes, sum[i]);
		assert_false(recovery.damaged);
		assert_int_equal(ledger_sync(l), 0); /* without a Gap */
		ledger_close(l);
	}
	l = open_untold(&defaults, &recovery);
	append(l, 1);
	ledger_repair_told(l);
	assert_false(ledger_removed(l, &first, &last, &bytes));
	assert_int_equal(ledger_sync(l), 0);
	ledger_close(l);
	ledger_close(open_clean());
}

/* Cut, and killed before anything else: as if the file system had taken the cut alone. */
static void a_cut_that_was_only_announced(void **state)
{
	struct ledger_recovery recovery;
	struct ledger *l = open_clean();
	uint8_t *data;
	size_t size;

	(void)state;
	append(l, 10);
	ledger_close(l);
	data = load("0000000000000001.seg", &size);
	data[SEGMENT_HEADER_SIZE + 4] ^= 0x10;
	for (int i = 0; i < 2; i++) {
		char path[128];

		store("0000000000000001.seg", data, size);
		snprintf(path, sizeof(path), "%s/0000000000000002.seg", ledger_dir);
		(void)unlink(path);
		l = open_untold(&defaults, &recovery);
		assert_true(recovery.damaged);
		assert_int_equal(recovery.torn_bytes, size - SEGMENT_HEADER_SIZE);
		assert_int_equal(recovery.lost_first, 1);
		assert_int_equal(recovery.lost_last, 10);
		ledger_close(l);
	}
	free(data);
	/* And cut: what is gone is known from the note alone. */
	l = open_with(&defaults, &recovery);
	assert_int_equal(recovery.lost_last, 10);
	ledger_close(l);
	ledger_close(open_clean());
}

static void damaged_header_of_the_last(void **state)
{
	struct ledger_recovery recovery;
	struct ledger *l = open_clean();
	struct ledger_stats stats;
	uint8_t *data;
	char name[SEGMENT_NAME_SIZE];
	size_t size;

	(void)state;
	append(l, 60);
	ledger_stats(l, &stats);
	ledger_close(l);
	assert_true(stats.segments > 1);
	segment_name_format(stats.current_index, "seg", name);
	data = load(name, &size);
	data[20] ^= 1;
	store(name, data, size);
	l = open_with(&defaults, &recovery);
	assert_true(recovery.damaged);
	assert_int_equal(recovery.torn_bytes, size);
	assert_true(recovery.lost_first <= 60);
	assert_true(recovery.lost_last >= 60);
	assert_int_equal(ledger_next_sequence(l), recovery.lost_last + 1);
	assert_false(exists(name));
	segment_name_format(stats.current_index, "torn", name);
	assert_true(exists(name));
	ledger_close(l);
	free(data);
}

static void damaged_header_of_an_older_one(void **state)
{
	struct ledger_config config = defaults;
	struct ledger *l = open_clean();
	struct ledger_recovery recovery;
	uint64_t first = 0, last = 0, bytes;
	struct ledger_stats stats;
	uint8_t *data;
	size_t size;

	(void)state;
	append(l, 200);
	ledger_close(l);
	data = load("0000000000000002.seg", &size);
	data[30] ^= 1;
	store("0000000000000002.seg", data, size);
	free(data);
	ledger_close(open_clean());

	config.total_bytes = 0; /* all but the current one go: no number may be left out */
	l = open_with(&config, &recovery);
	assert_true(ledger_removed(l, &first, &last, &bytes));
	ledger_stats(l, &stats);
	assert_int_equal(first, 1);
	assert_int_equal(last, stats.oldest_sequence - 1);
	assert_int_equal(stats.segments, 1);
	ledger_close(l);
}

/*
 * Appends and flushes one by one; @flushed, in shared memory, is how far readers could have seen.
 */
static void append_until_killed(int before_limit, size_t limit, volatile uint64_t *flushed)
{
	struct rlimit none = {}, file_size = {.rlim_cur = limit, .rlim_max = limit};
	struct ledger_config config = defaults;
	struct ledger_recovery recovery;
	struct ledger *l;

	config.segment_bytes = 600;
	config.total_bytes = 3000;
	setrlimit(RLIMIT_CORE, &none);
	if (ledger_open(&config, UINT64_MAX, NULL, NULL, &recovery, &l))
		_exit(1);
	for (int i = 0; i < 60; i++) {
		if (i == before_limit)
			setrlimit(RLIMIT_FSIZE, &file_size);
		if (append_one(l) || ledger_flush(l))
			_exit(2);
		*flushed = ledger_next_sequence(l) - 1;
	}
	_exit(3);
}

/*
 * RLIMIT_FSIZE lets a write(2) come up to the limit and kills at the next: so death comes after any
 * byte of a header, a frame, the frame that seals. What was flushed is there, what comes after has
 * the next number.
 */
static void killed_after_any_byte(void **state)
{
	volatile uint64_t *flushed =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int deaths = 0, torn = 0;

	for (int before_limit = 0; before_limit < 20; before_limit += 9)
		for (size_t limit = 32; limit < 900; limit++) {
			struct ledger_recovery recovery;
			struct ledger_stats stats;
			struct ledger *l;
			int status;
			pid_t pid;

			begin(state);
			*flushed = 0;
			pid = fork();
			if (!pid)
				append_until_killed(before_limit, limit, flushed);
			assert_int_equal(waitpid(pid, &status, 0), pid);
			if (WIFEXITED(status)) {
				assert_int_equal(WEXITSTATUS(status), 3);
				continue;
			}
			assert_int_equal(WTERMSIG(status), SIGXFSZ);
			l = open_with(&defaults, &recovery);
			assert_false(recovery.damaged);
			assert_in_range(recovery.last_sequence, *flushed, *flushed + 1);
			append(l, 3);
			assert_int_equal(ledger_flush(l), 0);
			ledger_stats(l, &stats);
			assert_int_equal(read_all(l, stats.oldest_sequence),
					 recovery.last_sequence + 4);
			ledger_close(l);
			ledger_close(open_clean());
			deaths++;
			torn += recovery.torn_bytes > 0;
		}
	assert_true(deaths > 1500);
	assert_true(torn > 1000);
	munmap((void *)flushed, 4096);
}

static void full_disk(void **state)
{
	struct ledger_config config = defaults;
	char ballast[128];
	static char page[4096];
	int refused = 0;

	(void)state;
	if (geteuid() || unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
		print_message("skipped: needs root and a mount namespace of its own (%s)\n",
			      strerror(errno));
		skip();
	}
	config.segment_bytes = 6000;
	snprintf(ballast, sizeof(ballast), "%s/ballast", directory);
	for (int pages = 2; pages < 12; pages++) {
		struct ledger_recovery recovery;
		struct ledger_stats stats;
		struct ledger *l;
		int fd, err = 0;

		assert_int_equal(mount("tmpfs", directory, "tmpfs", 0, "size=64k"), 0);
		fd = open(ballast, O_WRONLY | O_CREAT, 0600);
		for (int i = 0; i < pages; i++)
			assert_int_equal(write(fd, page, sizeof(page)), sizeof(page));
		close(fd);

		l = open_with(&config, &recovery);
		while (!err && ledger_next_sequence(l) < 1000)
			err = append_one(l) ?: ledger_flush(l);
		assert_int_equal(err, -ENOSPC);
		/* It keeps what it has, and takes more while the buffer has room. */
		for (int i = 0; i < 5; i++) {
			err = append_one(l) ?: ledger_flush(l);
			assert_int_equal(err, -ENOSPC);
			refused++;
		}
		assert_int_equal(unlink(ballast), 0);
		assert_int_equal(ledger_flush(l), 0);
		append(l, 5);
		assert_int_equal(ledger_sync(l), 0);
		ledger_stats(l, &stats);
		assert_int_equal(read_all(l, 1), stats.next_sequence);
		ledger_close(l);
		l = open_with(&config, &recovery);
		assert_int_equal(recovery.torn_bytes, 0);
		assert_int_equal(recovery.last_sequence, stats.next_sequence - 1);
		ledger_close(l);
		assert_int_equal(umount(directory), 0);
	}
	assert_int_equal(refused, 50);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(any_length_of_the_last_segment, begin),
		cmocka_unit_test_setup(zeros_at_the_end_are_torn, begin),
		cmocka_unit_test_setup(damage_in_the_middle, begin),
		cmocka_unit_test_setup(what_was_cut_is_known_until_it_is_told, begin),
		cmocka_unit_test_setup(a_cut_that_was_only_announced, begin),
		cmocka_unit_test_setup(damaged_header_of_the_last, begin),
		cmocka_unit_test_setup(damaged_header_of_an_older_one, begin),
		cmocka_unit_test_setup(killed_after_any_byte, begin),
		cmocka_unit_test_setup(full_disk, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return run_in_directory(run);
}
