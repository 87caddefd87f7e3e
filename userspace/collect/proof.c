/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/proof.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "collect/hostmounts.h"

struct proof {
	struct proof_config config;
	struct hostmounts *mounts;
	struct object_epoch epoch;
};

int proof_new(const struct proof_config *config, struct proof **ret)
{
	struct proof *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->config = *config;
	object_epoch_init(&p->epoch);
	err = hostmounts_new(&p->mounts);
	if (err) {
		proof_free(p);
		return err;
	}
	*ret = p;
	return 0;
}

void proof_free(struct proof *p)
{
	if (!p)
		return;
	hostmounts_free(p->mounts);
	free(p);
}

bool proof_stop(struct proof *p)
{
	return hostmounts_stop(p->mounts);
}

struct hostmounts *proof_mounts(const struct proof *p)
{
	return p->mounts;
}

uint64_t proof_known_ns(const struct proof *p)
{
	return hostmounts_known_ns(p->mounts);
}

/*
 * Those whose change times show every change that goes through them: by whom it was made, a change
 * behind their back has to be made by one who can write to the device.
 */
static bool filesystem_counts(uint32_t magic)
{
	static const uint32_t counts[] = {
		EXT4_SUPER_MAGIC,
		XFS_SUPER_MAGIC,
		BTRFS_SUPER_MAGIC,
		F2FS_SUPER_MAGIC,
		0xca451a4e, /* bcachefs */
		SQUASHFS_MAGIC,
		EROFS_SUPER_MAGIC_V1,
	};

	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
		if (counts[i] == magic)
			return true;
	return false;
}

bool proof_owner_counts(const struct proof *p, uid_t owner)
{
	if (owner == 0)
		return true;
	for (size_t i = 0; i < p->config.owners_count; i++)
		if (p->config.owners[i] == owner)
			return true;
	return false;
}

enum unproven proof_guard(struct proof *p, const struct object_facts *file)
{
	const struct object_guard *g = &file->guard;
	const struct object_id *id = object_counted(file);

	if (g->flags & GUARD_OPAQUE && p->config.learn_overlay)
		(void)p->config.learn_overlay(p->config.data); /* for the next one */
	if (g->flags & (GUARD_UPPER | GUARD_OPAQUE))
		return UNPROVEN_OVERLAY;
	if (!filesystem_counts(id->magic))
		return UNPROVEN_FILESYSTEM;
	if (!proof_owner_counts(p, g->owner))
		return UNPROVEN_OWNER;
	if (g->mode & (S_IWGRP | S_IWOTH)) /* the writers of an ACL show in the group's bits */
		return UNPROVEN_WRITABLE;
	if (!(g->flags & GUARD_INIT_USERNS) || g->flags & GUARD_IDMAPPED ||
	    !hostmounts_trust(p->mounts, id->device))
		return UNPROVEN_MOUNT;
	return PROVEN;
}

/*
 * The clock of change times lags behind the true one by a tick or two, so that a change after the
 * exec can seem to be a little older than it.
 */
static bool older(struct proof *p, uint64_t exec_ns, int64_t changed_ns)
{
	(void)object_epoch_update(&p->epoch);
	/* Times of before a step can't be compared with times of after it. */
	if (exec_ns <= p->epoch.stepped_ns)
		return false;
	return changed_ns + object_cache_margin_ns() <= (int64_t)exec_ns + p->epoch.low;
}

bool proof_changed_since(struct proof *p, uint64_t exec_ns, const struct file_digest *d)
{
	(void)object_epoch_update(&p->epoch);
	return d->tied || d->moved || exec_ns <= p->epoch.stepped_ns ||
	       d->changed_ns > (int64_t)exec_ns + p->epoch.high;
}

static bool stood_still(struct proof *p, const struct object_facts *executed, uint64_t exec_ns,
			const struct file_digest *d)
{
	const struct object_facts *e = executed ?: &d->facts;

	return !d->moved && d->has_facts &&
	       object_id_equal(object_counted(e), object_counted(&d->facts)) &&
	       e->guard.owner == d->facts.guard.owner && e->guard.mode == d->facts.guard.mode &&
	       older(p, exec_ns, d->changed_ns);
}

enum unproven proof_judge(struct proof *p, const struct object_facts *executed, uint64_t exec_ns,
			  const struct file_digest *d)
{
	enum unproven why = d->has_facts ? proof_guard(p, executed ?: &d->facts)
					 : UNPROVEN_FILESYSTEM;

	if (!why && !stood_still(p, executed, exec_ns, d))
		why = UNPROVEN_CHANGED;
	return why;
}
