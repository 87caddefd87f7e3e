/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "scratch.h"

/* By an independent program, from the description in manifest.h. */
#define ROOT_AGENT "74a68cea299ab20bf9c630deab1e90c8d6ff622933d4547775b9562d456cf5fe"
#define ROOT_ALPHA "3fecbfc391bb1926f035b24ae197ad425d0382cbff8eb5e043f6da2941f46e20"
#define ROOT_BOTH "f81650f41450e0fe75486af8c46c38d6f39c8b598d5ce23fb2cfd42f8f7a24c1"

static char dir[] = "/tmp/affiant-manifest-XXXXXX";

static const char *path_of(const char *name)
{
	static __thread char path[8][PATH_MAX];
	static __thread unsigned int turn;
	char *p = path[turn++ % 8];

	snprintf(p, PATH_MAX, "%s/%s", dir, name);
	return p;
}

static void make_file(const char *name, const char *text, mode_t mode)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void make_dir(const char *name, mode_t mode)
{
	assert_int_equal(mkdir(path_of(name), 0700), 0);
	assert_int_equal(chmod(path_of(name), mode), 0);
}

static void make_agent(void)
{
	make_dir("agent", 0755);
	make_dir("agent/d", 0750);
	make_file("agent/d/x", "ex", 0644);
	make_file("agent/d-e", "", 0600);
	make_file("agent/alpha", "alpha", 0755);
	assert_int_equal(symlink("nowhere/at all", path_of("agent/link")), 0);
	assert_int_equal(mkfifo(path_of("agent/pipe"), 0600), 0);
	make_file("agent/\xff\n", "odd", 0644);
}

static struct manifests *start(struct manifests_config config)
{
	struct manifests *m = NULL;

	config.workers = config.workers ?: 1;
	config.entries_max = config.entries_max ?: 1000;
	config.bytes_max = config.bytes_max ?: 1 << 20;
	config.depth_max = config.depth_max ?: 8;
	config.files_max = config.files_max ?: 100;
	assert_int_equal(manifests_new(&config, &m), 0);
	return m;
}

struct answer {
	enum hash_state state;
	uint64_t entries, token;
	char root[SHA256_HEX_SIZE];
	char root_of[4][SHA256_HEX_SIZE];
	enum hash_state state_of[4];
	char files[512];
	size_t files_count;
	unsigned int times;
};

static void note(void *data, uint64_t token, const struct manifest *m)
{
	struct answer *a = data;
	char *at = a->files;

	a->times++;
	a->token = token;
	a->state = m->state;
	a->entries = m->entries;
	a->files_count = m->files_count;
	hex_encode(&m->root, SHA256_SIZE, a->root);
	for (size_t i = 0; i < m->paths_count && i < 4; i++) {
		hex_encode(&m->paths[i].root, SHA256_SIZE, a->root_of[i]);
		a->state_of[i] = m->paths[i].state;
	}
	for (size_t i = 0; i < m->files_count; i++)
		at += snprintf(at, a->files + sizeof(a->files) - at, "%u:%s ", m->files[i].of,
			       m->files[i].path);
}

static struct credentials own(void)
{
	_cleanup_close_ int proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct credentials c;

	assert_int_equal(credentials_read(proc, &c), 0);
	return c;
}

static void collect(struct manifests *m, struct answer *ret)
{
	struct pollfd p = {.fd = manifests_fd(m), .events = POLLIN};

	memset(ret, 0xa5, sizeof(*ret));
	ret->times = 0;
	assert_int_equal(poll(&p, 1, 30000), 1);
	assert_int_equal(manifests_collect(m, note, ret), 1);
	assert_int_equal(poll(&p, 1, 0), 0);
}

static struct answer measure_as(struct manifests *m, const char *name, const struct credentials *c)
{
	const int fd = open(path_of(name), O_RDONLY | O_CLOEXEC);
	struct manifest_job j = {
		.token = 42, .count = 1, .names = &name, .fds = &fd, .credentials = *c};
	struct answer a;

	assert_true(fd >= 0);
	assert_int_equal(manifests_submit(m, &j), 0);
	collect(m, &a);
	assert_int_equal(a.token, 42);
	return a;
}

static struct answer measure(struct manifests *m, const char *name)
{
	struct credentials c = own();

	return measure_as(m, name, &c);
}

static void test_vector(void **state)
{
	const char *names[] = {"/opt/alpha", "./agent"};
	struct manifests *m = start((struct manifests_config){});
	struct manifest_job j = {.token = 7, .count = 2, .names = names, .credentials = own()};
	struct answer a;
	int fds[2];

	(void)state;
	make_agent();
	fds[0] = open(path_of("agent/alpha"), O_PATH | O_CLOEXEC);
	fds[1] = open(path_of("agent"), O_RDONLY | O_CLOEXEC);
	j.fds = fds;
	assert_int_equal(manifests_submit(m, &j), 0);
	collect(m, &a);
	assert_int_equal(a.token, 7);
	assert_int_equal(a.state, HASH_STATE_OBSERVED);
	assert_int_equal(a.entries, 9);
	assert_string_equal(a.root_of[0], ROOT_AGENT);
	assert_string_equal(a.root_of[1], ROOT_ALPHA);
	assert_string_equal(a.root, ROOT_BOTH);
	assert_string_equal(a.files, "0: 0:alpha 0:d 0:d-e 0:d/x 0:link 0:pipe 0:\xff\n 1: ");

	/* A name twice: two descriptors for it could differ. */
	names[0] = "./agent";
	fds[0] = open(path_of("agent"), O_RDONLY | O_CLOEXEC);
	fds[1] = open(path_of("agent"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(manifests_submit(m, &j), -EINVAL);
	assert_int_equal(fcntl(fds[0], F_GETFD), -1);
	assert_int_equal(fcntl(fds[1], F_GETFD), -1);
	manifests_free(m);
}

/* Every kind of change shows, and taking it back does, too. */
static void test_what_counts(void **state)
{
	struct manifests *m = start((struct manifests_config){});
	char moved[SHA256_HEX_SIZE];

	(void)state;
	assert_string_equal(measure(m, "agent").root_of[0], ROOT_AGENT);
	assert_int_equal(rename(path_of("agent"), path_of("elsewhere")), 0);
	assert_string_equal(measure(m, "elsewhere").root_of[0], ROOT_AGENT);
	strcpy(moved, measure(m, "elsewhere").root);
	assert_int_equal(rename(path_of("elsewhere"), path_of("agent")), 0);
	assert_string_not_equal(measure(m, "agent").root, moved);

	make_file("agent/d/x", "eX", 0644);
	assert_string_not_equal(measure(m, "agent").root_of[0], ROOT_AGENT);
	make_file("agent/d/x", "ex", 0644);
	assert_int_equal(chmod(path_of("agent/alpha"), 04755), 0);
	assert_string_not_equal(measure(m, "agent").root_of[0], ROOT_AGENT);
	assert_int_equal(chmod(path_of("agent/alpha"), 0755), 0);
	make_dir("agent/empty", 0755);
	assert_string_not_equal(measure(m, "agent").root_of[0], ROOT_AGENT);
	assert_int_equal(rmdir(path_of("agent/empty")), 0);
	assert_int_equal(rename(path_of("agent/d-e"), path_of("agent/d-f")), 0);
	assert_string_not_equal(measure(m, "agent").root_of[0], ROOT_AGENT);
	assert_int_equal(rename(path_of("agent/d-f"), path_of("agent/d-e")), 0);
	assert_int_equal(unlink(path_of("agent/link")), 0);
	assert_int_equal(symlink("agent/alpha", path_of("agent/link")), 0);
	assert_string_not_equal(measure(m, "agent").root_of[0], ROOT_AGENT);
	assert_int_equal(unlink(path_of("agent/link")), 0);
	assert_int_equal(symlink("nowhere/at all", path_of("agent/link")), 0);
	assert_string_equal(measure(m, "agent").root_of[0], ROOT_AGENT);
	manifests_free(m);
}

static void test_bounds(void **state)
{
	static const struct {
		struct manifests_config config;
		enum hash_state state;
	} cases[] = {
		{{.entries_max = 8}, HASH_STATE_OBSERVED},
		{{.entries_max = 7}, HASH_STATE_TOO_LARGE},
		{{.entries_max = 1}, HASH_STATE_TOO_LARGE},
		{{.bytes_max = 10}, HASH_STATE_OBSERVED},
		{{.bytes_max = 9}, HASH_STATE_TOO_LARGE},
		{{.time_max_ns = 1}, HASH_STATE_TOO_LATE},
		{{.files_max = 3}, HASH_STATE_OBSERVED},
	};
	struct manifests *m;
	struct answer a;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		m = start(cases[i].config);
		a = measure(m, "agent");
		assert_int_equal(a.state, cases[i].state);
		assert_int_equal(a.state_of[0], cases[i].state);
		if (cases[i].state == HASH_STATE_OBSERVED)
			assert_string_equal(a.root_of[0], ROOT_AGENT);
		if (cases[i].config.files_max)
			assert_int_equal(a.files_count, 3);
		manifests_free(m);
	}

	make_dir("deep", 0755);
	make_dir("deep/1", 0755);
	make_dir("deep/1/2", 0755);
	m = start((struct manifests_config){.depth_max = 2});
	assert_int_equal(measure(m, "deep").state, HASH_STATE_OBSERVED);
	make_dir("deep/1/2/3", 0755);
	assert_int_equal(measure(m, "deep").state, HASH_STATE_TOO_LARGE);
	manifests_free(m);
}

/* He who can open a directory can't read all that is in it. */
static void test_rights(void **state)
{
	const struct credentials nobody = {.uid = 4711, .gid = 4711};
	struct manifests *m = start((struct manifests_config){});
	struct credentials_saved saved;

	(void)state;
	if (credentials_assume(&nobody, &saved) < 0) {
		print_message("needs CAP_SETUID and CAP_SETGID\n");
		manifests_free(m);
		skip();
	}
	credentials_restore(&saved);
	make_dir("mixed", 0755);
	make_file("mixed/open", "open", 0644);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(measure_as(m, "mixed", &nobody).state, HASH_STATE_OBSERVED);
	make_file("mixed/secret", "secret", 0600);
	assert_int_equal(measure_as(m, "mixed", &nobody).state, HASH_STATE_UNREADABLE);
	assert_int_equal(measure(m, "mixed").state, HASH_STATE_OBSERVED);
	assert_int_equal(unlink(path_of("mixed/secret")), 0);
	make_dir("mixed/closed", 0700);
	assert_int_equal(measure_as(m, "mixed", &nobody).state, HASH_STATE_UNREADABLE);
	assert_int_equal(measure(m, "mixed").state, HASH_STATE_OBSERVED);
	manifests_free(m);
}

/* The directory agent/d lies on a filesystem of a server's. */
static int identify(void *context, int fd, struct object_facts *ret)
{
	struct stat st;

	*ret = (struct object_facts){.id.magic = EXT4_SUPER_MAGIC};
	assert_int_equal(fstat(fd, &st), 0);
	if (st.st_ino == *(const ino_t *)context)
		ret->id.magic = FUSE_SUPER_MAGIC;
	return 0;
}

static void test_foreign_directory(void **state)
{
	ino_t foreign = 0;
	struct manifests *m = start(
		(struct manifests_config){.identify = identify, .identify_context = &foreign});
	const char *name = "agent";
	struct manifest_job j = {.count = 1, .names = &name, .credentials = own()};
	struct answer a;
	struct stat st;
	int fd;

	(void)state;
	j.fds = &fd;
	for (int round = 0; round < 2; round++) {
		fd = open(path_of("agent"), O_RDONLY | O_CLOEXEC);
		assert_int_equal(manifests_submit(m, &j), 0);
		collect(m, &a);
		assert_int_equal(a.state, round ? HASH_STATE_UNREADABLE : HASH_STATE_OBSERVED);
		assert_int_equal(stat(path_of("agent/d"), &st), 0);
		foreign = st.st_ino;
	}
	manifests_free(m);
}

static void test_not_a_file(void **state)
{
	const char *names[] = {"good", "bad"};
	struct manifests *m = start((struct manifests_config){});
	struct manifest_job j = {.count = 2, .names = names, .credentials = own()};
	struct answer a;
	int fds[2];

	(void)state;
	/* Bytes that the kernel makes up as they are read. */
	fds[0] = open(path_of("agent"), O_RDONLY | O_CLOEXEC);
	fds[1] = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	j.fds = fds;
	assert_int_equal(manifests_submit(m, &j), 0);
	collect(m, &a);
	assert_int_equal(a.state, HASH_STATE_UNREADABLE);
	assert_int_equal(a.state_of[0], HASH_STATE_UNREADABLE);
	assert_int_equal(a.state_of[1], HASH_STATE_OBSERVED);
	assert_string_equal(a.root_of[1], ROOT_AGENT);

	/* A device is an entry, and is not opened. */
	fds[0] = open("/dev/zero", O_PATH | O_CLOEXEC);
	fds[1] = -1;
	j.count = 1;
	assert_int_equal(manifests_submit(m, &j), 0);
	collect(m, &a);
	assert_int_equal(a.state, HASH_STATE_OBSERVED);
	assert_int_equal(a.entries, 1);
	j.fds = &fds[1];
	assert_int_equal(manifests_submit(m, &j), 0);
	collect(m, &a);
	assert_int_equal(a.state, HASH_STATE_UNREADABLE);
	manifests_free(m);
}

static atomic_bool racing;

/* The tree is one of two, for a while each, and in between while it is changed. */
static void *flip(void *arg)
{
	char a[128], b[128], text[8];

	(void)arg;
	snprintf(a, sizeof(a), "%s/flip/a", dir);
	snprintf(b, sizeof(b), "%s/flip/b", dir);
	for (unsigned int n = 0; racing; n++) {
		int fd = open(n % 2 ? a : b, O_WRONLY | O_CLOEXEC);

		memset(text, '0' + n % 2, sizeof(text));
		if (fd < 0 || pwrite(fd, text, sizeof(text), 0) != sizeof(text) || close(fd) < 0 ||
		    rename(a, path_of("flip/t")) < 0 || rename(b, a) < 0 ||
		    rename(path_of("flip/t"), b) < 0)
			abort();
		usleep(n % 16 ? 0 : 30000);
	}
	return NULL;
}

static void test_changing_tree(void **state)
{
	struct manifests *m = start((struct manifests_config){});
	unsigned int observed = 0;
	pthread_t thread;

	(void)state;
	make_dir("flip", 0755);
	make_file("flip/a", "--------", 0644);
	make_file("flip/b", "--------", 0644);
	racing = true;
	assert_int_equal(pthread_create(&thread, NULL, flip, NULL), 0);
	for (int i = 0; i < 200; i++) {
		struct answer a = measure(m, "flip");

		if (a.state == HASH_STATE_OBSERVED) {
			observed++;
			/*
			 * There are two files at any time, whatever their names; a torn look finds
			 * one or three.
			 */
			assert_int_equal(a.entries, 3);
		} else {
			assert_int_equal(a.state, HASH_STATE_CHANGED);
		}
	}
	racing = false;
	pthread_join(thread, NULL);
	assert_true(observed > 0);
	manifests_free(m);
}

static void test_freed_with_jobs(void **state)
{
	struct manifests *m = start((struct manifests_config){});
	const char *name = "agent";
	int fd;

	(void)state;
	for (int i = 0; i < 20; i++) {
		struct manifest_job j = {
			.count = 1, .names = &name, .fds = &fd, .credentials = own()};

		fd = open(path_of("agent"), O_RDONLY | O_CLOEXEC);
		assert_int_equal(manifests_submit(m, &j), 0);
	}
	manifests_free(m);
	manifests_free(NULL);
}

static int remove_dir(void **state)
{
	(void)state;
	return scratch_remove(dir);
}

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector),
		cmocka_unit_test(test_what_counts),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_rights),
		cmocka_unit_test(test_foreign_directory),
		cmocka_unit_test(test_not_a_file),
		cmocka_unit_test(test_changing_tree),
		cmocka_unit_test(test_freed_with_jobs),
	};

	return cmocka_run_group_tests_name("manifest", tests, setup, remove_dir);
}
