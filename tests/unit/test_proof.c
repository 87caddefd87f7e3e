/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/proof.h"

#include <linux/magic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "collect/mounts.h"
#include "hostdevice.h"

#define S 1000000000ull

static const uid_t trusted[] = {990};
static bool met;

static bool learn(void *data)
{
	(void)data;
	met = true;
	return false;
}

static struct proof *start(void)
{
	const struct proof_config config = {
		.owners = trusted, .owners_count = 1, .learn_overlay = learn};
	struct proof *p = NULL;

	assert_int_equal(proof_new(&config, &p), 0);
	return p;
}

/* Root's program on a disk of the host. */
static struct object_facts program(void)
{
	return (struct object_facts){
		.id = {.inode = 7, .size = 100, .device = host_device(), .magic = EXT4_SUPER_MAGIC},
		.guard = {.mode = S_IFREG | 0755, .flags = GUARD_INIT_USERNS},
	};
}

static void test_root_alone(void **state)
{
	struct proof *p = start();
	struct object_facts f = program();

	(void)state;
	assert_int_equal(proof_guard(p, &f), PROVEN);
	f.guard.mode = S_IFREG | S_ISUID | 0711;
	assert_int_equal(proof_guard(p, &f), PROVEN);
	f.guard.owner = trusted[0];
	assert_int_equal(proof_guard(p, &f), PROVEN);
	f.guard.owner = 65534;
	assert_int_equal(proof_guard(p, &f), UNPROVEN_OWNER);

	f = program();
	f.guard.mode |= S_IWGRP;
	assert_int_equal(proof_guard(p, &f), UNPROVEN_WRITABLE);
	f.guard.mode = S_IFREG | 0757;
	assert_int_equal(proof_guard(p, &f), UNPROVEN_WRITABLE);

	f = program();
	f.guard.flags |= GUARD_IDMAPPED;
	assert_int_equal(proof_guard(p, &f), UNPROVEN_MOUNT);
	f.guard.flags = 0;
	assert_int_equal(proof_guard(p, &f), UNPROVEN_MOUNT);
	f = program();
	f.id.device = 4095u << 20 | 77; /* the host has no such filesystem */
	assert_int_equal(proof_guard(p, &f), UNPROVEN_MOUNT);
	proof_free(p);
	proof_free(NULL);
}

static void test_filesystems(void **state)
{
	static const struct {
		uint32_t magic;
		enum unproven expected;
	} cases[] = {
		{EXT4_SUPER_MAGIC, PROVEN},
		{XFS_SUPER_MAGIC, PROVEN},
		{BTRFS_SUPER_MAGIC, PROVEN},
		{F2FS_SUPER_MAGIC, PROVEN},
		{0xca451a4e, PROVEN},
		{SQUASHFS_MAGIC, PROVEN},
		{EROFS_SUPER_MAGIC_V1, PROVEN},
		{TMPFS_MAGIC, UNPROVEN_FILESYSTEM},
		{OVERLAYFS_SUPER_MAGIC, UNPROVEN_FILESYSTEM},
		{FUSE_SUPER_MAGIC, UNPROVEN_FILESYSTEM},
		{NFS_SUPER_MAGIC, UNPROVEN_FILESYSTEM},
		{ISOFS_SUPER_MAGIC, UNPROVEN_FILESYSTEM},
		{MSDOS_SUPER_MAGIC, UNPROVEN_FILESYSTEM},
		{0, UNPROVEN_FILESYSTEM},
	};
	struct proof *p = start();
	struct object_facts f = program();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		f.id.magic = cases[i].magic;
		assert_int_equal(proof_guard(p, &f), cases[i].expected);
	}
	proof_free(p);
}

/* Of an overlay the lower file is asked, and nothing else of it counts. */
static void test_overlay(void **state)
{
	struct proof *p = start();
	struct object_facts f = program(), lower = program();

	(void)state;
	f.guard.lower = lower.id;
	f.guard.flags |= GUARD_LOWER;
	f.id = (struct object_id){.inode = 9, .device = 77, .magic = OVERLAYFS_SUPER_MAGIC};
	assert_int_equal(proof_guard(p, &f), PROVEN);
	f.guard.lower.magic = OVERLAYFS_SUPER_MAGIC; /* another one below it */
	assert_int_equal(proof_guard(p, &f), UNPROVEN_FILESYSTEM);
	f.guard.lower = (struct object_id){};
	f.guard.flags = GUARD_INIT_USERNS | GUARD_UPPER;
	assert_int_equal(proof_guard(p, &f), UNPROVEN_OVERLAY);
	assert_false(met);
	f.guard.flags = GUARD_INIT_USERNS | GUARD_OPAQUE;
	assert_int_equal(proof_guard(p, &f), UNPROVEN_OVERLAY);
	assert_true(met);
	proof_free(p);
}

static void test_stood_still(void **state)
{
	struct proof *p = start();
	struct object_facts f = program();
	uint64_t exec = clock_ns(CLOCK_BOOTTIME);
	struct file_digest good = {.state = HASH_STATE_OBSERVED,
				   .has_facts = true,
				   .facts = f,
				   .changed_ns = clock_ns(CLOCK_REALTIME) - (int64_t)S},
			   d = good;

	(void)state;
	assert_int_equal(proof_judge(p, &f, exec, &d), PROVEN);
	assert_int_equal(proof_judge(p, NULL, exec, &d), PROVEN);
	assert_false(proof_changed_since(p, exec, &d));

	/* Each part of what the kernel saw at the exec. */
	for (int part = 0; part < 9; part++) {
		d = good;
		d.facts.id.inode += part == 0;
		d.facts.id.device += part == 1;
		d.facts.id.generation += part == 2;
		d.facts.id.size += part == 3;
		d.facts.id.ctime_s += part == 4;
		d.facts.id.ctime_ns += part == 5;
		d.facts.id.version += part == 6;
		d.facts.guard.owner += part == 7;
		d.facts.guard.mode ^= part == 8 ? S_IWOTH : 0;
		assert_int_equal(proof_judge(p, &f, exec, &d), UNPROVEN_CHANGED);
	}
	d = good;
	d.moved = true;
	assert_int_equal(proof_judge(p, &f, exec, &d), UNPROVEN_CHANGED);
	assert_int_equal(proof_judge(p, NULL, exec, &d), UNPROVEN_CHANGED);
	d = good;
	d.has_facts = false;
	assert_int_not_equal(proof_judge(p, &f, exec, &d), PROVEN);

	/* The same tick is not older. */
	d = good;
	d.changed_ns = clock_ns(CLOCK_REALTIME);
	assert_int_equal(proof_judge(p, &f, exec, &d), UNPROVEN_CHANGED);
	d.changed_ns += S;
	assert_int_equal(proof_judge(p, &f, exec, &d), UNPROVEN_CHANGED);
	assert_true(proof_changed_since(p, exec, &d));
	proof_free(p);
}

/* ---- the host's mounts ---- */

static void test_options(void **state)
{
	struct {
		const char *line;
		bool ok, nosuid, idmapped;
	} cases[] = {
		{"36 35 98:0 / /mnt rw,noatime - ext3 /dev/root rw,errors=continue", true, false,
		 false},
		{"36 35 98:0 / /mnt rw,nosuid,noatime - ext3 /dev/root rw", true, true, false},
		{"36 35 98:0 / /mnt nosuid shared:1 - ext3 /dev/root rw,nosuid", true, true, false},
		{"36 35 98:0 / /mnt rw,relatime,idmapped shared:1 - ext4 /dev/root rw", true, false,
		 true},
		{"36 35 98:0 / /mnt ro,nosuid,idmapped - ext4 /dev/root rw", true, true, true},
		/* in the superblock's options, or in a name that is longer, it is another one */
		{"36 35 98:0 / /mnt rw,nosuidx,anosuid - ext3 /dev/root rw,nosuid", true, false,
		 false},
		{"36 35 98:0 / /mnt rw,idmappedx - ext4 /dev/root rw,idmapped", true, false, false},
		{"36 35 98:0 / /mnt,nosuid,idmapped rw - ext3 /dev/root rw", true, false, false},
		{"36 35 98:0 / /mnt", false, false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		_cleanup_free_ char *line = strdup(cases[i].line);
		struct mount_line m = {};

		assert_int_equal(mount_line_parse(line, &m), cases[i].ok);
		assert_int_equal(m.nosuid, cases[i].nosuid);
		assert_int_equal(m.idmapped, cases[i].idmapped);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_root_alone), cmocka_unit_test(test_filesystems),
		cmocka_unit_test(test_overlay),    cmocka_unit_test(test_stood_still),
		cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests_name("proof", tests, NULL, NULL);
}
