/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * environment: how the names of variables that decide what runs (userspace/base/environment.h) are
 * looked up in a process's environment: a perfect hash, made by the loader (collect/envtable.h).
 * For both sides.
 */
#pragma once

#include <linux/types.h>

#define ENVIRONMENT_MAX 32768    /* bytes of an environment that are looked at */
#define ENVIRONMENT_PIECE 4096   /* of them, copied at a time */
#define ENVIRONMENT_STRINGS 4096 /* variables that are looked at */
#define ENVIRONMENT_NAMES 128    /* bits of event_exec.environment */
#define ENVIRONMENT_SLOTS 1024
#define ENVIRONMENT_WORDS 4 /* of a name, padded with zeros: a longer one is none of ours */
#define ENVIRONMENT_PREFIXES 12

/* A name of which only the beginning counts: its first 16 bytes at most. */
enum environment_prefix {
	PREFIX_FOLD,  /* bits to be set first: of a name in whatever case */
	PREFIX_MASK0, /* of the first word; 0: an empty entry, as all that follow */
	PREFIX_VALUE0,
	PREFIX_MASK1,
	PREFIX_VALUE1,
	PREFIX_BIT,
	PREFIX_FIELDS,
};

static inline __u32 environment_slot(const __u64 name[ENVIRONMENT_WORDS], __u64 multiplier)
{
	__u64 sum = name[0] + name[1] * 3 + name[2] * 5 + name[3] * 7;

	return sum * multiplier >> 54 & (ENVIRONMENT_SLOTS - 1);
}
