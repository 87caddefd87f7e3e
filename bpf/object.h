/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* object: the kernel's own identity of an inode, the same wherever it is read. */
#pragma once

#include "event.h"
#include "kernel.h"

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
