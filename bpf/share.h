/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * share: what one session holds of what all share, so that none can take it from the others.
 * Counted before something is taken and after it is given back: never less than what is held.
 */
#pragma once

#include "emit.h"

/*
 * A new one, if there is none. NULL: there is no room for it, and no limit then but that of what is
 * shared: to refuse would take from a session that holds nothing.
 */
static __always_inline struct share *share_of(__u64 session)
{
	struct share *s = bpf_map_lookup_elem(&shares, &session), none = {};

	if (s)
		return s;
	bpf_map_update_elem(&shares, &session, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&shares, &session);
}

/* @held: one of its counters. False: it holds @limit already. */
static __always_inline bool share_take(__u32 *held, __u32 limit)
{
	/* Signed: below zero for a moment, when the entry was made anew. */
	if ((__s32)__sync_fetch_and_add(held, 1) < (__s32)limit)
		return true;
	__sync_fetch_and_add(held, -1);
	return false;
}

static __always_inline void share_give(__u32 *held)
{
	__sync_fetch_and_add(held, -1);
}

static __always_inline bool share_take_tag(__u64 session)
{
	struct share *s = share_of(session);
	struct control *c = control_get();

	if (!s || !c)
		return true;
	__sync_fetch_and_add(&s->changes, 1);
	return share_take(&s->tags, SHARE_OF(c->max_tags));
}

/* Whether there is room for one more; takes nothing. */
static __always_inline bool share_has_tag(__u64 session)
{
	struct share *s = bpf_map_lookup_elem(&shares, &session);
	struct control *c = control_get();

	return !s || !c || (__s32)s->tags < (__s32)SHARE_OF(c->max_tags);
}

static __always_inline void share_give_tag(__u64 session)
{
	struct share *s = bpf_map_lookup_elem(&shares, &session);

	if (!s)
		return;
	__sync_fetch_and_add(&s->changes, 1);
	share_give(&s->tags);
}
