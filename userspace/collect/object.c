/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/object.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"

#define NS_PER_S 1000000000LL
#define NS_PER_MS 1000000LL
#define NS_PER_US 1000LL

bool object_id_same(const struct object_id *a, const struct object_id *b)
{
	return a->inode == b->inode && a->device == b->device && a->generation == b->generation;
}

bool object_id_equal(const struct object_id *a, const struct object_id *b)
{
	return object_id_same(a, b) && a->size == b->size && a->ctime_s == b->ctime_s &&
	       a->ctime_ns == b->ctime_ns && a->version == b->version;
}

/*
 * Those that are known to be of some use; all others are foreign. Numbers that linux/magic.h lacks
 * are from the filesystems' own headers.
 */
static const struct {
	uint32_t magic;
	enum object_trust trust;
} filesystems[] = {
	{EXT4_SUPER_MAGIC, OBJECT_LOCAL},
	{XFS_SUPER_MAGIC, OBJECT_LOCAL},
	{BTRFS_SUPER_MAGIC, OBJECT_LOCAL},
	{F2FS_SUPER_MAGIC, OBJECT_LOCAL},
	{0xca451a4e /* bcachefs */, OBJECT_LOCAL},
	{SQUASHFS_MAGIC, OBJECT_IMAGE},
	{EROFS_SUPER_MAGIC_V1, OBJECT_IMAGE},
	{ISOFS_SUPER_MAGIC, OBJECT_IMAGE},
	{CRAMFS_MAGIC, OBJECT_IMAGE},
	{OVERLAYFS_SUPER_MAGIC, OBJECT_STACKED},
	{TMPFS_MAGIC, OBJECT_TRACELESS}, /* memfd_create(2) too */
	{RAMFS_MAGIC, OBJECT_TRACELESS},
	{HUGETLBFS_MAGIC, OBJECT_TRACELESS},
	{0x2fc12fc1 /* zfs */, OBJECT_TRACELESS},
	{MSDOS_SUPER_MAGIC, OBJECT_TRACELESS},
	{EXFAT_SUPER_MAGIC, OBJECT_TRACELESS},
	{0x7366746e /* ntfs3 */, OBJECT_TRACELESS},
	{0x3153464a /* jfs */, OBJECT_TRACELESS},
	{REISERFS_SUPER_MAGIC, OBJECT_TRACELESS},
	{NILFS_SUPER_MAGIC, OBJECT_TRACELESS},
	{0x24051905 /* ubifs */, OBJECT_TRACELESS},
};

enum object_trust object_trust_of(uint32_t magic)
{
	for (size_t i = 0; i < sizeof(filesystems) / sizeof(*filesystems); i++)
		if (filesystems[i].magic == magic)
			return filesystems[i].trust;
	return OBJECT_FOREIGN;
}

bool object_stat_exact(uint32_t magic)
{
	enum object_trust trust = object_trust_of(magic);

	/* btrfs: the device is the subvolume's. */
	return (trust == OBJECT_LOCAL && magic != BTRFS_SUPER_MAGIC) || trust == OBJECT_IMAGE ||
	       magic == TMPFS_MAGIC;
}

enum object_trust object_trust_overlay(int fd)
{
	struct fiemap map = {.fm_length = 1}; /* counts extents, returns none */

	return ioctl(fd, FS_IOC_FIEMAP, &map) ? OBJECT_TRACELESS : OBJECT_STACKED;
}

int64_t object_changed_ns(const struct statx *stx)
{
	int64_t ns = stx->stx_ctime.tv_sec * NS_PER_S + stx->stx_ctime.tv_nsec;

	/* A filesystem (ext4 with small inodes) may store whole seconds only. */
	return stx->stx_ctime.tv_nsec ? ns : ns + NS_PER_S;
}

int64_t object_clock_ns(void)
{
	return (int64_t)clock_ns(CLOCK_REALTIME_COARSE);
}

int64_t object_tick_ns(void)
{
	struct timespec ts;

	if (clock_getres(CLOCK_REALTIME_COARSE, &ts) < 0)
		return 20 * NS_PER_MS;
	return 2 * (ts.tv_sec * NS_PER_S + ts.tv_nsec);
}

int64_t object_cache_margin_ns(void)
{
	int64_t tick = object_tick_ns();

	return tick > 20 * NS_PER_MS ? tick : 20 * NS_PER_MS;
}

void object_settle(int64_t changed_ns)
{
	const int64_t tick = object_tick_ns(), until = changed_ns + tick;
	const struct timespec half = {.tv_nsec = tick / 2};

	if (until > object_clock_ns() + 2 * tick)
		return;
	for (int i = 0; i < 8 && object_clock_ns() <= until; i++)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &half, NULL);
}

static void sample(struct object_epoch *e, uint64_t *ret_now)
{
	int64_t before = clock_ns(CLOCK_BOOTTIME);
	int64_t real = clock_ns(CLOCK_REALTIME);
	int64_t after = clock_ns(CLOCK_BOOTTIME);

	e->low = real - after;
	e->high = real - before;
	*ret_now = after;
}

void object_epoch_init(struct object_epoch *e)
{
	uint64_t now;

	sample(e, &now);
	e->stepped_ns = 0;
}

bool object_epoch_update(struct object_epoch *e)
{
	struct object_epoch now;
	uint64_t at;

	sample(&now, &at);
	/* A microsecond of slack: the two clocks round their nanoseconds differently. */
	if (now.low > e->high + NS_PER_US || now.high < e->low - NS_PER_US) {
		*e = now;
		e->stepped_ns = at;
		return true;
	}
	/* Both hold: the truth is where they overlap. */
	if (now.low > e->low)
		e->low = now.low;
	if (now.high < e->high)
		e->high = now.high;
	return false;
}
