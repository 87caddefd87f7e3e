/* SPDX-License-Identifier: Apache-2.0 */
/* unmounts: the end of a filesystem is known before its device can be another's. */
#include "collect/unmounts.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"

static char scratch[] = "/tmp/affiant-unmounts-XXXXXX";
static unsigned int told;
static uint32_t last;

static void ended(void *data, uint32_t device)
{
	assert_ptr_equal(data, &told);
	told++;
	last = device;
}

static unsigned int look(struct unmounts *u)
{
	told = 0;
	last = 0;
	unmounts_look(u, ended, &told);
	return told;
}

static const char *path_of(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", scratch, name);
	return path;
}

static int make_scratch(void **state)
{
	(void)state;
	return mkdtemp(scratch) ? 0 : -1;
}

static int remove_scratch(void **state)
{
	(void)state;
	return scratch_remove(scratch);
}

static int file_on(const char *directory)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/file", directory);
	fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	return fd;
}

static const char *mounted(void)
{
	static char at[512];

	snprintf(at, sizeof(at), "%s", path_of("mount"));
	if (mkdir(at, 0700) < 0)
		assert_int_equal(errno, EEXIST);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("test", at, "tmpfs", 0, NULL) < 0) {
		print_message("skipped: mounting needs root\n");
		skip();
	}
	return at;
}

static void tells_the_end_of_a_filesystem(void **state)
{
	struct unmounts *u;
	const char *at;
	int fd;

	(void)state;
	assert_int_equal(unmounts_new(&u), 0);
	at = mounted();
	fd = file_on(at);
	assert_int_equal(unmounts_watch(u, fd, 7), 0);
	assert_int_equal(unmounts_watch(u, fd, 7), 0);
	assert_int_equal(look(u), 0);
	close(fd);
	assert_int_equal(umount(at), 0);
	assert_int_equal(look(u), 1);
	assert_int_equal(last, 7);
	assert_int_equal(look(u), 0);
	/* The next one on that device. */
	at = mounted();
	fd = file_on(at);
	assert_int_equal(unmounts_watch(u, fd, 7), 0);
	close(fd);
	assert_int_equal(umount(at), 0);
	assert_int_equal(look(u), 1);
	unmounts_free(u);
}

/* Then nothing watches its filesystem any more. */
static void tells_the_end_of_a_file(void **state)
{
	int fd = file_on(scratch);
	struct unmounts *u;

	(void)state;
	assert_int_equal(unmounts_new(&u), 0);
	assert_int_equal(unmounts_watch(u, fd, 8), 0);
	assert_int_equal(look(u), 0);
	assert_int_equal(unlink(path_of("file")), 0);
	close(fd);
	assert_int_equal(look(u), 1);
	assert_int_equal(last, 8);
	unmounts_free(u);
}

static void watches_a_bounded_number(void **state)
{
	int fd = file_on(scratch);
	struct unmounts *u;
	uint32_t n = 1;

	(void)state;
	assert_int_equal(unmounts_new(&u), 0);
	while (unmounts_watch(u, fd, n) == 0)
		n++;
	assert_in_range(n, 100, 10000);
	assert_int_equal(unmounts_watch(u, fd, n), -E2BIG);
	/* All of them by one file here. */
	assert_int_equal(unlink(path_of("file")), 0);
	close(fd);
	assert_int_equal(look(u), n - 1);
	unmounts_free(u);
}

static void is_not_needed(void **state)
{
	(void)state;
	assert_int_equal(unmounts_watch(NULL, 0, 1), -ENOTSUP);
	assert_int_equal(look(NULL), 0);
	unmounts_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_the_end_of_a_filesystem),
		cmocka_unit_test(tells_the_end_of_a_file),
		cmocka_unit_test(watches_a_bounded_number),
		cmocka_unit_test(is_not_needed),
	};

	return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
