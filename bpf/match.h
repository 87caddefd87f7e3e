/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* match: one step of a pattern (pattern.h), compiled for the kernel and for the daemon alike. */
#pragma once

#include "pattern.h"

/* Verified each on its own: in line the loops would multiply. */
#ifdef __bpf__
#define PATTERN_FUNCTION __noinline
#define pattern_absent(pointer) (!(pointer))
#else
#define PATTERN_FUNCTION __attribute__((unused)) static
#define pattern_absent(pointer) 0
#endif

PATTERN_FUNCTION int name_begins(const struct component *c, const struct pattern_step *s)
{
	if (pattern_absent(c) || pattern_absent(s))
		return 0;
	for (__u32 i = 0; i < PATTERN_NAME_MAX; i++) {
		if (i >= c->prefix_len)
			return 1;
		if (c->text[i] != s->name[i])
			return 0;
	}
	return 1;
}

PATTERN_FUNCTION int name_ends(const struct component *c, const struct pattern_step *s)
{
	__u32 from, at;

	if (pattern_absent(c) || pattern_absent(s))
		return 0;
	from = s->len - c->suffix_len;
	at = c->prefix_len;
	for (__u32 i = 0; i < PATTERN_NAME_MAX; i++) {
		if (i >= c->suffix_len)
			return 1;
		if (c->text[(at + i) & PATTERN_NAME_MAX] != s->name[(from + i) & PATTERN_NAME_MAX])
			return 0;
	}
	return 1;
}

/* The middle lies between prefix and suffix. */
PATTERN_FUNCTION int name_holds(const struct component *c, const struct pattern_step *s)
{
	__u64 found = 0, whole;
	__u32 from, end;

	if (pattern_absent(c) || pattern_absent(s))
		return 0;
	if (!c->middle_len)
		return 1;
	whole = 1ull << ((c->middle_len - 1) & 63);
	from = c->prefix_len;
	end = s->len - c->suffix_len;
	for (__u32 i = 0; i < PATTERN_NAME_MAX; i++) {
		__u8 b = s->name[(from + i) & PATTERN_NAME_MAX];

		if (from + i >= end)
			return 0;
		found = (found << 1 | 1) & c->low[b & 15] & c->high[b >> 4];
		if (found & whole)
			return 1;
	}
	return 0;
}

PATTERN_FUNCTION int name_is_slice(const struct pattern_step *s)
{
	const char suffix[] = {'.', 's', 'l', 'i', 'c', 'e'};

	if (pattern_absent(s) || s->len <= sizeof(suffix))
		return 0;
	for (__u32 i = 0; i < sizeof(suffix); i++)
		if (s->name[(s->len - sizeof(suffix) + i) & PATTERN_NAME_MAX] != suffix[i])
			return 0;
	return 1;
}

PATTERN_FUNCTION int component_takes(const struct component *c, const struct pattern_step *s)
{
	__u32 least;

	if (pattern_absent(c) || pattern_absent(s))
		return 0;
	if (c->by_root && !s->by_root)
		return 0;
	if (c->kind == COMPONENT_BELOW)
		return 1;
	if (c->kind == COMPONENT_SLICES)
		return name_is_slice(s);
	least = c->prefix_len + c->suffix_len + c->middle_len;
	if (c->stars ? s->len < least : s->len != least)
		return 0;
	return name_begins(c, s) && name_ends(c, s) && name_holds(c, s);
}

/* What the component at @n makes of the positions before it. */
PATTERN_FUNCTION int component_step(const struct pattern *p, struct pattern_step *s, __u32 n)
{
	const struct component *c;

	if (pattern_absent(p) || pattern_absent(s) || n >= PATTERN_COMPONENTS_MAX)
		return 0;
	if (!(s->from >> n & 1))
		return 0;
	c = &p->components[n];
	if (component_takes(c, s))
		s->to |= 1u << (n + (c->kind == COMPONENT_NAME));
	return 0;
}

/* What passes zero cgroups is passed at once; components in order, so that one round is enough. */
PATTERN_FUNCTION int component_skip(const struct pattern *p, struct pattern_step *s, __u32 n)
{
	if (pattern_absent(p) || pattern_absent(s) || n >= PATTERN_COMPONENTS_MAX)
		return 0;
	if (n < p->count && s->to >> n & 1 && p->components[n].kind != COMPONENT_NAME)
		s->to |= 1u << (n + 1);
	return 0;
}

/* From the positions of the parent (@s->from) to those of the cgroup @s->name: @s->to. */
PATTERN_FUNCTION int pattern_step(const struct pattern *p, struct pattern_step *s)
{
	if (pattern_absent(p) || pattern_absent(s))
		return 0;
	s->to = 0;
	for (__u32 n = 0; n < PATTERN_COMPONENTS_MAX; n++)
		component_step(p, s, n);
	for (__u32 n = 0; n < PATTERN_COMPONENTS_MAX; n++)
		component_skip(p, s, n);
	return 0;
}

/* Whether the cgroup itself is the pattern's. */
static inline int pattern_matched(const struct pattern *p, const struct pattern_step *s)
{
	return s->to >> (p->count & 31) & 1;
}

/* The positions at the root of the hierarchy. */
static inline __u32 pattern_start(const struct pattern *p)
{
	struct pattern_step s = {.to = 1};

	for (__u32 n = 0; n < PATTERN_COMPONENTS_MAX; n++)
		component_skip(p, &s, n);
	return s.to;
}
