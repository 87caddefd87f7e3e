/* SPDX-License-Identifier: Apache-2.0 */
/*
 * envtable: the names of base/environment.h, laid out as the kernel programs look them up
 * (bpf/environment.h).
 */
#pragma once

#include "environment.h"

struct envtable {
	__u64 multiplier;
	__u64 first; /* bit n: a prefix begins with a byte whose lower six bits are n */
	__u8 slots[ENVIRONMENT_SLOTS];
	__u64 names[ENVIRONMENT_NAMES][ENVIRONMENT_WORDS];
	__u64 prefixes[ENVIRONMENT_PREFIXES][PREFIX_FIELDS];
};

/* -E2BIG: a name is too long, or there are too many; -ENOKEY: no multiplier keeps them apart. */
int envtable_make(struct envtable *ret);
