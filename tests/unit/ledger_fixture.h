/* SPDX-License-Identifier: Apache-2.0 */
/* ledger_fixture: a ledger whose payloads follow from their numbers, in a directory of its own. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "record/frame.h"
#include "record/segment.h"

static char directory[64];
static char ledger_dir[80];

static const struct ledger_config defaults = {
	.directory = ledger_dir,
	.segment_bytes = 4096,
	.total_bytes = 1 << 20,
	.boot_id = {1, 2, 3},
};

static inline void remove_files(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}

static inline int begin(void **state)
{
	(void)state;
	snprintf(ledger_dir, sizeof(ledger_dir), "%s/ledger", directory);
	remove_files(ledger_dir);
	rmdir(ledger_dir);
	return 0;
}

/* What opening found is not told yet: the next one finds it again. */
static inline struct ledger *open_untold(const struct ledger_config *config,
					 struct ledger_recovery *recovery)
{
	struct ledger *l = NULL;

	memset(recovery, 0xa5, sizeof(*recovery));
	assert_int_equal(ledger_open(config, UINT64_MAX, NULL, NULL, recovery, &l), 0);
	assert_true(recovery->repaired || (!recovery->torn_bytes && !recovery->damaged));
	return l;
}

static inline struct ledger *open_with(const struct ledger_config *config,
				       struct ledger_recovery *recovery)
{
	struct ledger *l = open_untold(config, recovery);

	ledger_repair_told(l);
	return l;
}

static inline struct ledger *open_clean(void)
{
	struct ledger_recovery recovery;
	struct ledger *l = open_with(&defaults, &recovery);

	assert_false(recovery.repaired);
	assert_int_equal(recovery.torn_bytes, 0);
	assert_false(recovery.damaged);
	assert_int_equal(recovery.last_sequence, ledger_next_sequence(l) - 1);
	return l;
}

/* A child, that dies by itself when it is done. */
static inline void in_child(void (*body)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static inline size_t payload_of(uint64_t sequence, uint8_t ret[static 256])
{
	size_t len = 8 + sequence * 37 % 200;

	memset(ret, (int)(sequence % 251), len);
	memcpy(ret, &sequence, sizeof(sequence));
	return len;
}

static inline int append_one(struct ledger *l)
{
	uint64_t sequence = ledger_next_sequence(l);
	uint8_t payload[256];
	size_t len = payload_of(sequence, payload);

	return ledger_append(l, sequence << 8, 0, payload, len);
}

static inline void append(struct ledger *l, int count)
{
	while (count--)
		assert_int_equal(append_one(l), 0);
}

/*
 * Reads all there is from @first on, and returns the number after the last. Payloads and numbers
 * must be right.
 */
static inline uint64_t read_all(const struct ledger *l, uint64_t first)
{
	uint64_t index = 0, first_sequence;
	bool sealed;
	int fd;

	while ((fd = ledger_segment_fd(l, index, &index, &first_sequence, &sealed)) >= 0) {
		struct segment_reader *r;
		struct segment_frame frame;
		uint8_t payload[256];
		int err;

		assert_int_equal(segment_reader_new(fd, &r), 0);
		assert_int_equal(segment_reader_index(r), index);
		assert_int_equal(first_sequence, first);
		while ((err = segment_reader_next(r, &frame)) == 1) {
			assert_int_equal(frame.sequence, first);
			assert_int_equal(frame.len, payload_of(first, payload));
			assert_memory_equal(frame.payload, payload, frame.len);
			first++;
		}
		assert_int_equal(err, sealed ? -ENODATA : 0);
		segment_reader_free(r);
		index++;
	}
	assert_int_equal(fd, -ENOENT);
	return first;
}

static inline uint8_t *load(const char *name, size_t *ret_size)
{
	char path[128];
	struct stat st;
	uint8_t *data;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", ledger_dir, name);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	data = malloc(st.st_size + 1);
	assert_int_equal(read(fd, data, st.st_size), st.st_size);
	close(fd);
	*ret_size = st.st_size;
	return data;
}

static inline void store(const char *name, const void *data, size_t size)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", ledger_dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	close(fd);
}

/*
 * In memory where possible: these tests are about crashes of the program, and fdatasync(2) takes
 * its time.
 */
static inline int run_in_directory(int (*run)(void))
{
	int failed;

	snprintf(directory, sizeof(directory), "%s/affiant-test-ledger-XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(directory))
		return 1;
	failed = run();
	begin(NULL);
	rmdir(directory);
	return failed;
}
