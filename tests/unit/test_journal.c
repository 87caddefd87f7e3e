/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_HEADER 40
#define BATCH_HEADER 16

static char top[64], directory[96];
static const uint8_t boot[16] = {1, 2, 3}, earlier[16] = {9, 8, 7}, earliest[16] = {4, 4, 4};

/* Batch @n: its bytes and its length follow from its number. */
static size_t batch_of(unsigned int n, uint64_t ret[static 64])
{
	size_t words = 8 + n * 5 % 40;

	for (size_t i = 0; i < words; i++)
		ret[i] = n * 1000003u + i;
	return words * 8;
}

static int append(struct journal *j, unsigned int n)
{
	uint64_t words[64];

	return journal_append(j, words, batch_of(n, words));
}

/* What a replay gave: the numbers of the batches, whose bytes must be right. */
struct got {
	unsigned int numbers[256];
	size_t count;
	size_t stop_after;
};

static int take(void *data, const void *events, size_t len)
{
	const uint64_t *words = events;
	struct got *g = data;
	uint64_t want[64];
	unsigned int n = words[0] / 1000003;

	assert_int_equal((uintptr_t)events % 8, 0);
	assert_int_equal(len, batch_of(n, want));
	assert_memory_equal(words, want, len);
	assert_true(g->count < 256);
	g->numbers[g->count++] = n;
	return g->stop_after && g->count == g->stop_after ? -EINTR : 0;
}

static struct journal *open_as(const uint8_t id[static 16])
{
	char file[JOURNAL_NAME_SIZE];
	struct journal *j = NULL;

	assert_int_equal(journal_open(directory, id, 0, file, &j), 0);
	return j;
}

static uint64_t replay(struct journal *j, const uint8_t id[static 16], uint64_t index,
		       struct got *g)
{
	uint64_t damaged = UINT64_C(0xa5a5a5a5);

	*g = (struct got){0};
	assert_int_equal(journal_replay(j, id, index, take, g, &damaged), 0);
	return damaged;
}

static void assert_got(const struct got *g, unsigned int first, size_t count)
{
	assert_int_equal(g->count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(g->numbers[i], first + i);
}

static size_t files(void)
{
	DIR *d = opendir(directory);
	struct dirent *e;
	size_t n = 0;

	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void path_of(uint64_t index, char ret[static 160])
{
	snprintf(ret, 160, "%s/%016llx.jnl", directory, (unsigned long long)index);
}

static size_t read_file(uint64_t index, uint8_t *ret, size_t size)
{
	char path[160];
	ssize_t n;
	int fd;

	path_of(index, path);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	n = read(fd, ret, size);
	assert_true(n >= 0 && (size_t)n < size);
	close(fd);
	return n;
}

static void write_file(uint64_t index, const uint8_t *data, size_t len)
{
	char path[160];
	int fd;

	path_of(index, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static int begin(void **state)
{
	DIR *d;
	struct dirent *e;

	(void)state;
	snprintf(directory, sizeof(directory), "%s/journal", top);
	d = opendir(directory);
	while (d && (e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(directory);
	return 0;
}

/* ---- reading back ---- */

static void reads_back_in_order(void **state)
{
	struct journal *j = open_as(boot);
	struct got g;
	uint64_t index;
	struct stat st;

	(void)state;
	assert_int_equal(stat(directory, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	for (unsigned int n = 0; n < 30; n++) {
		assert_int_equal(append(j, n), 0);
		if (n % 10 == 9)
			assert_int_equal(journal_rotate(j, &index), 0);
	}
	/* The one that is being written is not read. */
	assert_int_equal(append(j, 30), 0);
	assert_int_equal(replay(j, boot, 0, &g), 0);
	assert_got(&g, 0, 30);
	journal_close(j);

	j = open_as(boot);
	assert_int_equal(replay(j, boot, 0, &g), 0);
	assert_got(&g, 0, 31);
	assert_int_equal(replay(j, boot, 2, &g), 0);
	assert_got(&g, 20, 11);
	assert_int_equal(replay(j, boot, 100, &g), 0);
	assert_got(&g, 0, 0);
	journal_close(j);
}

static void stops_when_told_to(void **state)
{
	struct journal *j = open_as(boot);
	struct got g = {.stop_after = 2};
	uint64_t damaged;

	(void)state;
	for (unsigned int n = 0; n < 5; n++)
		assert_int_equal(append(j, n), 0);
	journal_close(j);
	j = open_as(boot);
	assert_int_equal(journal_replay(j, boot, 0, take, &g, &damaged), -EINTR);
	assert_got(&g, 0, 2);
	journal_close(j);
}

static void resumes_behind_a_state(void **state)
{
	struct journal *j = open_as(boot);
	uint64_t index = 0, bytes;
	struct got g;

	(void)state;
	assert_int_equal(append(j, 0), 0);
	bytes = journal_bytes(j);
	assert_int_equal(journal_rotate(j, &index), 0);
	assert_true(journal_bytes(j) < bytes);
	assert_int_equal(append(j, 1), 0);
	journal_drop(j, index);
	assert_int_equal(files(), 1);
	journal_close(j);

	j = open_as(boot);
	assert_int_equal(replay(j, boot, index, &g), 0);
	assert_got(&g, 1, 1);
	assert_int_equal(replay(j, boot, 0, &g), 0);
	assert_got(&g, 1, 1);
	journal_close(j);
}

static void keeps_boots_apart(void **state)
{
	uint8_t other[16];
	struct journal *j;
	struct got g;
	uint64_t index;

	(void)state;
	j = open_as(earliest);
	assert_int_equal(append(j, 10), 0);
	assert_int_equal(journal_other_boot(j, earliest, other), 0);
	journal_close(j);
	j = open_as(earlier);
	assert_int_equal(append(j, 20), 0);
	journal_close(j);
	j = open_as(earliest); /* as if a clock had brought it back */
	assert_int_equal(append(j, 11), 0);
	journal_close(j);

	j = open_as(boot);
	assert_int_equal(append(j, 30), 0);
	assert_int_equal(replay(j, boot, 0, &g), 0);
	assert_got(&g, 0, 0);
	assert_int_equal(journal_other_boot(j, boot, other), 1);
	assert_memory_equal(other, earliest, 16);
	assert_int_equal(replay(j, other, 0, &g), 0);
	assert_got(&g, 10, 2);
	journal_forget(j, other);
	assert_int_equal(journal_other_boot(j, boot, other), 1);
	assert_memory_equal(other, earlier, 16);
	assert_int_equal(replay(j, other, 0, &g), 0);
	assert_got(&g, 20, 1);
	journal_forget(j, other);
	assert_int_equal(journal_other_boot(j, boot, other), 0);
	assert_int_equal(files(), 1);
	/* Never the file at hand. */
	journal_forget(j, boot);
	assert_int_equal(append(j, 31), 0);
	assert_int_equal(journal_rotate(j, &index), 0);
	assert_int_equal(replay(j, boot, 0, &g), 0);
	assert_got(&g, 30, 2);
	journal_close(j);
}

static void refuses_what_is_no_batch(void **state)
{
	static uint64_t zeros[JOURNAL_BATCH_MAX / 8 + 1];
	struct journal *j = open_as(boot);
	uint64_t bytes = journal_bytes(j);

	(void)state;
	assert_int_equal(journal_append(j, zeros, 0), -EMSGSIZE);
	assert_int_equal(journal_append(j, zeros, 12), -EMSGSIZE);
	assert_int_equal(journal_append(j, zeros, JOURNAL_BATCH_MAX + 8), -EMSGSIZE);
	assert_int_equal(journal_bytes(j), bytes);
	journal_close(j);
}

/* ---- what a crash or a disk leaves ---- */

#define BATCHES 4u

/* File 0 with batches 0 to 3; their ends. */
static size_t make_file(uint8_t *ret, size_t size, size_t ends[static BATCHES])
{
	struct journal *j;
	size_t len;

	begin(NULL);
	j = open_as(boot);
	for (unsigned int n = 0; n < BATCHES; n++) {
		assert_int_equal(append(j, n), 0);
		ends[n] = journal_bytes(j);
	}
	journal_close(j);
	len = read_file(0, ret, size);
	assert_int_equal(len, ends[BATCHES - 1]);
	return len;
}

static void reads_what_is_whole_at_every_length(void **state)
{
	size_t ends[BATCHES], len;
	uint8_t whole[8192];

	(void)state;
	len = make_file(whole, sizeof(whole), ends);
	for (size_t cut = 0; cut <= len; cut++) {
		struct journal *j;
		struct got g;
		unsigned int want = 0;

		while (want < BATCHES && ends[want] <= cut)
			want++;
		begin(NULL);
		mkdir(directory, 0700);
		write_file(0, whole, cut);
		j = open_as(boot);
		/* Half a batch had not been taken from the kernel: it is no damage. */
		assert_int_equal(replay(j, boot, 0, &g), 0);
		assert_got(&g, 0, want);
		journal_close(j);
	}
}

static void loses_the_flipped_batch_alone(void **state)
{
	size_t ends[BATCHES], len;
	uint8_t whole[8192];

	(void)state;
	len = make_file(whole, sizeof(whole), ends);
	for (size_t bit = 0; bit < len * 8; bit += bit % 8 == 7 && bit / 8 > FILE_HEADER ? 23 : 1) {
		unsigned int bad = 0, k = 0;
		size_t begins = FILE_HEADER;
		struct journal *j;
		struct got g;
		uint64_t damaged;

		begin(NULL);
		mkdir(directory, 0700);
		whole[bit / 8] ^= 1u << bit % 8;
		write_file(0, whole, len);
		whole[bit / 8] ^= 1u << bit % 8;
		j = open_as(boot);
		damaged = replay(j, boot, 0, &g);
		if (bit / 8 < FILE_HEADER) { /* nobody knows of which boot it is */
			assert_int_equal(damaged, len);
			assert_int_equal(g.count, 0);
		} else {
			while (ends[bad] <= bit / 8)
				begins = ends[bad++];
			assert_int_equal(damaged, ends[bad] - begins);
			assert_int_equal(g.count, BATCHES - 1);
			for (unsigned int n = 0; n < BATCHES; n++)
				if (n != bad)
					assert_int_equal(g.numbers[k++], n);
		}
		journal_close(j);
	}
}

/* A power cut can leave a file's length without its data. */
static void passes_over_zeros(void **state)
{
	size_t ends[BATCHES], len;
	uint8_t whole[8192];
	struct journal *j;
	struct got g;

	(void)state;
	len = make_file(whole, sizeof(whole), ends);
	memset(whole + ends[1], 0, len - ends[1]);
	write_file(0, whole, len);
	j = open_as(boot);
	assert_int_equal(replay(j, boot, 0, &g), len - ends[1]);
	assert_got(&g, 0, 2);
	journal_close(j);
}

static void reads_the_files_behind_a_damaged_one(void **state)
{
	struct journal *j = open_as(boot);
	uint8_t bytes[8192];
	uint64_t index;
	struct got g;
	size_t len;

	(void)state;
	for (unsigned int n = 0; n < 3; n++) {
		assert_int_equal(append(j, n), 0);
		assert_int_equal(journal_rotate(j, &index), 0);
	}
	journal_close(j);
	len = read_file(1, bytes, sizeof(bytes));
	bytes[3] ^= 4;
	write_file(1, bytes, len);
	j = open_as(boot);
	assert_int_equal(replay(j, boot, 0, &g), len);
	assert_int_equal(g.count, 2);
	assert_int_equal(g.numbers[0], 0);
	assert_int_equal(g.numbers[1], 2);
	/* Told once a state contains it: then it goes. */
	assert_int_equal(journal_rotate(j, &index), 0);
	journal_drop(j, index);
	assert_int_equal(files(), 1);
	assert_int_equal(replay(j, boot, 0, &g), 0);
	journal_close(j);
}

/* What a process says ends up in batches: it must not be able to say a batch. */
static void takes_no_batch_out_of_a_damaged_one(void **state)
{
	uint64_t words[16] = {0}, inner[64];
	size_t ends[BATCHES], len;
	uint8_t whole[8192];
	struct journal *j;
	struct got g;

	(void)state;
	make_file(whole, sizeof(whole), ends);
	memcpy(words, whole + FILE_HEADER, BATCH_HEADER);
	begin(NULL);
	j = open_as(boot);
	/* The header of batch 0 and its bytes, of another file: its salt is another one. */
	len = batch_of(0, inner);
	assert_int_equal(len, 64);
	memcpy(words + 2, inner, 64);
	assert_int_equal(journal_append(j, words, sizeof(words)), 0);
	journal_close(j);
	len = read_file(0, whole, sizeof(whole));
	whole[FILE_HEADER] ^= 1;
	write_file(0, whole, len);
	j = open_as(boot);
	assert_int_equal(replay(j, boot, 0, &g), len - FILE_HEADER);
	assert_int_equal(g.count, 0);
	journal_close(j);
}

static void leaves_other_files_alone(void **state)
{
	static const char *const names[] = {"1.jnl", "000000000000000z.jnl",
					    "0000000000000001.jnl.old", "00000000000000AB.jnl"};
	struct journal *j = open_as(boot);
	char path[256];
	uint64_t index;
	struct got g;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		close(open(path, O_CREAT | O_WRONLY, 0600));
	}
	assert_int_equal(journal_rotate(j, &index), 0);
	assert_int_equal(index, 1);
	journal_drop(j, index);
	assert_int_equal(replay(j, boot, 0, &g), 0);
	assert_int_equal(files(), 5);
	journal_close(j);
}

/* ---- a full disk ---- */

/*
 * Appends until it fails, makes room, goes on; all that was said to be written must be there, and
 * nothing else.
 */
static void fills(struct journal *j, void (*make_room)(void))
{
	unsigned int n = 0;
	uint64_t bytes, index;
	struct stat st;
	char path[160];
	struct got g;
	int err;

	path_of(0, path);
	while (!(err = append(j, n)))
		n++;
	assert_true(err == -ENOSPC || err == -EFBIG);
	bytes = journal_bytes(j);
	for (int again = 0; again < 3; again++) {
		assert_true(append(j, n) < 0);
		assert_int_equal(journal_bytes(j), bytes);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_size, bytes);
	}
	make_room();
	assert_int_equal(append(j, n++), 0);
	assert_int_equal(append(j, n++), 0);
	assert_int_equal(journal_rotate(j, &index), 0);
	assert_int_equal(replay(j, boot, 0, &g), 0);
	assert_got(&g, 0, n);
	journal_close(j);
}

static void set_limit(rlim_t bytes)
{
	struct rlimit l;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
	l.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static void lift_limit(void)
{
	set_limit(RLIM_INFINITY);
}

/* A limit of the file's size cuts a write at any byte, as a full disk can. */
static void leaves_nothing_half_written(void **state)
{
	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	for (rlim_t limit = FILE_HEADER; limit < FILE_HEADER + 700; limit += 1) {
		struct journal *j;

		begin(NULL);
		j = open_as(boot);
		set_limit(limit);
		fills(j, lift_limit);
	}
}

static void unlink_ballast(void)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/ballast", top);
	assert_int_equal(unlink(path), 0);
}

static int fill_tmpfs(void)
{
	char path[160];
	struct journal *j;
	int fd;

	assert_int_equal(mount("tmpfs", top, "tmpfs", 0, "size=64k"), 0);
	snprintf(path, sizeof(path), "%s/ballast", top);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(fallocate(fd, 0, 0, 40960), 0);
	close(fd);
	j = open_as(boot);
	fills(j, unlink_ballast);
	return 0;
}

static void survives_a_full_disk(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (geteuid() || unshare(CLONE_NEWNS) ||
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
			_exit(77);
		_exit(fill_tmpfs());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("skipped: mounting a file system takes root\n");
		skip();
	}
	assert_int_equal(status, 0);
}

static void says_why_it_cannot_begin(void **state)
{
	char path[160], file[JOURNAL_NAME_SIZE] = "?";
	struct journal *j = (void *)1;

	(void)state;
	snprintf(path, sizeof(path), "%s/missing/journal", top);
	assert_int_equal(journal_open(path, boot, 0, file, &j), -ENOENT);
	snprintf(path, sizeof(path), "%s/file", top);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(journal_open(path, boot, 0, file, &j), -ENOTDIR);
	unlink(path);
	assert_ptr_equal(j, (void *)1);
	assert_string_equal(file, "");
	journal_close(NULL);
}

/*
 * What can't be opened or read now is no damage: were it passed over, a state saved later would
 * take it along.
 */
static void refuses_to_pass_over_what_it_cannot_read(void **state)
{
	struct journal *j = open_as(boot), *other = (void *)1;
	char path[160], file[JOURNAL_NAME_SIZE];
	uint8_t id[16];
	uint64_t damaged;
	struct got g;

	(void)state;
	assert_int_equal(append(j, 1), 0);
	path_of(7, path);
	for (int i = 0; i < 2; i++) {
		int err = i ? -EISDIR : -ELOOP;

		assert_int_equal(i ? mkdir(path, 0700) : symlink("/nowhere", path), 0);
		assert_int_equal(journal_open(directory, boot, 0, file, &other), err);
		assert_string_equal(file, "0000000000000007.jnl");
		assert_int_equal(journal_other_boot(j, boot, id), err);
		assert_int_equal(journal_replay(j, boot, 0, take, &g, &damaged), err);
		assert_int_equal(remove(path), 0);
	}
	assert_ptr_equal(other, (void *)1);
	journal_close(j);
	journal_close(open_as(boot));
}

/* Behind files that are gone, too: a state says that it contains all below its own index. */
static void begins_where_a_state_ends(void **state)
{
	char path[160], file[JOURNAL_NAME_SIZE];
	struct journal *j;

	(void)state;
	assert_int_equal(journal_open(directory, boot, 41, file, &j), 0);
	path_of(41, path);
	assert_int_equal(access(path, F_OK), 0);
	journal_close(j);
	assert_int_equal(journal_open(directory, boot, 7, file, &j), 0);
	path_of(42, path);
	assert_int_equal(access(path, F_OK), 0);
	journal_close(j);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, begin)
	const struct CMUnitTest tests[] = {
		TEST(reads_back_in_order),
		TEST(stops_when_told_to),
		TEST(resumes_behind_a_state),
		TEST(keeps_boots_apart),
		TEST(refuses_what_is_no_batch),
		TEST(reads_what_is_whole_at_every_length),
		TEST(loses_the_flipped_batch_alone),
		TEST(passes_over_zeros),
		TEST(reads_the_files_behind_a_damaged_one),
		TEST(takes_no_batch_out_of_a_damaged_one),
		TEST(leaves_other_files_alone),
		TEST(leaves_nothing_half_written),
		TEST(survives_a_full_disk),
		TEST(says_why_it_cannot_begin),
		TEST(refuses_to_pass_over_what_it_cannot_read),
		TEST(begins_where_a_state_ends),
	};
	int failed;

	snprintf(top, sizeof(top), "/tmp/affiant-test-journal-XXXXXX");
	if (!mkdtemp(top))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	begin(NULL);
	rmdir(top);
	return failed;
}
