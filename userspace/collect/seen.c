/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/seen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Where nobody knows what a CPU began with, its first event can have overtaken so many. They are
 * new when they come; if they don't, it was before that time.
 */
#define FIRST_INVERSION 64

struct seen_cpu {
	uint64_t base; /* all below is final */
	uint64_t top;  /* one past the newest */
	uint64_t ripe; /* the top at ripe_ns: all below is final SEEN_FINAL_NS later */
	uint64_t ripe_ns;
	uint64_t begun; /* what is not there below it is no loss: nobody knows what was before */
	uint64_t bits[SEEN_WINDOW / 64];     /* from base on: seen */
	uint64_t forgiven[SEEN_WINDOW / 64]; /* from base on: known to be missing */
	uint64_t missed[SEEN_WINDOW / 64];   /* below base: missing, and may still come */
};

static bool get(const uint64_t bits[static SEEN_WINDOW / 64], uint64_t n)
{
	return bits[n % SEEN_WINDOW / 64] >> (n % 64) & 1;
}

static void put(uint64_t bits[static SEEN_WINDOW / 64], uint64_t n, bool on)
{
	uint64_t *word = &bits[n % SEEN_WINDOW / 64];
	uint64_t bit = (uint64_t)1 << (n % 64);

	*word = on ? *word | bit : *word & ~bit;
}

/* The window's lower end passes @base by. Whether it is missing and nobody knows that yet. */
static bool pass(struct seen_cpu *c)
{
	bool there = get(c->bits, c->base) || c->base < c->begun;
	bool known = get(c->forgiven, c->base);

	put(c->missed, c->base, !there);
	put(c->bits, c->base, false);
	put(c->forgiven, c->base, false);
	c->base++;
	return !there && !known;
}

/* The same where nothing was seen: of a jump of millions, only the last ones can still come. */
static void pass_unseen(struct seen_cpu *c, uint64_t base)
{
	if (base - c->base > SEEN_WINDOW)
		c->base = base - SEEN_WINDOW;
	while (c->base < base)
		(void)pass(c);
}

/* Moves the window's lower end to @base and tells what is missing below. */
static void settle(struct seen *s, uint32_t cpu, uint64_t base)
{
	struct seen_cpu *c = s->cpus[cpu];
	uint64_t first = 0;
	bool gap = false;

	/* Behind top nothing was seen: no need to walk a jump of millions. */
	while (c->base < base && c->base < c->top) {
		uint64_t n = c->base;
		bool missing = pass(c);

		if (missing && !gap) {
			gap = true;
			first = n;
		} else if (!missing && gap) {
			gap = false;
			if (s->missing)
				s->missing(s->data, cpu, first, n - 1);
		}
	}
	if (c->base < base && !gap) {
		gap = true;
		first = c->base;
	}
	pass_unseen(c, base);
	if (gap && s->missing)
		s->missing(s->data, cpu, first, c->base - 1);
}

/* Whoever took a number has long found its place in the ring when an event of so much later has. */
static void ripen(struct seen *s, uint32_t cpu)
{
	struct seen_cpu *c = s->cpus[cpu];

	if (s->now_ns < c->ripe_ns || s->now_ns - c->ripe_ns < SEEN_FINAL_NS)
		return;
	settle(s, cpu, c->ripe);
	c->ripe = c->top;
	c->ripe_ns = s->now_ns;
}

static struct seen_cpu *cpu_new(uint64_t base, uint64_t now_ns)
{
	struct seen_cpu *c = calloc(1, sizeof(*c));

	if (c) {
		c->base = c->top = c->ripe = base;
		c->ripe_ns = now_ns;
	}
	return c;
}

/* A host has few of those that there may be: none is looked at that was not there. */
static void note_cpu(struct seen *s, uint32_t cpu)
{
	if (s->cpus[cpu] && cpu >= s->end)
		s->end = cpu + 1;
}

static uint64_t first_of(const struct seen *s, uint64_t sequence)
{
	if (s->first)
		return s->first;
	return sequence > FIRST_INVERSION ? sequence - FIRST_INVERSION : 1;
}

static int come_late(struct seen_cpu *c, uint64_t n)
{
	if (c->base - n > SEEN_WINDOW || !get(c->missed, n))
		return 0;
	put(c->missed, n, false);
	return 1;
}

int seen_mark(struct seen *s, uint32_t cpu, uint64_t sequence, uint64_t time_ns)
{
	struct seen_cpu *c;

	/* The upper bits of a source are the CPU's. */
	if (cpu >= SEEN_CPUS || sequence >> 48)
		return -ERANGE;
	if (time_ns > s->now_ns)
		s->now_ns = time_ns;
	if (!s->cpus[cpu]) {
		s->cpus[cpu] = cpu_new(first_of(s, sequence), s->now_ns);
		note_cpu(s, cpu);
		if (s->cpus[cpu] && !s->first && sequence > FIRST_INVERSION)
			s->cpus[cpu]->begun = sequence;
	}
	c = s->cpus[cpu];
	if (!c)
		return -ENOMEM;

	if (sequence < c->base)
		return come_late(c, sequence);
	if (sequence >= c->base + SEEN_WINDOW)
		settle(s, cpu, sequence - SEEN_WINDOW + 1);
	if (get(c->bits, sequence))
		return 0;
	put(c->bits, sequence, true);
	if (sequence >= c->top)
		c->top = sequence + 1;
	ripen(s, cpu);
	return 1;
}

void seen_ripen(struct seen *s)
{
	for (uint32_t cpu = 0; cpu < s->end; cpu++)
		if (s->cpus[cpu])
			ripen(s, cpu);
}

uint64_t seen_highest(const struct seen *s)
{
	uint64_t highest = 0;

	for (uint32_t cpu = 0; cpu < s->end; cpu++)
		if (s->cpus[cpu] && s->cpus[cpu]->top > highest + 1)
			highest = s->cpus[cpu]->top - 1;
	return highest;
}

void seen_begin(struct seen *s, uint64_t first)
{
	for (uint32_t cpu = 0; cpu < s->end; cpu++)
		if (s->cpus[cpu])
			settle(s, cpu, s->cpus[cpu]->top);
	seen_clear(s);
	s->first = first;
}

void seen_forgive(struct seen *s, uint32_t cpu, uint64_t first, uint64_t last)
{
	struct seen_cpu *c = cpu < SEEN_CPUS ? s->cpus[cpu] : NULL;

	if (!c)
		return;
	for (uint64_t n = first > c->base ? first : c->base; n <= last && n < c->top; n++)
		put(c->forgiven, n, true);
}

static void save_missed(const struct seen_cpu *c, struct seen_span *ret)
{
	uint64_t most = c->base < SEEN_WINDOW ? c->base : SEEN_WINDOW;

	memset(ret->missed, 0, sizeof(ret->missed));
	ret->missed_len = 0;
	for (uint64_t i = 0; i < most; i++) {
		if (!get(c->missed, c->base - 1 - i))
			continue;
		ret->missed[i / 8] |= 1u << i % 8;
		ret->missed_len = i / 8 + 1;
	}
}

bool seen_save(const struct seen *s, uint32_t cpu, struct seen_span *ret)
{
	const struct seen_cpu *c = s->cpus[cpu];

	if (!c)
		return false;
	ret->low = c->base;
	ret->top = c->top > c->base ? c->top : c->base;
	memset(ret->bits, 0, sizeof(ret->bits));
	for (uint64_t n = ret->low; n < ret->top; n++)
		if (get(c->bits, n) || get(c->forgiven, n) || n < c->begun)
			ret->bits[(n - ret->low) / 8] |= 1u << (n - ret->low) % 8;
	save_missed(c, ret);
	return true;
}

int seen_load(struct seen *s, uint32_t cpu, uint64_t low, uint64_t top, const uint8_t *bits,
	      size_t len)
{
	struct seen_cpu *c;

	if (cpu >= SEEN_CPUS || s->cpus[cpu] || top < low || top - low > SEEN_WINDOW ||
	    top > (uint64_t)1 << 48 || len != seen_span_bytes(low, top))
		return -EBADMSG;
	c = cpu_new(low, 0);
	if (!c)
		return -ENOMEM;
	c->top = top;
	for (uint64_t n = low; n < top; n++)
		if (bits[(n - low) / 8] >> (n - low) % 8 & 1)
			put(c->bits, n, true);
	s->cpus[cpu] = c;
	note_cpu(s, cpu);
	return 0;
}

int seen_load_missed(struct seen *s, uint32_t cpu, const uint8_t *bits, size_t len)
{
	struct seen_cpu *c = cpu < SEEN_CPUS ? s->cpus[cpu] : NULL;

	if (!c || len > SEEN_WINDOW / 8)
		return -EBADMSG;
	for (uint64_t i = 0; i < len * 8 && i < c->base; i++)
		put(c->missed, c->base - 1 - i, bits[i / 8] >> i % 8 & 1);
	return 0;
}

void seen_clear(struct seen *s)
{
	for (uint32_t cpu = 0; cpu < s->end; cpu++) {
		free(s->cpus[cpu]);
		s->cpus[cpu] = NULL;
	}
	s->end = 0;
}
