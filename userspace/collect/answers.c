/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/answers.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <time.h>

#include "collect/hostmounts.h"

#define WAIT_NS 1000000000ull

static bool is_root_mounted(const struct object_facts *file, struct hostmounts *mounts)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return mounts &&
	       hostmounts_wait(mounts, now.tv_sec * 1000000000ull + now.tv_nsec, WAIT_NS) &&
	       hostmounts_have(mounts, file->id.device);
}

/*
 * An upper layer is never a server's: overlayfs takes none whose names have to be asked for again. A
 * directory is merged of all layers, and each is asked.
 */
static bool is_layer_local(const struct object_facts *file)
{
	enum object_trust lower = object_trust_of(file->guard.lower.magic);

	if (S_ISDIR(file->guard.mode))
		return false;
	return file->guard.flags & GUARD_UPPER ||
	       (file->guard.flags & GUARD_LOWER && lower != OBJECT_FOREIGN &&
		lower != OBJECT_STACKED);
}

bool answers_by_itself(const struct object_facts *file, struct hostmounts *mounts)
{
	if (file->id.magic != OVERLAYFS_SUPER_MAGIC)
		return object_trust_of(file->id.magic) != OBJECT_FOREIGN;
	return is_layer_local(file) || is_root_mounted(file, mounts);
}

int answers_look(const struct answering *a, int fd, struct object_facts *ret)
{
	int err = a->describe(a->context, fd, ret);

	if (err < 0)
		return err;
	return answers_by_itself(ret, a->mounts) ? 0 : -EREMOTE;
}
