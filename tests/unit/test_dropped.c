/* SPDX-License-Identifier: Apache-2.0 */
/* What a daemon dropped is known to the next one. */
#include "daemon/dropped.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const uint8_t boot[16] = {1}, other[16] = {2};
static char directory[] = "/tmp/affiant-test-dropped-XXXXXX";
static int dir;

static struct dropped *open_it(void)
{
	struct dropped *d = NULL;

	assert_int_equal(dropped_open(dir, &d), 0);
	return d;
}

static int begin(void **state)
{
	(void)state;
	unlinkat(dir, "dropped", 0);
	return 0;
}

static void is_there_after_a_crash(void **state)
{
	uint64_t counts[LOSS_SLOTS] = {0}, found[LOSS_SLOTS] = {0};
	struct dropped *d = open_it();

	(void)state;
	dropped_restore(d, boot, found);
	assert_memory_equal(found, counts, sizeof(counts));
	counts[3] = 7;
	counts[LOSS_SLOTS - 1] = UINT64_MAX;
	dropped_keep(d, boot, counts);
	dropped_keep(d, boot, counts);
	dropped_close(d);
	d = open_it();
	/* More is known by now of one, and less of another. */
	found[3] = 9;
	dropped_restore(d, boot, found);
	assert_int_equal(found[3], 9);
	assert_true(found[LOSS_SLOTS - 1] == UINT64_MAX);
	/* Another boot counts from 0. */
	memset(found, 0, sizeof(found));
	dropped_restore(d, other, found);
	assert_int_equal(found[3], 0);
	counts[3] = 1;
	dropped_keep(d, other, counts);
	dropped_restore(d, boot, found);
	assert_int_equal(found[3], 0);
	dropped_restore(d, other, found);
	assert_int_equal(found[3], 1);
	dropped_close(d);
}

static void needs_no_room(void **state)
{
	uint64_t counts[LOSS_SLOTS] = {0};
	struct dropped *d = open_it();
	struct stat before, after;

	(void)state;
	assert_int_equal(fstatat(dir, "dropped", &before, 0), 0);
	for (unsigned int kind = 0; kind < LOSS_SLOTS; kind++)
		counts[kind] = UINT64_MAX - kind;
	dropped_keep(d, boot, counts);
	assert_int_equal(fstatat(dir, "dropped", &after, 0), 0);
	assert_int_equal(before.st_size, after.st_size);
	assert_int_equal(before.st_mode & 0777, 0600);
	dropped_close(d);
}

static void damage_is_nothing_known(void **state)
{
	uint64_t counts[LOSS_SLOTS] = {[1] = 5}, found[LOSS_SLOTS] = {0};
	struct dropped *d = open_it();
	uint8_t byte;
	int fd;

	(void)state;
	dropped_keep(d, boot, counts);
	dropped_close(d);
	fd = openat(dir, "dropped", O_RDWR);
	assert_int_equal(pread(fd, &byte, 1, 32), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, 32), 1);
	d = open_it();
	dropped_restore(d, boot, found);
	assert_int_equal(found[1], 0);
	dropped_close(d);
	assert_int_equal(ftruncate(fd, 20), 0);
	close(fd);
	d = open_it();
	dropped_restore(d, boot, found);
	assert_int_equal(found[1], 0);
	dropped_close(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(is_there_after_a_crash, begin),
		cmocka_unit_test_setup(needs_no_room, begin),
		cmocka_unit_test_setup(damage_is_nothing_known, begin),
	};
	int failed;

	if (!mkdtemp(directory))
		return 1;
	dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	begin(NULL);
	close(dir);
	rmdir(directory);
	return failed;
}
