/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seen: which events have been read, as a window over each CPU's sequence numbers. A window and not a maximum,
 * because the order within the ring inverts: a number is taken before the place in the ring. Drops doubles,
 * tells final gaps.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEEN_WINDOW 4096	/* a number this far behind the newest is final: there, or missing */
#define SEEN_FIRST 64		/* as far as the order inverts: numbers below the first one seen may still come */
#define SEEN_CPUS 1024

struct seen_cpu {
	uint64_t base;		/* all below is settled */
	uint64_t top;		/* one past the newest */
	uint64_t bits[SEEN_WINDOW / 64];
};

struct seen {
	struct seen_cpu *cpus[SEEN_CPUS];	/* made at first sight; freed by seen_clear() */
	void (*missing)(void *data, uint32_t cpu, uint64_t first, uint64_t last);
	void *data;
};

/* 1: new. 0: seen before, or too old to tell, which only a doubled event can be. -ENOMEM, -ERANGE: no such CPU. */
int seen_mark(struct seen *s, uint32_t cpu, uint64_t sequence);

/* Settles all but the newest @keep numbers of each CPU: gaps among them are told now. */
void seen_settle(struct seen *s, uint64_t keep);

void seen_clear(struct seen *s);
