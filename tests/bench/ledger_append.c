/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger_append [RECORDS [DIRECTORY]]: records a second and core, for packing, framing and writing
 * connections of one process; beside it the write(2) calls alone, with the same bytes. In turn,
 * several rounds, median and spread.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "record/segment.h"
#include "samples.h"

#define ROUNDS 7
#define FLUSH_EACH 256 /* about what comes in 20 ms at a machine's top rate */
#define DEFAULT_RECORDS 300000

enum way { WRITE_ALONE, FRAME, PACK_PART, PACK_WHOLE, WAYS };

static const char *const names[] = {
	[WRITE_ALONE] = "write(2) of the same bytes",
	[FRAME] = "frame, write",
	[PACK_PART] = "pack but for who it was, frame, write",
	[PACK_WHOLE] = "pack all of it, frame, write",
};

static void check(int err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "ledger_append: %s: %s\n", what, strerror(-err));
	exit(1);
}

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void remove_files(const char *directory)
{
	_cleanup_closedir_ DIR *dir = opendir(directory);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	rmdir(directory);
}

static struct ledger *open_ledger(const char *directory)
{
	struct ledger_config config = {
		.directory = directory,
		.segment_bytes = 64 << 20,
		.total_bytes = 1 << 30,
	};
	struct ledger_recovery recovery;
	struct ledger *l = NULL;

	check(ledger_open(&config, UINT64_MAX, NULL, NULL, &recovery, &l), directory);
	return l;
}

static double write_alone(const char *directory, uint64_t records, size_t len)
{
	size_t chunk = len * FLUSH_EACH;
	_cleanup_free_ char *data = calloc(1, chunk);
	_cleanup_close_ int fd = -1;
	char path[4200];
	double begin;

	snprintf(path, sizeof(path), "%s.bare", directory);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	check(fd < 0 || !data ? -EIO : 0, path);
	begin = cpu_seconds();
	for (uint64_t i = 0; i < records; i += FLUSH_EACH)
		check(write(fd, data, chunk) == (ssize_t)chunk ? 0 : -errno, path);
	begin = cpu_seconds() - begin;
	unlink(path);
	return begin;
}

/*
 * As the daemon does it: what is the same in all records of an exec was serialised before, and is
 * copied.
 */
static double append(enum way way, const char *directory, uint64_t records, size_t *ret_len,
		     uint64_t *lost)
{
	Affiant__V1__Record r = *samples[8].record, same = AFFIANT__V1__RECORD__INIT;
	static uint8_t packed[SEGMENT_PAYLOAD_MAX], before[SEGMENT_PAYLOAD_MAX];
	size_t before_len = 0, len;
	struct ledger *l;
	double begin;

	if (way == PACK_PART) {
		same.agent = TAKE_PTR(r.agent);
		same.session = TAKE_PTR(r.session);
		same.task = TAKE_PTR(r.task);
		same.principal = TAKE_PTR(r.principal);
		same.process = TAKE_PTR(r.process);
		before_len = sample_pack(&same, before);
	}
	len = sample_pack(&r, packed);
	l = open_ledger(directory);
	begin = cpu_seconds();
	for (uint64_t i = 0; i < records; i++) {
		r.sequence = ledger_next_sequence(l);
		r.boottime_ns += 1000;
		if (way != FRAME)
			len = sample_pack(&r, packed);
		if (way == PACK_PART)
			len = (uint8_t *)mempcpy(packed + len, before, before_len) - packed;
		check(ledger_append(l, i, 0, packed, len), "appending");
		if (i % FLUSH_EACH == 0)
			check(ledger_flush(l), "writing");
	}
	check(ledger_flush(l), "writing");
	begin = cpu_seconds() - begin;
	*lost += 1 + records - ledger_next_sequence(l);
	ledger_close(l);
	remove_files(directory);
	*ret_len = len;
	return begin;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
	uint64_t records = argc > 1 ? strtoull(argv[1], NULL, 10) : DEFAULT_RECORDS;
	double seconds[WAYS][ROUNDS];
	char directory[4096];
	uint64_t lost = 0;
	size_t len = 0;

	if (!records || argc > 3) {
		fprintf(stderr, "usage: ledger_append [RECORDS [DIRECTORY]]\n");
		return 64;
	}
	snprintf(directory, sizeof(directory), "%s/affiant-bench-XXXXXX",
		 argc > 2 ? argv[2] : "/tmp");
	check(mkdtemp(directory) ? 0 : -errno, directory);
	/* warms up, and tells the length */
	append(FRAME, directory, records / 10 + 1, &len, &lost);
	for (int round = 0; round < ROUNDS; round++) {
		seconds[WRITE_ALONE][round] = write_alone(directory, records, len);
		for (enum way way = FRAME; way < WAYS; way++)
			seconds[way][round] = append(way, directory, records, &len, &lost);
	}
	printf("%" PRIu64 " records of %zu bytes, %d rounds, CPU time of one core\n", records, len,
	       ROUNDS);
	for (enum way way = 0; way < WAYS; way++) {
		qsort(seconds[way], ROUNDS, sizeof(double), by_value);
		printf("%-50s %9.0f records/s  (%.0f .. %.0f)\n", names[way],
		       records / seconds[way][ROUNDS / 2], records / seconds[way][ROUNDS - 1],
		       records / seconds[way][0]);
	}
	printf("lost %" PRIu64 "\n", lost);
	return 0;
}
