/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash [MEGABYTES [DIRECTORY]]: the first digest of a large file, by filehash with one worker and
 * by `openssl dgst -sha256`, in turn; a small file of another session meanwhile; digests that are
 * known. Several rounds, median and spread.
 */
#include "collect/filehash.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

#define ROUNDS 7
#define DEFAULT_MEGABYTES 300
#define KNOWN 100000

extern char **environ;

static void check(int err, const char *what)
{
	if (err >= 0)
		return;
	fprintf(stderr, "hash: %s: %s\n", what, strerror(-err));
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* In place of the kernel's identity, which takes the daemon's programs. */
static int identify(void *context, int fd, struct object_facts *ret)
{
	struct statfs fs;
	struct stat st;

	(void)context;
	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return -errno;
	*ret = (struct object_facts){.id = {
		.inode = st.st_ino,
		.device = major(st.st_dev) << 20 | minor(st.st_dev),
		.size = st.st_size,
		.ctime_s = st.st_ctim.tv_sec,
		.ctime_ns = st.st_ctim.tv_nsec,
		.magic = fs.f_type,
	}};
	return 0;
}

static void make_file(const char *path, size_t megabytes)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	static unsigned int block[1 << 18];

	check(fd < 0 ? -errno : 0, path);
	for (size_t m = 0; m < megabytes; m++) {
		for (size_t i = 0; i < sizeof(block) / sizeof(*block); i++)
			block[i] = (unsigned int)(m << 18 | i) * 2654435761u;
		check(write(fd, block, sizeof(block)) == sizeof(block) ? 0 : -errno, path);
	}
}

static double by_openssl(const char *path)
{
	char *const argv[] = {(char *)"openssl", (char *)"dgst", (char *)"-sha256", (char *)path,
			      NULL};
	posix_spawn_file_actions_t actions;
	double begin = now();
	int status = 0;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	check(-posix_spawnp(&pid, "openssl", &actions, NULL, argv, environ), "openssl");
	check(waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -ECHILD, "openssl dgst");
	posix_spawn_file_actions_destroy(&actions);
	return now() - begin;
}

static struct filehash *start(void)
{
	const struct filehash_config config = {
		.workers = 1, .cache_max = 16, .queue_max = 16, .identify = identify};
	struct filehash *h = NULL;

	check(filehash_new(&config, &h), "filehash_new");
	return h;
}

struct outcome {
	double at[2];
	enum hash_state state[2];
};

static void note(void *data, uint64_t token, const struct file_digest *digest)
{
	struct outcome *o = data;

	o->at[token] = now();
	o->state[token] = digest->state;
}

static void submit(struct filehash *h, const char *path, uint64_t token, struct object_facts *ret_facts)
{
	struct filehash_job j = {.session = token, .token = token, .has_want = true};

	j.fd = open(path, O_PATH | O_CLOEXEC);
	check(j.fd < 0 ? -errno : 0, path);
	check(identify(NULL, j.fd, &j.want), path);
	*ret_facts = j.want;
	check(filehash_submit(h, &j), "filehash_submit");
}

static void collect(struct filehash *h, struct outcome *o, int count)
{
	struct pollfd p = {.fd = filehash_fd(h), .events = POLLIN};

	while (count > 0) {
		check(poll(&p, 1, -1), "poll");
		count -= filehash_collect(h, UINT64_MAX, note, o);
	}
	if (o->state[0] != HASH_STATE_OBSERVED || o->state[1] != HASH_STATE_OBSERVED)
		check(-EIO, "no digest");
}

/* Also how long the other session's small file took, and what it costs to be told what is known. */
static double by_filehash(const char *large, const char *small, double *ret_small,
			  double *ret_known)
{
	struct outcome o = {.state = {HASH_STATE_OBSERVED, HASH_STATE_OBSERVED}};
	struct filehash *h = start();
	double begin = now(), begin_small;
	struct object_facts facts, other;
	struct file_digest d;

	submit(h, large, 0, &facts);
	usleep(50000);
	begin_small = now();
	submit(h, small, 1, &other);
	collect(h, &o, 2);
	*ret_small = o.at[1] - begin_small;
	*ret_known = now();
	for (int i = 0; i < KNOWN; i++)
		check(filehash_cached(h, &facts, &d) ? 0 : -ENOENT, "known digest");
	*ret_known = (now() - *ret_known) / KNOWN;
	filehash_free(h);
	return o.at[0] - begin;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void print(const char *name, double values[ROUNDS], double scale, const char *unit)
{
	qsort(values, ROUNDS, sizeof(*values), by_value);
	printf("%-50s %9.3f %s  (%.3f .. %.3f)\n", name, values[ROUNDS / 2] * scale, unit,
	       values[0] * scale, values[ROUNDS - 1] * scale);
}

int main(int argc, char **argv)
{
	size_t megabytes = argc > 1 ? strtoull(argv[1], NULL, 10) : DEFAULT_MEGABYTES;
	double peer[ROUNDS], ours[ROUNDS], ratio[ROUNDS], small[ROUNDS], known[ROUNDS];
	char large[4096], little[4096];

	if (!megabytes || argc > 3) {
		fprintf(stderr, "usage: hash [MEGABYTES [DIRECTORY]]\n");
		return 64;
	}
	snprintf(large, sizeof(large), "%s/affiant-bench-%d.large", argc > 2 ? argv[2] : "/tmp",
		 getpid());
	snprintf(little, sizeof(little), "%s/affiant-bench-%d.small", argc > 2 ? argv[2] : "/tmp",
		 getpid());
	make_file(large, megabytes);
	make_file(little, 1);
	usleep(200000);    /* the digest of what was written just now is not remembered */
	by_openssl(large); /* warms the page cache */
	for (int round = 0; round < ROUNDS; round++) {
		peer[round] = by_openssl(large);
		ours[round] = by_filehash(large, little, &small[round], &known[round]);
		ratio[round] = peer[round] / ours[round];
	}
	unlink(large);
	unlink(little);
	printf("%zu MiB, %d rounds, one worker\n", megabytes, ROUNDS);
	print("openssl dgst -sha256", peer, 1, "s");
	print("filehash, 1 MiB of another session included", ours, 1, "s");
	print("speed of filehash / openssl", ratio, 1, "x");
	print("that 1 MiB, asked for meanwhile", small, 1e3, "ms");
	print("a known digest", known, 1e9, "ns");
	puts("lost 0"); /* collect() refuses less than every digest */
	return 0;
}
