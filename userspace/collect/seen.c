/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/seen.h"

#include <errno.h>
#include <stdlib.h>

static bool get(const struct seen_cpu *c, uint64_t n)
{
	return c->bits[n % SEEN_WINDOW / 64] >> (n % 64) & 1;
}

static void put(struct seen_cpu *c, uint64_t n, bool on)
{
	uint64_t *word = &c->bits[n % SEEN_WINDOW / 64];
	uint64_t bit = (uint64_t)1 << (n % 64);

	*word = on ? *word | bit : *word & ~bit;
}

/* Moves the window's lower end to @base and tells what is missing below. */
static void settle(struct seen *s, uint32_t cpu, uint64_t base)
{
	struct seen_cpu *c = s->cpus[cpu];
	uint64_t first = 0;
	bool gap = false;

	/* Behind top nothing was seen: no need to walk a jump of millions. */
	for (; c->base < base && c->base < c->top; c->base++) {
		bool there = get(c, c->base);

		put(c, c->base, false);
		if (!there && !gap) {
			gap = true;
			first = c->base;
		} else if (there && gap) {
			gap = false;
			if (s->missing)
				s->missing(s->data, cpu, first, c->base - 1);
		}
	}
	if (c->base < base && !gap) {
		gap = true;
		first = c->base;
	}
	if (c->base < base)
		c->base = base;
	if (gap && s->missing)
		s->missing(s->data, cpu, first, c->base - 1);
}

int seen_mark(struct seen *s, uint32_t cpu, uint64_t sequence)
{
	struct seen_cpu *c;

	if (cpu >= SEEN_CPUS)
		return -ERANGE;
	if (!s->cpus[cpu]) {
		s->cpus[cpu] = calloc(1, sizeof(*c));
		if (!s->cpus[cpu])
			return -ENOMEM;
		/* The kernel counts from 1. Who comes later knows nothing of what went before. */
		s->cpus[cpu]->base = sequence < SEEN_WINDOW ? 1 : sequence - SEEN_FIRST;
	}
	c = s->cpus[cpu];

	if (sequence < c->base)
		return 0;
	if (sequence >= c->base + SEEN_WINDOW)
		settle(s, cpu, sequence - SEEN_WINDOW + 1);
	if (get(c, sequence))
		return 0;
	put(c, sequence, true);
	if (sequence >= c->top)
		c->top = sequence + 1;
	return 1;
}

void seen_settle(struct seen *s, uint64_t keep)
{
	for (uint32_t cpu = 0; cpu < SEEN_CPUS; cpu++) {
		struct seen_cpu *c = s->cpus[cpu];

		if (c && c->top > c->base + keep)
			settle(s, cpu, c->top - keep);
	}
}

void seen_clear(struct seen *s)
{
	for (uint32_t cpu = 0; cpu < SEEN_CPUS; cpu++) {
		free(s->cpus[cpu]);
		s->cpus[cpu] = NULL;
	}
}
