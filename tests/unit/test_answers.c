/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/answers.h"

#include <errno.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "collect/hostmounts.h"
#include "collect/mounts.h"

#define NOWHERE (4095u << 20 | 77)

static struct hostmounts *mounts;
static uint32_t root; /* the device of what is mounted here first */

struct file {
	uint32_t magic, device, lower;
	uint32_t mode, flags;
	bool answers;
};

static struct object_facts facts_of(const struct file *f)
{
	return (struct object_facts){
		.id = {.magic = f->magic, .device = f->device},
		.guard = {.mode = f->mode, .flags = f->flags, .lower.magic = f->lower},
	};
}

static void test_files(void **state)
{
	const struct file files[] = {
		{EXT4_SUPER_MAGIC, NOWHERE, 0, S_IFREG, 0, true},
		{TMPFS_MAGIC, NOWHERE, 0, S_IFDIR, 0, true},
		{FUSE_SUPER_MAGIC, NOWHERE, 0, S_IFREG, 0, false},
		{FUSE_SUPER_MAGIC, root, 0, S_IFREG, 0, false}, /* fusermount's are there, too */
		{NFS_SUPER_MAGIC, root, 0, S_IFDIR, 0, false},
		{PROC_SUPER_MAGIC, root, 0, S_IFREG, 0, false},
		{0x12345678, root, 0, S_IFREG, 0, false},
		/* Overlays: root's, */
		{OVERLAYFS_SUPER_MAGIC, root, 0, S_IFREG, GUARD_OPAQUE, true},
		{OVERLAYFS_SUPER_MAGIC, root, 0, S_IFDIR, GUARD_UPPER, true},
		/* and anybody's. */
		{OVERLAYFS_SUPER_MAGIC, NOWHERE, 0, S_IFREG, GUARD_OPAQUE, false},
		{OVERLAYFS_SUPER_MAGIC, NOWHERE, 0, S_IFREG, GUARD_UPPER, true},
		{OVERLAYFS_SUPER_MAGIC, NOWHERE, EXT4_SUPER_MAGIC, S_IFREG, GUARD_LOWER, true},
		{OVERLAYFS_SUPER_MAGIC, NOWHERE, TMPFS_MAGIC, S_IFREG, GUARD_LOWER, true},
		{OVERLAYFS_SUPER_MAGIC, NOWHERE, FUSE_SUPER_MAGIC, S_IFREG, GUARD_LOWER, false},
		{OVERLAYFS_SUPER_MAGIC, NOWHERE, OVERLAYFS_SUPER_MAGIC, S_IFREG, GUARD_LOWER,
		 false},
		/* All layers of a directory are asked, not the one that the kernel tells of. */
		{OVERLAYFS_SUPER_MAGIC, NOWHERE, EXT4_SUPER_MAGIC, S_IFDIR, GUARD_LOWER, false},
		{OVERLAYFS_SUPER_MAGIC, NOWHERE, 0, S_IFDIR, GUARD_UPPER, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		struct object_facts facts = facts_of(&files[i]);

		if (answers_by_itself(&facts, mounts) != files[i].answers)
			fail_msg("file %zu", i);
		/* Where nobody knows what root has mounted, nothing that counts on it. */
		if (files[i].device != root)
			assert_int_equal(answers_by_itself(&facts, NULL), files[i].answers);
		else
			assert_false(answers_by_itself(&facts, NULL));
	}
}

static struct file described;

static int describe(void *context, int fd, struct object_facts *ret)
{
	(void)context;
	if (fd < 0)
		return -EBADF;
	*ret = facts_of(&described);
	return 0;
}

/* What the operator names may lie on root's network filesystems, but no FUSE. */
static void test_named(void **state)
{
	const struct answering a = {.describe = describe, .mounts = mounts};
	struct object_facts facts;

	(void)state;
	assert_int_equal(answers_look(&a, -1, &facts), -EBADF);
	described = (struct file){NFS_SUPER_MAGIC, root, 0, S_IFDIR, 0, false};
	assert_int_equal(answers_look(&a, 0, &facts), -EREMOTE);
	assert_int_equal(answers_look_named(&a, 0, &facts), 0);
	assert_int_equal(facts.id.magic, NFS_SUPER_MAGIC);
	described.device = NOWHERE;
	assert_int_equal(answers_look_named(&a, 0, &facts), -EREMOTE);
	described = (struct file){OVERLAYFS_SUPER_MAGIC, NOWHERE, 0, S_IFDIR, GUARD_UPPER, false};
	assert_int_equal(answers_look_named(&a, 0, &facts), -EREMOTE);
	described = (struct file){EXT4_SUPER_MAGIC, NOWHERE, 0, S_IFDIR, 0, true};
	assert_int_equal(answers_look_named(&a, 0, &facts), 0);
}

static int start(void **state)
{
	_cleanup_fclose_ FILE *f = mounts_open(0);
	_cleanup_free_ char *text = NULL;
	struct mount_line line;
	size_t size = 0;

	(void)state;
	while (!root && f && getline(&text, &size, f) > 0)
		if (mount_line_parse(text, &line))
			root = line.major << 20 | line.minor;
	return root ? hostmounts_new(&mounts) : -1;
}

static int stop(void **state)
{
	(void)state;
	hostmounts_free(mounts);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_named),
	};

	return cmocka_run_group_tests_name("answers", tests, start, stop);
}
