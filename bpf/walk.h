/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* walk: a path out of dentries and mounts, as its components. */
#pragma once

#include "event.h"
#include "kernel.h"

#define PATH_STEPS_MAX 64 /* components and mounts of one path */
#define NAME_SIZE 256     /* NAME_MAX and its NUL */

/*
 * Appends the components of @path to @data, of which *@used bytes are in use, each with its NUL,
 * from the leaf to @root, or to the top of the mount tree when it does not lie below that root; at
 * most EVENT_PATH_MAX bytes of them. @data: @size bytes. Returns whether it was cut.
 *
 * In line only in functions that are verified on their own, once: it would cost old kernels'
 * verifiers too much elsewhere.
 */
static __always_inline bool path_walk(const struct path *path, const struct path *root, char *data,
				      __u32 size, __u32 *used)
{
	struct dentry *dentry = path->dentry, *parent, *top;
	struct vfsmount *mnt = path->mnt;
	struct mount *mount, *above;
	__u32 begin = *used, at, len;
	struct qstr name;

	top = BPF_CORE_READ(mnt, mnt_root);
	for (int i = 0; i < PATH_STEPS_MAX; i++) {
		if (dentry == root->dentry && mnt == root->mnt)
			return false;
		if (dentry == top) {
			mount = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
			above = BPF_CORE_READ(mount, mnt_parent);
			if (above == mount)
				return false;
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mnt = &above->mnt;
			top = BPF_CORE_READ(mnt, mnt_root);
			continue;
		}
		bpf_core_read(&name, sizeof(name), &dentry->d_name);
		at = *used;
		len = name.len & (NAME_SIZE - 1);
		if (at > size - NAME_SIZE || at + len + 1 - begin > EVENT_PATH_MAX)
			return true;
		bpf_probe_read_kernel(data + at, len, name.name);
		data[at + len] = 0;
		*used = at + len + 1;
		parent = BPF_CORE_READ(dentry, d_parent);
		if (parent == dentry) /* of no tree: a memfd */
			return false;
		dentry = parent;
	}
	return true;
}
