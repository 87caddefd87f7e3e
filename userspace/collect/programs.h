/* SPDX-License-Identifier: Apache-2.0 */
/*
 * programs: the distinct files that a session executed, as the leaves of a hash tree: evidence
 * names their number and root (docs/evidence.md), and whoever has the records can compute both
 * again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "affiant/v1/record.pb-c.h"
#include "base/digest.h"

#define PROGRAMS_MAX 4096 /* of one session; further ones are not counted, which 'cut' says */

/* All zero is the empty set. */
struct programs {
	struct sha256 *leaves; /* ascending */
	size_t count, room;
	bool cut;
};

void programs_clear(struct programs *p);

/* Adds a leaf that is not there yet: 0 or -ENOMEM. */
int programs_add(struct programs *p, const struct sha256 *leaf);

/* Adds executable and steps of @process, all of whose digests are settled. */
int programs_add_process(struct programs *p, const Affiant__V1__Process *process);

int programs_root(const struct programs *p, struct sha256 *ret);
