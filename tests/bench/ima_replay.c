/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ima_replay [MEGABYTES]: entries of an IMA list replayed a second, by one thread: the list in
 * memory, for the banks that TPMs have, and from a file, with the memory that took. Several rounds,
 * median and spread.
 */
#include "attest/ima.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "attest/hash.h"
#include "base/cleanup.h"

#define ROUNDS 5
#define DEFAULT_MEGABYTES 100

static void check(int err, const char *what)
{
	if (err >= 0)
		return;
	fprintf(stderr, "ima_replay: %s: %s\n", what, strerror(-err));
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void put(FILE *f, const void *data, size_t len)
{
	check(fwrite(data, 1, len, f) == len ? 0 : -EIO, "memory");
}

static void put_sized(FILE *f, const void *data, uint32_t len)
{
	put(f, &len, sizeof(len));
	put(f, data, len);
}

/*
 * ima-ng with paths as long as those of a distribution's own files; on a big-endian host a list of
 * that order.
 */
static void put_entry(FILE *f, unsigned int n)
{
	uint8_t field[8 + 32] = "sha256:", digest[TPM2_DIGEST_MAX], data[256];
	char path[96];
	uint32_t len =
		snprintf(path, sizeof(path), "/usr/lib/x86_64-linux-gnu/%s/lib%08x.so.%u.%u",
			 n % 3 ? "perl5/5.36" : "samba/ldb", n * 2654435761u, n % 7, n % 10) +
		1;
	const uint32_t pcr = IMA_PCR, sizes[2] = {sizeof(field), len};

	check(hash_of(TPM2_SHA256, &n, sizeof(n), field + 8), "hash_of");
	memcpy(data, &sizes[0], 4);
	memcpy(data + 4, field, sizeof(field));
	memcpy(data + 4 + sizeof(field), &sizes[1], 4);
	memcpy(data + 8 + sizeof(field), path, len);
	check(hash_of(TPM2_SHA1, data, 8 + sizeof(field) + len, digest), "hash_of");
	put(f, &pcr, sizeof(pcr));
	put(f, digest, 20);
	put_sized(f, "ima-ng", 6);
	put_sized(f, data, 8 + sizeof(field) + len);
}

static int look(void *context, const struct ima_state *s, const struct ima_entry *e)
{
	(void)s;
	*(size_t *)context += e->path.left;
	return 0;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void print(const char *name, double values[ROUNDS])
{
	qsort(values, ROUNDS, sizeof(*values), by_value);
	printf("%-50s %9.0f entries/s  (%.0f .. %.0f)\n", name, values[ROUNDS / 2], values[0],
	       values[ROUNDS - 1]);
}

/* Most that was ever resident. getrusage(2) would count what ran before execve(2). */
static long resident(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	long kib = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmHWM: %ld kB", &kib) == 1)
			return kib;
	check(-ENOENT, "/proc/self/status");
	return 0;
}

static unsigned int entries;
static size_t lost; /* entries that a replay passed over */

/* @fd: from a file; else @data */
static void measure(const char *name, const uint16_t *banks, size_t count, const char *data,
		    size_t len, int fd)
{
	double values[ROUNDS];

	for (int round = 0; round < ROUNDS; round++) {
		struct ima_state s;
		double begin = now();
		size_t bytes = 0, used;
		uint64_t read;

		check(ima_init(&s, banks, count), "ima_init");
		if (fd < 0) {
			check(ima_replay(&s, data, len, NULL, look, &bytes, &used), "ima_replay");
		} else {
			check(lseek(fd, 0, SEEK_SET) < 0 ? -errno : 0, "lseek");
			check(ima_replay_fd(&s, fd, NULL, look, &bytes, &read), "ima_replay_fd");
		}
		values[round] = s.entries / (now() - begin);
		lost += entries - s.entries;
	}
	print(name, values);
}

int main(int argc, char **argv)
{
	static const uint16_t banks[] = {TPM2_SHA256, TPM2_SHA1, TPM2_SHA384, TPM2_SHA512};
	const size_t megabytes = argc > 1 ? strtoull(argv[1], NULL, 10) : DEFAULT_MEGABYTES;
	_cleanup_close_ int fd = memfd_create("ima", MFD_CLOEXEC);
	size_t len;
	char *data;
	long before;
	FILE *f;

	if (!megabytes || argc > 2) {
		fprintf(stderr, "usage: ima_replay [MEGABYTES]\n");
		return 64;
	}
	f = fd < 0 ? NULL : fdopen(dup(fd), "w");
	check(f ? 0 : -errno, "memfd");
	while ((size_t)ftell(f) < megabytes << 20)
		put_entry(f, entries++);
	len = ftell(f);
	check(fclose(f) ? -errno : 0, "memfd");
	printf("%zu MiB, %u entries, %d rounds, one thread\n", len >> 20, entries, ROUNDS);
	before = resident();
	measure("from a file, sha256", banks, 1, NULL, 0, fd);
	before = resident() - before;
	printf("%-50s %9ld KiB  (%ld .. %ld)\n", "memory that took", before, before, before);
	data = mmap(NULL, len, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	check(data == MAP_FAILED ? -errno : 0, "mmap");
	measure("sha256", banks, 1, data, len, -1);
	measure("sha256, sha1 (the list's own checked too)", banks, 2, data, len, -1);
	measure("sha384", banks + 2, 1, data, len, -1);
	measure("all four", banks, 4, data, len, -1);
	munmap(data, len);
	printf("lost %zu\n", lost);
	return lost > 0;
}
