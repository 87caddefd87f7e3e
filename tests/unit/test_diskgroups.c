/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/diskgroups.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"

#define CROWD 5000 /* more entries than are looked at */

static char dir[64];

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void make_device(const char *name, unsigned int major_number, mode_t mode, gid_t gid)
{
	if (mknod(path_of(name), S_IFBLK | 0600, makedev(major_number, 0)) < 0) {
		print_message("devices can't be made here\n");
		skip();
	}
	assert_int_equal(chown(path_of(name), 0, gid), 0);
	assert_int_equal(chmod(path_of(name), mode), 0);
}

static bool has(const struct disk_groups *g, gid_t gid)
{
	for (uint32_t i = 0; i < g->count && i < DISK_GROUPS_MAX; i++)
		if (g->gid[i] == gid)
			return true;
	return false;
}

static void test_groups(void **state)
{
	struct disk_groups g;

	(void)state;
	diskgroups_read(dir, &g);
	assert_int_equal(g.count, 0);
	make_device("vda", 254, 0660, 6);
	make_device("vdb", 254, 0640, 7); /* who only reads changes nothing */
	make_device("fd0", 2, 0660, 8);
	make_device("sr0", 11, 0666, 9);
	assert_int_equal(mkdir(path_of("below"), 0755), 0);
	make_device("below/c0d0", 104, 0660, 10);
	make_device("below/c0d1", 104, 0660, 6);
	diskgroups_read(dir, &g);
	assert_int_equal(g.count, 2);
	assert_true(has(&g, 6) && has(&g, 10));
}

/* Anybody can make files in /dev/shm: that must not put everybody into a group. */
static void test_crowd_of_others(void **state)
{
	struct disk_groups g;
	char name[32];

	(void)state;
	make_device("vda", 254, 0660, 6);
	assert_int_equal(mkdir(path_of("shm"), 0777), 0);
	assert_int_equal(chmod(path_of("shm"), 01777), 0);
	for (int i = 0; i < CROWD; i++) {
		snprintf(name, sizeof(name), "shm/%d", i);
		close(open(path_of(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	}
	diskgroups_read(dir, &g);
	assert_int_equal(g.count, 1);
	assert_true(has(&g, 6));
}

static void test_everybody(void **state)
{
	struct disk_groups g;
	char name[32];

	(void)state;
	diskgroups_read(path_of("missing"), &g);
	assert_true(g.count > DISK_GROUPS_MAX);
	for (unsigned int i = 0; i <= DISK_GROUPS_MAX; i++) {
		snprintf(name, sizeof(name), "vd%u", i);
		make_device(name, 254, 0660, 100 + i);
	}
	diskgroups_read(dir, &g);
	assert_true(g.count > DISK_GROUPS_MAX);
	assert_int_equal(scratch_remove(dir), 0);
	assert_int_equal(mkdir(dir, 0755), 0);
	make_device("vda", 254, 0666, 6);
	diskgroups_read(dir, &g);
	assert_true(g.count > DISK_GROUPS_MAX);
}

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/affiant-diskgroups-XXXXXX");
	return mkdtemp(dir) && !chmod(dir, 0755) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return scratch_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_groups, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_crowd_of_others, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_everybody, make_dir, remove_dir),
	};

	return cmocka_run_group_tests_name("diskgroups", tests, NULL, NULL);
}
