/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/filehash.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "collect/hashing.h"
#include "collect/hostmounts.h"
#include "collect/object.h"
#include "scratch.h"

static char dir[] = "/tmp/affiant-filehash-XXXXXX";
static atomic_uint identified;
/* Called by the stand-in for the kernel's identity: lets a test act in the middle of a job. */
static _Atomic(void (*)(unsigned int call)) meanwhile;

/* How fine the change times of that identity are. */
static unsigned int tick_ns = 1;
/* The change time stays what it was, as the overlay inode's does. */
static const struct object_id *stale;

static int identity_of(int fd, struct object_id *ret)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return -errno;
	*ret = (struct object_id){
		.inode = st.st_ino,
		.device = major(st.st_dev) << 20 | minor(st.st_dev),
		.size = st.st_size,
		.ctime_s = stale ? stale->ctime_s : st.st_ctim.tv_sec,
		.ctime_ns = stale ? stale->ctime_ns : st.st_ctim.tv_nsec / tick_ns * tick_ns,
		.magic = fs.f_type,
	};
	return 0;
}

static int identify(void *context, int fd, struct object_facts *ret)
{
	void (*act)(unsigned int) = meanwhile;
	unsigned int call = ++identified;

	(void)context;
	if (act)
		act(call);
	memset(ret, 0, sizeof(*ret));
	return identity_of(fd, &ret->id);
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static struct hostmounts *mounts; /* ours: an overlay among them was made by root */

static struct filehash *start(struct filehash_config config)
{
	struct filehash *h = NULL;

	config.workers = config.workers ?: 2;
	config.cache_max = config.cache_max ?: 64;
	config.queue_max = config.queue_max ?: 64;
	config.identify = identify;
	config.mounts = mounts;
	identified = 0;
	meanwhile = NULL;
	assert_int_equal(filehash_new(&config, &h), 0);
	return h;
}

static const char *path_of(const char *name)
{
	static __thread char path[4][128];
	static __thread unsigned int turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static void write_file(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

/* Until the file's change time is old enough to be remembered. */
static void let_age(void)
{
	usleep(60000);
}

struct answer {
	struct file_digest digest;
	unsigned int times;
};

static void note(void *data, uint64_t token, const struct file_digest *digest)
{
	struct answer *answers = data;

	answers[token].digest = *digest;
	answers[token].times++;
}

static void collect(struct filehash *h, struct answer *answers, int count)
{
	struct pollfd p = {.fd = filehash_fd(h), .events = POLLIN};

	while (count > 0) {
		assert_int_equal(poll(&p, 1, 20000), 1);
		count -= filehash_collect(h, UINT64_MAX, note, answers);
	}
	assert_int_equal(count, 0);
	assert_int_equal(poll(&p, 1, 0), 0);
}

static struct file_digest ask(struct filehash *h, const struct filehash_job *job)
{
	struct filehash_job j = *job;
	struct answer a;

	memset(&a, 0xa5, sizeof(a));
	a.times = 0;
	j.token = 0;
	assert_int_equal(filehash_submit(h, &j), 0);
	collect(h, &a, 1);
	assert_int_equal(a.times, 1);
	return a.digest;
}

static struct file_digest ask_path(struct filehash *h, const char *path, int flags)
{
	struct filehash_job j = {.fd = open(path, flags | O_CLOEXEC)};

	assert_true(j.fd >= 0);
	return ask(h, &j);
}

static void check_bytes(const struct file_digest *d, const void *data, size_t len)
{
	struct sha256 sum;

	assert_int_equal(d->state, HASH_STATE_OBSERVED);
	assert_int_equal(sha256_of(data, len, &sum), 0);
	assert_memory_equal(&d->sha256, &sum, sizeof(sum));
}

/* FIPS 180-4 examples: "abc" and the empty message. */
static void test_known_digests(void **state)
{
	struct filehash *h = start((struct filehash_config){});
	char hex[SHA256_HEX_SIZE];
	struct file_digest d;

	(void)state;
	write_file(path_of("abc"), "abc", 3);
	write_file(path_of("empty"), "", 0);
	d = ask_path(h, path_of("abc"), O_RDONLY);
	assert_int_equal(d.state, HASH_STATE_OBSERVED);
	hex_encode(&d.sha256, SHA256_SIZE, hex);
	assert_string_equal(hex,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	d = ask_path(h, path_of("empty"), O_PATH);
	assert_int_equal(d.state, HASH_STATE_OBSERVED);
	hex_encode(&d.sha256, SHA256_SIZE, hex);
	assert_string_equal(hex,
			    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	filehash_free(h);
}

static void test_not_a_file(void **state)
{
	struct filehash *h = start((struct filehash_config){});
	struct filehash_job j = {};
	int p[2];

	(void)state;
	assert_int_equal(ask_path(h, dir, O_RDONLY).state, HASH_STATE_UNREADABLE);
	assert_int_equal(ask_path(h, "/dev/zero", O_RDONLY).state, HASH_STATE_UNREADABLE);
	/* Opening this one would wait for a writer. */
	assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
	assert_int_equal(ask_path(h, path_of("fifo"), O_PATH).state, HASH_STATE_UNREADABLE);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	j.fd = p[0];
	assert_int_equal(ask(h, &j).state, HASH_STATE_UNREADABLE);
	close(p[1]);
	j.fd = -1;
	assert_int_equal(ask(h, &j).state, HASH_STATE_UNREADABLE);
	filehash_free(h);
}

static void test_limits(void **state)
{
	struct filehash *h = start((struct filehash_config){.size_max = 3});

	(void)state;
	write_file(path_of("three"), "abc", 3);
	write_file(path_of("four"), "abcd", 4);
	assert_int_equal(ask_path(h, path_of("three"), O_RDONLY).state, HASH_STATE_OBSERVED);
	assert_int_equal(ask_path(h, path_of("four"), O_RDONLY).state, HASH_STATE_TOO_LARGE);
	filehash_free(h);

	h = start((struct filehash_config){.disabled = true});
	assert_int_equal(ask_path(h, path_of("three"), O_RDONLY).state, HASH_STATE_DISABLED);
	assert_int_equal(identified, 0);
	filehash_free(h);
}

static struct filehash_job executed(const char *path)
{
	struct filehash_job j = {.has_want = true};

	j.fd = open(path, O_PATH | O_CLOEXEC);
	assert_true(j.fd >= 0);
	assert_int_equal(identity_of(j.fd, &j.want.id), 0);
	return j;
}

static void test_cache_by_identity(void **state)
{
	struct filehash *h = start((struct filehash_config){});
	struct filehash_job j;
	struct filehash_stats stats;
	struct file_digest d;

	(void)state;
	write_file(path_of("a"), "first", 5);
	let_age();
	j = executed(path_of("a"));
	assert_false(filehash_cached(h, &j.want, &d));
	d = ask(h, &j);
	check_bytes(&d, "first", 5);
	memset(&d, 0xa5, sizeof(d));
	assert_true(filehash_cached(h, &j.want, &d));
	check_bytes(&d, "first", 5);

	/* Asked with that identity, no descriptor is even looked at. */
	j.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	d = ask(h, &j);
	check_bytes(&d, "first", 5);
	filehash_stats(h, &stats);
	assert_int_equal(stats.misses, 1);
	assert_int_equal(stats.hits, 2);
	assert_int_equal(stats.bytes, 5);

	/* Each part of the identity counts. */
	for (int part = 0; part < 7; part++) {
		struct object_facts other = j.want;

		other.id.inode += part == 0;
		other.id.device += part == 1;
		other.id.generation += part == 2;
		other.id.size += part == 3;
		other.id.ctime_s += part == 4;
		other.id.ctime_ns += part == 5;
		other.id.version += part == 6;
		assert_false(filehash_cached(h, &other, &d));
	}
	filehash_free(h);
}

static void test_elf(void **state)
{
	struct filehash *h = start((struct filehash_config){});
	struct file_digest d = ask_path(h, "/proc/self/exe", O_PATH);

	(void)state;
	assert_int_equal(d.state, HASH_STATE_OBSERVED);
	assert_non_null(strstr(d.loader, "ld-"));
	filehash_free(h);
}

static bool is_local(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && object_trust_of(fs.f_type) == OBJECT_LOCAL;
}

/* A program that is removed, or put elsewhere, while it runs: it is read, and the change is told. */
static void unlink_it(unsigned int call)
{
	if (call == 2 && unlink(path_of("self-deleting")) < 0)
		abort();
}

static void test_moved_since_it_was_executed(void **state)
{
	struct filehash *h = start((struct filehash_config){});
	struct filehash_job j;
	struct file_digest d;

	(void)state;
	for (int late = 0; late < 2; late++) {
		write_file(path_of("self-deleting"), "program", 7);
		let_age();
		j = executed(path_of("self-deleting"));
		identified = 0;
		meanwhile = late ? unlink_it : NULL;
		if (!late)
			assert_int_equal(unlink(path_of("self-deleting")), 0);
		d = ask(h, &j);
		check_bytes(&d, "program", 7);
		assert_true(d.moved);
		assert_false(filehash_cached(h, &j.want, &d));
	}
	filehash_free(h);
}

/* Holes alone: no reason to read for hours. */
static void test_hollow_file(void **state)
{
	struct filehash *h = start((struct filehash_config){});
	int fd = open(path_of("hollow"), O_RDWR | O_CREAT | O_CLOEXEC, 0700);

	(void)state;
	assert_int_equal(ftruncate(fd, 1ll << 40), 0);
	close(fd);
	assert_int_equal(ask_path(h, path_of("hollow"), O_RDONLY).state, HASH_STATE_TOO_LARGE);
	filehash_free(h);
}

static void test_another_object(void **state)
{
	struct filehash *h = start((struct filehash_config){});
	struct filehash_job j;

	(void)state;
	write_file(path_of("claimed"), "benign", 6);
	write_file(path_of("ran"), "hostile", 7);
	let_age();
	j = executed(path_of("ran"));
	close(j.fd);
	j.fd = open(path_of("claimed"), O_PATH | O_CLOEXEC);
	assert_int_equal(ask(h, &j).state, HASH_STATE_CHANGED);
	filehash_free(h);
}

/* ---- ages ---- */

static void test_young_is_not_remembered(void **state)
{
	struct filehash *h = start((struct filehash_config){});
	struct filehash_job j;
	struct file_digest d;

	(void)state;
	write_file(path_of("young"), "young", 5);
	j = executed(path_of("young"));
	d = ask(h, &j);
	check_bytes(&d, "young", 5);
	assert_false(filehash_cached(h, &j.want, &d));
	let_age();
	j = executed(path_of("young"));
	d = ask(h, &j);
	check_bytes(&d, "young", 5);
	assert_true(filehash_cached(h, &j.want, &d));
	filehash_free(h);
}

/* An identity whose time has the ticks of a kernel without finer ones: two writes share it. */
static void test_two_writes_in_one_tick(void **state)
{
	struct filehash *h = start((struct filehash_config){});
	unsigned int ties = 0;

	(void)state;
	tick_ns = 8000000;
	for (int i = 0; i < 50; i++) {
		char a[16], b[16];
		struct filehash_job first, second;
		struct file_digest d;

		snprintf(a, sizeof(a), "a%05d", i);
		snprintf(b, sizeof(b), "b%05d", i);
		write_file(path_of("tick"), a, 6);
		first = executed(path_of("tick"));
		if (i % 2) {
			d = ask(h, &first);
			assert_true(d.state == HASH_STATE_OBSERVED ||
				    d.state == HASH_STATE_CHANGED);
		} else {
			close(first.fd);
		}
		write_file(path_of("tick"), b, 6);
		second = executed(path_of("tick"));
		ties += memcmp(&first.want.id, &second.want.id, sizeof(first.want.id)) == 0;
		d = ask(h, &second);
		if (d.state == HASH_STATE_OBSERVED)
			check_bytes(&d, b, 6);
		/* The first exec, asked for late, when the bytes it ran are gone: on a busy machine they can have
		 * been read, and be old enough to be remembered, in time. Never are they the second's. */
		if (filehash_cached(h, &first.want, &d))
			check_bytes(&d, a, 6);
	}
	assert_true(ties > 0);
	tick_ns = 1;
	filehash_free(h);
}

/* What was known before somebody set the clock is forgotten: old change times can come again. */
static void test_clock_was_set(void **state)
{
	struct object_epoch e;
	uint64_t now = now_ns(CLOCK_BOOTTIME);

	(void)state;
	object_epoch_init(&e);
	assert_false(object_epoch_update(&e));
	e.low -= 3600000000000;
	e.high -= 3600000000000;
	assert_true(object_epoch_update(&e));
	assert_true(e.stepped_ns >= now);
	assert_false(object_epoch_update(&e));
}

/* A caller that does not know yet what happened until then gets nothing that came later. */
static void test_collected_up_to_a_time(void **state)
{
	struct filehash *h = start((struct filehash_config){});
	struct pollfd p = {.fd = filehash_fd(h), .events = POLLIN};
	struct filehash_job j = {};
	struct answer a = {};
	uint64_t before = now_ns(CLOCK_BOOTTIME);

	(void)state;
	write_file(path_of("late"), "late", 4);
	j.fd = open(path_of("late"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(filehash_submit(h, &j), 0);
	assert_int_equal(poll(&p, 1, 20000), 1);
	assert_int_equal(filehash_collect(h, before, note, &a), 0);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(filehash_collect(h, now_ns(CLOCK_BOOTTIME) + 1, note, &a), 1);
	assert_int_equal(poll(&p, 1, 0), 0);
	check_bytes(&a.digest, "late", 4);
	filehash_free(h);
}

/* ---- changes without a trace ---- */

static void test_memfd(void **state)
{
	struct filehash *h = start((struct filehash_config){});
	struct filehash_job j = {};
	int fd = memfd_create("program", MFD_CLOEXEC);
	struct file_digest d;
	char *map;

	(void)state;
	assert_int_equal(write(fd, "first", 5), 5);
	map = mmap(NULL, 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	/* Mapped by a read, the page takes stores that move no time. */
	assert_int_equal(*(volatile char *)map, 'f');
	let_age();
	for (int round = 0; round < 2; round++) {
		/* Executed, or as it is now: what is read, each time anew. */
		j.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		j.has_want = true;
		assert_int_equal(identity_of(fd, &j.want.id), 0);
		d = ask(h, &j);
		check_bytes(&d, round ? "First" : "first", 5);
		assert_false(filehash_cached(h, &j.want, &d));
		j.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		j.has_want = false;
		d = ask(h, &j);
		check_bytes(&d, round ? "First" : "first", 5);
		map[0] = 'F';
	}
	munmap(map, 5);
	close(fd);
	filehash_free(h);
}

/*
 * A page that is dirty takes stores without a new change time: a digest must not be remembered over
 * that.
 */
static void store_silently(const char *path)
{
	struct filehash *h = start((struct filehash_config){});
	struct file_digest d;
	char expected[] = "aaaa", *map;
	int fd;

	write_file(path, "aaaa", 4);
	fd = open(path, O_RDWR | O_CLOEXEC);
	map = mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	for (int i = 0; i < 6; i++) {
		map[i % 4]++;
		expected[i % 4]++;
		if (i % 2)
			let_age();
		d = ask_path(h, path, O_RDONLY);
		check_bytes(&d, expected, 4);
	}
	munmap(map, 4);
	close(fd);
	filehash_free(h);
}

static void test_stores_through_a_mapping(void **state)
{
	(void)state;
	if (!is_local(dir)) {
		print_message("%s is not on a disk filesystem\n", dir);
		skip();
	}
	store_silently(path_of("mapped"));
}

/* On overlayfs the kernel's identity does not see stores through a mapping at all. */
static void test_overlay(void **state)
{
	struct filehash *h;
	struct filehash_job j;
	struct file_digest d;
	char options[512], *map;
	int fd;

	(void)state;
	assert_int_equal(mkdir(path_of("lower"), 0755) | mkdir(path_of("upper"), 0755) |
				 mkdir(path_of("work"), 0755) | mkdir(path_of("merged"), 0755),
			 0);
	snprintf(options, sizeof(options), "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work",
		 dir, dir, dir);
	if (!is_local(dir) || mount("overlay", path_of("merged"), "overlay", 0, options) < 0) {
		print_message("no overlay can be mounted here, or not on a disk filesystem\n");
		skip();
	}
	store_silently(path_of("merged/mapped"));

	h = start((struct filehash_config){});
	write_file(path_of("merged/x"), "one", 3);
	let_age();
	j = executed(path_of("merged/x"));
	stale = &j.want.id;
	d = ask(h, &j);
	check_bytes(&d, "one", 3);
	fd = open(path_of("merged/x"), O_RDWR | O_CLOEXEC);
	map = mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	map[0] = 'O';
	/* The new bytes, although the identity that the kernel tells is the old one. */
	let_age();
	j.fd = open(path_of("merged/x"), O_PATH | O_CLOEXEC);
	d = ask(h, &j);
	check_bytes(&d, "One", 3);
	stale = NULL;
	munmap(map, 3);
	close(fd);
	filehash_free(h);
	assert_int_equal(umount(path_of("merged")), 0);
}

/* The same over tmpfs: no trace of stores; and mounted out of our sight, it could be over FUSE. */
static void test_overlay_over_tmpfs(void **state)
{
	struct filehash *h;
	struct filehash_job j;
	char options[512];

	(void)state;
	assert_int_equal(mkdir(path_of("tmpfs"), 0755), 0);
	if (mount("tmpfs", path_of("tmpfs"), "tmpfs", 0, NULL) < 0) {
		print_message("no tmpfs can be mounted here\n");
		skip();
	}
	assert_int_equal(mkdir(path_of("tmpfs/lower"), 0755) | mkdir(path_of("tmpfs/upper"), 0755) |
				 mkdir(path_of("tmpfs/work"), 0755) |
				 mkdir(path_of("tmpfs/merged"), 0755),
			 0);
	snprintf(options, sizeof(options), "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work",
		 path_of("tmpfs"), path_of("tmpfs"), path_of("tmpfs"));
	if (mount("overlay", path_of("tmpfs/merged"), "overlay", 0, options) < 0) {
		print_message("no overlay can be mounted here\n");
		assert_int_equal(umount(path_of("tmpfs")), 0);
		skip();
	}
	h = start((struct filehash_config){});
	write_file(path_of("tmpfs/merged/x"), "one", 3);
	let_age();
	for (int hidden = 0; hidden < 2; hidden++) {
		struct file_digest d;

		j = executed(path_of("tmpfs/merged/x"));
		if (hidden)
			assert_int_equal(umount2(path_of("tmpfs/merged"), MNT_DETACH), 0);
		d = ask(h, &j);
		assert_int_equal(d.state, hidden ? HASH_STATE_UNREADABLE : HASH_STATE_OBSERVED);
	}
	filehash_free(h);
	assert_int_equal(umount2(path_of("tmpfs"), MNT_DETACH), 0);
}

/* ---- changes in the middle ---- */

static void append_at_the_end(unsigned int call)
{
	int fd;

	if (call != 2)
		return;
	fd = open(path_of("moving"), O_WRONLY | O_APPEND | O_CLOEXEC);
	if (write(fd, "x", 1) != 1)
		abort();
	close(fd);
}

static void truncate_before_reading(unsigned int call)
{
	if (call == 1 && truncate(path_of("moving"), 1000) < 0)
		abort();
}

static void replace_by_rename(unsigned int call)
{
	if (call == 2 && rename(path_of("other"), path_of("moving")) < 0)
		abort();
}

static void test_changes_in_the_middle(void **state)
{
	static const char bytes[100000] = "x";
	struct filehash *h = start((struct filehash_config){});
	struct file_digest d;

	(void)state;
	for (int with_id = 0; with_id < 2; with_id++) {
		struct filehash_job j = {};

		write_file(path_of("moving"), bytes, sizeof(bytes));
		let_age();
		if (with_id)
			j = executed(path_of("moving"));
		else
			j.fd = open(path_of("moving"), O_RDONLY | O_CLOEXEC);
		identified = 0;
		meanwhile = append_at_the_end;
		assert_int_equal(ask(h, &j).state, HASH_STATE_CHANGED);
	}

	write_file(path_of("moving"), bytes, sizeof(bytes));
	let_age();
	identified = 0;
	meanwhile = truncate_before_reading;
	d = ask_path(h, path_of("moving"), O_RDONLY);
	/* It was cut before it was looked at: what is left is right. */
	check_bytes(&d, bytes, 1000);

	/* Another file takes its name: the object is the old one. */
	write_file(path_of("moving"), bytes, sizeof(bytes));
	write_file(path_of("other"), "other", 5);
	let_age();
	identified = 0;
	meanwhile = replace_by_rename;
	d = ask_path(h, path_of("moving"), O_RDONLY);
	/* Losing its last name is a change of the inode. */
	assert_int_equal(d.state, HASH_STATE_CHANGED);
	meanwhile = NULL;
	d = ask_path(h, path_of("moving"), O_RDONLY);
	check_bytes(&d, "other", 5);
	filehash_free(h);
}

/* ---- races ---- */

#define ROUNDS 10000
#define BATCH 50
#define VALUES 64
#define TORN_SIZE 65536

static atomic_bool racing;

static void *rename_over(void *arg)
{
	char from[128], to[128], text[16];

	(void)arg;
	snprintf(from, sizeof(from), "%s/new", dir);
	snprintf(to, sizeof(to), "%s/race", dir);
	for (unsigned int n = 0; racing; n++) {
		int len = snprintf(text, sizeof(text), "%08u", n);
		int fd = open(from, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);

		if (fd < 0 || write(fd, text, len) != len || close(fd) < 0 || rename(from, to) < 0)
			abort();
		if (n % 8 == 0)
			usleep(1000);
	}
	return NULL;
}

static void run_batch(struct filehash *h, const char *path, struct answer answers[BATCH],
		      int fds[BATCH])
{
	memset(answers, 0, BATCH * sizeof(*answers));
	for (unsigned int i = 0; i < BATCH; i++) {
		struct filehash_job j = {.token = i, .has_want = i % 2, .session = i % 3};

		j.fd = open(path, (i % 4 < 2 ? O_RDONLY : O_PATH) | O_CLOEXEC);
		assert_true(j.fd >= 0);
		assert_int_equal(identity_of(j.fd, &j.want.id), 0);
		if (fds) {
			char link[32];

			snprintf(link, sizeof(link), "/proc/self/fd/%d", j.fd);
			fds[i] = open(link, O_RDONLY | O_CLOEXEC);
			assert_true(fds[i] >= 0);
		}
		assert_int_equal(filehash_submit(h, &j), 0);
	}
	collect(h, answers, BATCH);
}

/*
 * Inode numbers are used again within microseconds; the digest is always of the file behind the
 * descriptor.
 */
static void test_rename_races(void **state)
{
	struct filehash *h =
		start((struct filehash_config){.workers = 16}); /* they wait for ticks */
	static struct answer answers[BATCH];
	unsigned int observed = 0;
	int fds[BATCH];
	pthread_t thread;

	(void)state;
	write_file(path_of("race"), "00000000", 8);
	racing = true;
	assert_int_equal(pthread_create(&thread, NULL, rename_over, NULL), 0);
	for (int round = 0; round < ROUNDS; round += BATCH) {
		run_batch(h, path_of("race"), answers, fds);
		for (unsigned int i = 0; i < BATCH; i++) {
			char text[16] = "";

			assert_int_equal(answers[i].times, 1);
			assert_int_equal(pread(fds[i], text, sizeof(text), 0), 8);
			close(fds[i]);
			if (answers[i].digest.state == HASH_STATE_OBSERVED) {
				check_bytes(&answers[i].digest, text, 8);
				observed++;
			} else {
				assert_int_equal(answers[i].digest.state, HASH_STATE_CHANGED);
			}
		}
	}
	racing = false;
	pthread_join(thread, NULL);
	assert_true(observed > 0);
	filehash_free(h);
}

static void *write_over(void *arg)
{
	static char bytes[TORN_SIZE];
	int fd = *(int *)arg;

	for (unsigned int n = 0; racing; n++) {
		memset(bytes, n % VALUES, sizeof(bytes));
		if (pwrite(fd, bytes, sizeof(bytes), 0) != sizeof(bytes))
			abort();
		if (n % 8 == 0)
			usleep(20000);
	}
	return NULL;
}

/* Written over in place while it is read: never a digest of some old and some new bytes. */
static void test_torn_reads(void **state)
{
	struct filehash *h = start((struct filehash_config){});
	static struct answer answers[BATCH];
	static char bytes[TORN_SIZE];
	struct sha256 sums[VALUES];
	unsigned int observed = 0;
	pthread_t thread;
	int fd;

	(void)state;
	for (int v = VALUES - 1; v >= 0; v--) {
		memset(bytes, v, sizeof(bytes));
		assert_int_equal(sha256_of(bytes, sizeof(bytes), &sums[v]), 0);
	}
	write_file(path_of("torn"), bytes, sizeof(bytes));
	fd = open(path_of("torn"), O_WRONLY | O_CLOEXEC);
	racing = true;
	assert_int_equal(pthread_create(&thread, NULL, write_over, &fd), 0);
	for (int round = 0; round < 40; round++) {
		run_batch(h, path_of("torn"), answers, NULL);
		for (unsigned int i = 0; i < BATCH; i++) {
			bool whole = false;

			if (answers[i].digest.state != HASH_STATE_OBSERVED)
				continue;
			observed++;
			for (int v = 0; v < VALUES; v++)
				whole |= memcmp(&sums[v], &answers[i].digest.sha256, SHA256_SIZE) ==
					 0;
			assert_true(whole);
		}
	}
	racing = false;
	pthread_join(thread, NULL);
	close(fd);
	assert_true(observed > 0);
	filehash_free(h);
}

/* ---- turns ---- */

static sem_t entered, gate;

static void wait_at_gate(unsigned int call)
{
	if (call != 1)
		return;
	sem_post(&entered);
	sem_wait(&gate);
}

/* Occupies the only worker until the gate opens; its token is 0. */
static struct filehash *start_blocked(struct filehash_config config)
{
	struct filehash_job j = {.session = 1000};
	struct filehash *h;

	config.workers = config.workers ?: 1;
	sem_init(&entered, 0, 0);
	sem_init(&gate, 0, 0);
	write_file(path_of("blocker"), "blocker", 7);
	let_age();
	h = start(config);
	meanwhile = wait_at_gate;
	j.fd = open(path_of("blocker"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(filehash_submit(h, &j), 0);
	sem_wait(&entered);
	return h;
}

static void submit_path(struct filehash *h, const char *path, uint64_t session, uint64_t token,
			int expected)
{
	struct filehash_job j = {.session = session, .token = token};

	j.fd = open(path, O_PATH | O_CLOEXEC);
	assert_true(j.fd >= 0);
	assert_int_equal(filehash_submit(h, &j), expected);
}

static void test_full_queue(void **state)
{
	struct filehash *h = start_blocked((struct filehash_config){.queue_max = 3});
	struct answer answers[8] = {};
	struct filehash_stats stats;

	(void)state;
	for (uint64_t i = 1; i <= 3; i++)
		submit_path(h, path_of("blocker"), 7, i, 0);
	submit_path(h, path_of("blocker"), 7, 4, -EAGAIN);
	/* Another session has its own. */
	submit_path(h, path_of("blocker"), 8, 5, 0);
	filehash_stats(h, &stats);
	assert_int_equal(stats.queued, 4);
	sem_post(&gate);
	collect(h, answers, 5);
	assert_int_equal(answers[4].times, 0);
	submit_path(h, path_of("blocker"), 7, 4, 0);
	collect(h, answers, 1);
	for (int i = 0; i < 6; i++)
		check_bytes(&answers[i].digest, "blocker", 7);
	filehash_free(h);
}

/*
 * Of all sessions together, but each gets its share: descriptors do not run out, nor is anybody
 * kept out.
 */
static void test_full_queue_of_all(void **state)
{
	struct filehash *h =
		start_blocked((struct filehash_config){.queue_max = 100, .queue_total = 12});
	struct answer answers[64] = {};
	uint64_t n = 1;

	(void)state;
	while (n <= 11) /* and the one that keeps the worker */
		submit_path(h, path_of("blocker"), 7, n++, 0);
	submit_path(h, path_of("blocker"), 7, n, -EAGAIN);
	while (n <= 11 + 4) /* a third: three sessions have something waiting */
		submit_path(h, path_of("blocker"), 8, n++, 0);
	submit_path(h, path_of("blocker"), 8, n, -EAGAIN);
	while (n <= 11 + 4 + 3)
		submit_path(h, path_of("blocker"), 9, n++, 0);
	submit_path(h, path_of("blocker"), 9, n, -EAGAIN);
	sem_post(&gate);
	collect(h, answers, n);
	submit_path(h, path_of("blocker"), 7, n, 0);
	collect(h, answers, 1);
	filehash_free(h);
}

static void test_one_object_is_hashed_once(void **state)
{
	struct filehash *h = start_blocked((struct filehash_config){});
	static struct answer answers[64];
	struct filehash_stats stats;
	struct filehash_job j;

	(void)state;
	memset(answers, 0, sizeof(answers));
	write_file(path_of("shared"), "shared", 6);
	for (uint64_t i = 1; i <= 50; i++) {
		j = executed(path_of("shared"));
		j.session = i % 5;
		j.token = i;
		/* Some of them lie, the first one, too: what they hold is another file. */
		if (i == 1 || i == 30) {
			close(j.fd);
			j.fd = open(path_of("blocker"), O_PATH | O_CLOEXEC);
		}
		assert_int_equal(filehash_submit(h, &j), 0);
	}
	sem_post(&gate);
	collect(h, answers, 51);
	for (int i = 1; i <= 50; i++) {
		assert_int_equal(answers[i].times, 1);
		if (answers[i].digest.state == HASH_STATE_OBSERVED)
			check_bytes(&answers[i].digest, "shared", 6);
		else
			assert_true(i == 1 || i == 30);
	}
	assert_int_equal(answers[1].digest.state, HASH_STATE_CHANGED);
	filehash_stats(h, &stats);
	assert_int_equal(stats.bytes, 7 + 6);
	filehash_free(h);
}

struct order {
	uint64_t tokens[256];
	struct file_digest last;
	int count;
};

static void note_order(void *data, uint64_t token, const struct file_digest *digest)
{
	struct order *o = data;

	o->tokens[o->count++] = token;
	o->last = *digest;
}

static int place_of(const struct order *o, uint64_t token)
{
	for (int i = 0; i < o->count; i++)
		if (o->tokens[i] == token)
			return i;
	return -1;
}

static void collect_order(struct filehash *h, struct order *o, int count)
{
	struct pollfd p = {.fd = filehash_fd(h), .events = POLLIN};

	o->count = 0;
	while (o->count < count) {
		assert_int_equal(poll(&p, 1, 60000), 1);
		filehash_collect(h, UINT64_MAX, note_order, o);
	}
	assert_int_equal(o->count, count);
}

static void test_sessions_take_turns(void **state)
{
	struct filehash *h = start_blocked((struct filehash_config){.queue_max = 128});
	static struct order o;
	struct filehash_job j;

	(void)state;
	write_file(path_of("flood"), "flood", 5);
	write_file(path_of("wanted"), "wanted", 6);
	let_age();
	for (uint64_t i = 1; i <= 100; i++) {
		/* The last of the flood is what another session wants, too. */
		if (i == 100) {
			j = executed(path_of("wanted"));
			j.session = 1;
			j.token = i;
			assert_int_equal(filehash_submit(h, &j), 0);
		} else {
			submit_path(h, path_of("flood"), 1, i, 0);
		}
	}
	submit_path(h, path_of("flood"), 2, 101, 0);
	j = executed(path_of("wanted"));
	j.session = 3;
	j.token = 102;
	assert_int_equal(filehash_submit(h, &j), 0);
	sem_post(&gate);
	collect_order(h, &o, 103);
	assert_in_range(place_of(&o, 101), 1, 4);
	assert_in_range(place_of(&o, 102), 1, 6);
	filehash_free(h);
}

static void test_large_file(void **state)
{
	struct filehash *h = start_blocked((struct filehash_config){});
	char hex[SHA256_HEX_SIZE];
	static struct order o;
	int fd;

	(void)state;
	fd = open(path_of("large"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(ftruncate(fd, 300 << 20), 0);
	close(fd);
	write_file(path_of("small"), "small", 5);
	let_age();
	submit_path(h, path_of("large"), 1, 1, 0);
	submit_path(h, path_of("small"), 1, 2, 0);
	submit_path(h, path_of("small"), 2, 3, 0);
	sem_post(&gate);
	collect_order(h, &o, 4);
	/* Those that came later did not wait for it. */
	assert_int_equal(place_of(&o, 1), 3);
	assert_int_equal(o.last.state, HASH_STATE_OBSERVED);
	hex_encode(&o.last.sha256, SHA256_SIZE, hex);
	/* head -c 300M /dev/zero | sha256sum */
	assert_string_equal(hex,
			    "17a88af83717f68b8bd97873ffcf022c8aed703416fe9b08e0fa9e3287692bf0");
	filehash_free(h);
}

static void test_freed_with_jobs(void **state)
{
	struct filehash *h = start_blocked((struct filehash_config){});

	(void)state;
	for (uint64_t i = 1; i <= 20; i++) {
		struct filehash_job j = executed(path_of("blocker"));

		j.token = i;
		assert_int_equal(filehash_submit(h, &j), 0);
		submit_path(h, path_of("blocker"), i, i, 0);
	}
	sem_post(&gate);
	filehash_free(h);
	filehash_free(NULL);
}

/*
 * A worker that does not come back: another one takes over, and that session has no more of them.
 */
static void test_stuck_worker(void **state)
{
	struct filehash *h = start_blocked((struct filehash_config){});
	struct answer answers[4] = {};

	(void)state;
	usleep(2100000);
	submit_path(h, path_of("blocker"), 1000, 1, 0);
	submit_path(h, path_of("blocker"), 7, 2, 0);
	collect(h, answers, 1);
	check_bytes(&answers[2].digest, "blocker", 7);
	sem_post(&gate);
	collect(h, answers, 2);
	check_bytes(&answers[0].digest, "blocker", 7);
	check_bytes(&answers[1].digest, "blocker", 7);
	filehash_free(h);
}

struct opener {
	const char *path;
	int error;
	atomic_int opened, freed;
};

static int open_it(void *opener)
{
	struct opener *o = opener;

	o->opened++;
	return o->error ?: open(o->path, O_RDONLY | O_CLOEXEC);
}

static void free_it(void *opener)
{
	((struct opener *)opener)->freed++;
}

static void test_opened_by_a_worker(void **state)
{
	struct opener good = {.path = path_of("opened")}, gone = {.error = -ESRCH},
		      denied = {.error = -EACCES};
	struct opener full = {.error = -EIO};
	struct filehash_job j = {.open = open_it, .opener_free = free_it};
	struct filehash *h = start((struct filehash_config){.queue_max = 1});
	struct file_digest d;
	struct answer a = {};

	(void)state;
	write_file(good.path, "opened", 6);
	j.opener = &good;
	d = ask(h, &j);
	check_bytes(&d, "opened", 6);
	j.opener = &gone;
	assert_int_equal(ask(h, &j).state, HASH_STATE_TOO_LATE);
	j.opener = &denied;
	assert_int_equal(filehash_submit(h, &j), 0);
	j.opener = &full;
	assert_int_equal(filehash_submit(h, &j), -EAGAIN);
	collect(h, &a, 1);
	assert_int_equal(a.digest.state, HASH_STATE_UNREADABLE);
	assert_true(good.opened == 1 && good.freed == 1 && gone.freed == 1 && denied.freed == 1);
	assert_true(full.opened == 0 && full.freed == 1);
	filehash_free(h);
}

static void test_cache_is_bounded(void **state)
{
	struct filehash *h = start((struct filehash_config){.cache_max = 4});
	struct object_facts ids[6];
	struct filehash_stats stats;
	struct file_digest d;

	(void)state;
	for (int i = 0; i < 6; i++) {
		char name[16];

		snprintf(name, sizeof(name), "lru%d", i);
		write_file(path_of(name), name, strlen(name));
	}
	let_age();
	for (int i = 0; i < 6; i++) {
		struct filehash_job j;
		char name[16];

		snprintf(name, sizeof(name), "lru%d", i);
		j = executed(path_of(name));
		ids[i] = j.want;
		d = ask(h, &j);
		check_bytes(&d, name, strlen(name));
		/* The first one is used again and again. */
		assert_true(filehash_cached(h, &ids[0], &d));
	}
	assert_true(filehash_cached(h, &ids[0], &d));
	check_bytes(&d, "lru0", 4);
	assert_false(filehash_cached(h, &ids[1], &d));
	assert_false(filehash_cached(h, &ids[2], &d));
	for (int i = 3; i < 6; i++)
		assert_true(filehash_cached(h, &ids[i], &d));
	filehash_stats(h, &stats);
	assert_int_equal(stats.entries, 8); /* 4 by each kind of identity */
	filehash_free(h);
}

static void test_trust(void **state)
{
	struct object_id id = {.inode = 1};

	(void)state;
	assert_int_equal(object_trust_of(EXT4_SUPER_MAGIC), OBJECT_LOCAL);
	assert_int_equal(object_trust_of(TMPFS_MAGIC), OBJECT_TRACELESS);
	assert_int_equal(object_trust_of(OVERLAYFS_SUPER_MAGIC), OBJECT_STACKED);
	assert_int_equal(object_trust_of(SQUASHFS_MAGIC), OBJECT_IMAGE);
	assert_int_equal(object_trust_of(FUSE_SUPER_MAGIC), OBJECT_FOREIGN);
	assert_int_equal(object_trust_of(PROC_SUPER_MAGIC), OBJECT_FOREIGN);
	assert_int_equal(object_trust_of(0x12345678), OBJECT_FOREIGN);
	assert_int_equal(
		ask_path(start((struct filehash_config){}), "/proc/self/stat", O_RDONLY).state,
		HASH_STATE_UNREADABLE);
	assert_true(object_id_equal(&id, &(struct object_id){.inode = 1, .magic = 5}));
}

static int remove_dir(void **state)
{
	(void)state;
	hostmounts_free(mounts);
	return scratch_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_digests),
		cmocka_unit_test(test_not_a_file),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_cache_by_identity),
		cmocka_unit_test(test_another_object),
		cmocka_unit_test(test_moved_since_it_was_executed),
		cmocka_unit_test(test_hollow_file),
		cmocka_unit_test(test_elf),
		cmocka_unit_test(test_young_is_not_remembered),
		cmocka_unit_test(test_two_writes_in_one_tick),
		cmocka_unit_test(test_clock_was_set),
		cmocka_unit_test(test_collected_up_to_a_time),
		cmocka_unit_test(test_memfd),
		cmocka_unit_test(test_stores_through_a_mapping),
		cmocka_unit_test(test_overlay),
		cmocka_unit_test(test_overlay_over_tmpfs),
		cmocka_unit_test(test_changes_in_the_middle),
		cmocka_unit_test(test_rename_races),
		cmocka_unit_test(test_torn_reads),
		cmocka_unit_test(test_full_queue),
		cmocka_unit_test(test_full_queue_of_all),
		cmocka_unit_test(test_one_object_is_hashed_once),
		cmocka_unit_test(test_sessions_take_turns),
		cmocka_unit_test(test_large_file),
		cmocka_unit_test(test_freed_with_jobs),
		cmocka_unit_test(test_stuck_worker),
		cmocka_unit_test(test_opened_by_a_worker),
		cmocka_unit_test(test_cache_is_bounded),
		cmocka_unit_test(test_trust),
	};

	assert_non_null(mkdtemp(dir));
	assert_int_equal(hostmounts_new(&mounts), 0);
	return cmocka_run_group_tests_name("filehash", tests, NULL, remove_dir);
}
