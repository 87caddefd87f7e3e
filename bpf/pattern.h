/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pattern: which cgroups are an agent's, component by component from the root of the hierarchy. The
 * kernel programs step at each mkdir, the daemon at its walk, by the same code (match.h).
 *
 * A state is a set of positions: bit n says that n components are used up. What passes any number
 * of cgroups (COMPONENT_BELOW, COMPONENT_SLICES) stands at its own position and at the next one.
 */
#pragma once

#include <linux/types.h>

#define PATTERNS_MAX 64 /* of all agents */
#define PATTERN_COMPONENTS_MAX 16
#define PATTERN_NAME_MAX 255 /* bytes of a cgroup's name (NAME_MAX), and of a component */
#define PATTERN_MIDDLE_MAX 64

enum component_kind {
	COMPONENT_NAME,   /* one cgroup, by its name */
	COMPONENT_BELOW,  /* zero or more */
	COMPONENT_SLICES, /* zero or more whose names end in ".slice" */
};

/*
 * A name is prefix * middle * suffix, or without stars the prefix alone. The tables are of the
 * middle: bit n of low[b & 15] & high[b >> 4] says that its byte n is b. So a search (Shift-And)
 * takes one step for each byte of the name, whatever the name.
 */
struct component {
	__u8 kind; /* enum component_kind */
	__u8 stars;
	__u8 prefix_len, suffix_len, middle_len;
	__u8 by_root; /* takes only what none but root can have made */
	__u8 spare[2];
	__u64 low[16], high[16];
	char text[PATTERN_NAME_MAX + 1]; /* the prefix, then the suffix */
};

struct pattern {
	__u32 count; /* of components; the position of a match */
	__u32 selector;
	__u32 flags; /* of the selector: enum selector_flag */
	__u32 spare;
	struct component components[PATTERN_COMPONENTS_MAX];
};

/* One cgroup that is looked at, and what became of one pattern by it. */
struct pattern_step {
	__u32 from, to;
	__u32 by_root; /* whoever is not root could not make a cgroup here */
	__u32 len;
	char name[PATTERN_NAME_MAX + 1];
};
