/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * object: the kernel's own identity of a file, the same wherever it is read, and who can write to
 * it.
 */
#pragma once

#include "event.h"
#include "kernel.h"
#include "values.h"

/* Bit 31 says that somebody asked for the time (4e40eff0b573). */
#define CTIME_NSEC_MASK 0x7fffffff
/* Bit 0 says the same of the version (include/linux/iversion.h). */
#define VERSION_MASK (~1ull)

static __always_inline void object_ctime(struct inode *inode, struct object_id *ret)
{
	struct inode___6_6 *i66 = (void *)inode;
	struct inode___5_15 *i515 = (void *)inode;

	if (bpf_core_field_exists(inode->i_ctime_sec)) {
		ret->ctime_s = BPF_CORE_READ(inode, i_ctime_sec);
		ret->ctime_ns = BPF_CORE_READ(inode, i_ctime_nsec);
	} else if (bpf_core_field_exists(i66->__i_ctime)) {
		ret->ctime_s = BPF_CORE_READ(i66, __i_ctime.tv_sec);
		ret->ctime_ns = BPF_CORE_READ(i66, __i_ctime.tv_nsec);
	} else {
		ret->ctime_s = BPF_CORE_READ(i515, i_ctime.tv_sec);
		ret->ctime_ns = BPF_CORE_READ(i515, i_ctime.tv_nsec);
	}
	ret->ctime_ns &= CTIME_NSEC_MASK;
}

static __always_inline void object_identify(struct inode *inode, struct object_id *ret)
{
	ret->inode = BPF_CORE_READ(inode, i_ino);
	ret->size = BPF_CORE_READ(inode, i_size);
	ret->version = BPF_CORE_READ(inode, i_version.counter) & VERSION_MASK;
	ret->device = BPF_CORE_READ(inode, i_sb, s_dev);
	ret->generation = BPF_CORE_READ(inode, i_generation);
	ret->magic = BPF_CORE_READ(inode, i_sb, s_magic);
	object_ctime(inode, ret);
}

static __always_inline bool user_ns_initial(struct user_namespace *ns)
{
	return BPF_CORE_READ(ns, ns.inum) == USER_NS_INIT_INUM;
}

/* A layout that is not known counts as idmapped: then nothing is proven through that mount. */
static __always_inline bool mount_idmapped(struct vfsmount *mnt)
{
	struct vfsmount___5_12 *mnt512 = (void *)mnt;
	struct mnt_idmap___6_2 *map62;
	struct mnt_idmap *map;

	if (bpf_core_field_exists(mnt512->mnt_userns))
		return !user_ns_initial(BPF_CORE_READ(mnt512, mnt_userns));
	if (!bpf_core_field_exists(mnt->mnt_idmap))
		return true;
	map = BPF_CORE_READ(mnt, mnt_idmap);
	map62 = (void *)map;
	if (bpf_core_field_exists(map62->owner))
		return !user_ns_initial(BPF_CORE_READ(map62, owner));
	if (bpf_core_field_exists(map->uid_map.nr_extents))
		return BPF_CORE_READ(map, uid_map.nr_extents) ||
		       BPF_CORE_READ(map, gid_map.nr_extents);
	return true;
}

static __always_inline void *read_pointer(const void *at)
{
	void *p = NULL;

	bpf_probe_read_kernel(&p, sizeof(p), at);
	return p;
}

/* The lower file of an overlay's inode, or NULL and why in *@flags. */
static __always_inline struct inode *overlay_lower(struct inode *inode,
						   const struct overlay_layout *l, __u32 *flags)
{
	void *info = (void *)inode - l->vfs_inode, *lower;
	__u32 count = 0;

	*flags |= GUARD_OPAQUE;
	if (l->kind == OVERLAY_UNKNOWN)
		return NULL;
	if (read_pointer(info + l->upper)) {
		*flags ^= GUARD_OPAQUE | GUARD_UPPER;
		return NULL;
	}
	lower = read_pointer(info + l->lower);
	if (l->kind == OVERLAY_PATH)
		lower = read_pointer(info + l->lower + l->dentry);
	if (l->kind == OVERLAY_STACK) {
		/* More than one: metadata here, data elsewhere ("metacopy"). */
		bpf_probe_read_kernel(&count, sizeof(count), lower + l->numlower);
		if (count != 1)
			return NULL;
		lower = read_pointer(lower + l->stack + l->dentry);
	}
	if (l->kind != OVERLAY_INODE)
		lower = BPF_CORE_READ((struct dentry *)lower, d_inode);
	if (l->lowerdata && read_pointer(info + l->lowerdata - 1))
		return NULL;
	if (lower)
		*flags ^= GUARD_OPAQUE | GUARD_LOWER;
	return lower;
}

/* Both are zeroed by the caller. */
static __always_inline void object_describe(struct file *file, const struct overlay_layout *layout,
					    struct object_id *id, struct object_guard *guard)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode), *lower;
	__u32 flags = 0;

	object_identify(inode, id);
	if (mount_idmapped(BPF_CORE_READ(file, f_path.mnt)))
		flags |= GUARD_IDMAPPED;
	if (BPF_CORE_READ(inode, i_sb, s_magic) == OVERLAYFS_MAGIC) {
		lower = overlay_lower(inode, layout, &flags);
		if (lower) {
			inode = lower;
			object_identify(inode, &guard->lower);
		}
	}
	guard->owner = BPF_CORE_READ(inode, i_uid.val);
	guard->mode = BPF_CORE_READ(inode, i_mode);
	if (user_ns_initial(BPF_CORE_READ(inode, i_sb, s_user_ns)))
		flags |= GUARD_INIT_USERNS;
	guard->flags = flags;
}
