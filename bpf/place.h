/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* place: the directory that an open file stands in, and its name there. */
#pragma once

#include "kernel.h"
#include "values.h"

/*
 * Of the dentry that was opened: a file that was replaced or removed since keeps directory and
 * name, one that was moved has those it was moved to. Left all zero, which no selector is, for
 * what stands in no directory (a memfd) or has a name that is too long. Too large for a stack.
 */
static __always_inline void place_of(struct file *file, struct selector_exe_key *ret)
{
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
	struct qstr name;

	__builtin_memset(ret, 0, sizeof(*ret));
	bpf_core_read(&name, sizeof(name), &dentry->d_name);
	if (parent == dentry || name.len >= SELECTOR_NAME_SIZE)
		return;
	ret->inode = BPF_CORE_READ(parent, d_inode, i_ino);
	ret->device = BPF_CORE_READ(parent, d_inode, i_sb, s_dev);
	ret->generation = BPF_CORE_READ(parent, d_inode, i_generation);
	ret->owner = BPF_CORE_READ(parent, d_inode, i_uid.val);
	bpf_probe_read_kernel(ret->name, name.len & (SELECTOR_NAME_SIZE - 1), name.name);
}
