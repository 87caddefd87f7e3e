/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/answers.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "collect/hostmounts.h"

#define WAIT_NS 1000000000ull
#define NAMED_WAIT_NS 50000000ull

static bool wait_to_know(struct hostmounts *mounts, uint64_t wait_ns)
{
	return mounts && hostmounts_wait(mounts, clock_ns(CLOCK_BOOTTIME), wait_ns);
}

static bool is_root_mounted(const struct object_facts *file, struct hostmounts *mounts)
{
	return wait_to_know(mounts, WAIT_NS) && hostmounts_have(mounts, file->id.device);
}

/*
 * An upper layer is never a server's: overlayfs takes none whose names have to be asked for again.
 * A directory is merged of all layers, and each is asked.
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

int answers_look_named(const struct answering *a, int fd, struct object_facts *ret)
{
	int err = a->describe(a->context, fd, ret);

	if (err < 0)
		return err;
	if (ret->id.magic != OVERLAYFS_SUPER_MAGIC &&
	    object_trust_of(ret->id.magic) != OBJECT_FOREIGN)
		return 0;
	return wait_to_know(a->mounts, NAMED_WAIT_NS) &&
			       hostmounts_have_own(a->mounts, ret->id.device)
		       ? 0
		       : -EREMOTE;
}
