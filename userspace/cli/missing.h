/* SPDX-License-Identifier: Apache-2.0 */
/*
 * missing: records that a reader does not find between those that it reads. What a Gap tells of was
 * said; the rest is to be said by the reader.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "affiant/v1/record.pb-c.h"

struct missing_range {
	uint64_t first, last;
};

struct missing {
	struct missing_range *holes, *gaps;
	size_t holes_count, gaps_count;
};

/* Numbers between two segments. -ENOMEM. */
int missing_hole(struct missing *m, uint64_t first, uint64_t last);

/* Every record that is read, in any order. -ENOMEM. */
int missing_read(struct missing *m, const Affiant__V1__Record *r);

/*
 * What no Gap that was read so far tells of, once: false when there is nothing left. A part of a
 * hole that is told makes it no smaller.
 */
bool missing_next(struct missing *m, struct missing_range *ret);

/* All of that, a line each. Whether there was something. */
bool missing_say(struct missing *m, FILE *to);

void missing_done(struct missing *m);
