/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/filehash.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"

static char dir[] = "/tmp/affiant-filehash-XXXXXX";
static atomic_uint identified;
/* Called by the stand-in for the kernel's identity: lets a test act in the middle of a job. */
static _Atomic(void (*)(unsigned int call)) meanwhile;

static int identity_of(int fd, struct object_id *ret)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return -errno;
	*ret = (struct object_id){
		.inode = st.st_ino,
		.device = st.st_dev,
		.size = st.st_size,
		.ctime_s = st.st_ctim.tv_sec,
		.ctime_ns = st.st_ctim.tv_nsec,
		.magic = fs.f_type,
	};
	return 0;
}

static int identify(void *context, int fd, struct object_id *ret)
{
	void (*act)(unsigned int) = meanwhile;
	unsigned int call = ++identified;

	(void)context;
	if (act)
		act(call);
	return identity_of(fd, ret);
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static struct filehash *start(struct filehash_config config)
{
	struct filehash *h = NULL;

	config.workers = config.workers ?: 2;
	config.cache_max = config.cache_max ?: 64;
	config.queue_max = config.queue_max ?: 64;
	config.identify = identify;
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
		count -= filehash_collect(h, note, answers);
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
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	d = ask_path(h, path_of("empty"), O_PATH);
	assert_int_equal(d.state, HASH_STATE_OBSERVED);
	hex_encode(&d.sha256, SHA256_SIZE, hex);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
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

static struct filehash_job executed(const char *path, uint64_t opened_ns)
{
	struct filehash_job j = {.has_id = true, .opened_ns = opened_ns};

	j.fd = open(path, O_PATH | O_CLOEXEC);
	assert_true(j.fd >= 0);
	assert_int_equal(identity_of(j.fd, &j.id), 0);
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
	j = executed(path_of("a"), now_ns(CLOCK_BOOTTIME));
	assert_false(filehash_cached(h, &j.id, j.opened_ns, &d));
	d = ask(h, &j);
	check_bytes(&d, "first", 5);
	memset(&d, 0xa5, sizeof(d));
	assert_true(filehash_cached(h, &j.id, j.opened_ns, &d));
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
		struct object_id id = j.id;

		id.inode += part == 0;
		id.device += part == 1;
		id.generation += part == 2;
		id.size += part == 3;
		id.ctime_s += part == 4;
		id.ctime_ns += part == 5;
		id.version += part == 6;
		assert_false(filehash_cached(h, &id, j.opened_ns, &d));
	}
	filehash_free(h);
}

static void test_elf(void **state)
{
	struct filehash *h = start((struct filehash_config){});
	struct file_digest d = ask_path(h, "/proc/self/exe", O_PATH);

	(void)state;
	assert_int_equal(d.state, HASH_STATE_OBSERVED);
	assert_true(d.has_loader);
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
	j = executed(path_of("ran"), now_ns(CLOCK_BOOTTIME));
	close(j.fd);
	j.fd = open(path_of("claimed"), O_PATH | O_CLOEXEC);
	assert_int_equal(ask(h, &j).state, HASH_STATE_CHANGED);
	filehash_free(h);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int remove_dir(void **state)
{
	(void)state;
	return nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_digests),
		cmocka_unit_test(test_not_a_file),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_cache_by_identity),
		cmocka_unit_test(test_another_object),
		cmocka_unit_test(test_elf),
	};

	assert_non_null(mkdtemp(dir));
	return cmocka_run_group_tests_name("filehash", tests, NULL, remove_dir);
}
