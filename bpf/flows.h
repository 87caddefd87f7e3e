/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flows: what was told of a socket already. Whoever adds an entry takes it out of its session's
 * share; whoever removes one, which succeeds once, gives it back.
 */
#pragma once

#include "share.h"
#include "socket.h"

#define MINUTE_NS 60000000000ull
#define LINK_TRIES 8

static __always_inline bool flow_take(__u64 session)
{
	struct share *share = share_of(session);

	return !share || share_take(&share->flows, SHARE_OF(EVENT_FLOWS_MAX));
}

static __always_inline void flow_give(__u64 session)
{
	struct share *share = bpf_map_lookup_elem(&shares, &session);

	if (share)
		share_give(&share->flows);
}

/* As many of a socket as a minute may have; of one without storage nobody counts them. */
static __always_inline bool flow_in_minute(struct socket_state *s, __u64 now)
{
	if (!s)
		return true;
	if (now - s->minute_ns >= MINUTE_NS) {
		s->minute_ns = now;
		s->minute_flows = 0;
	}
	if (s->minute_flows >= flows_per_minute)
		return false;
	s->minute_flows++;
	return true;
}

/* Told of that very process, since its last exec: the next image is another actor. */
static __always_inline bool flow_is_of(const struct flow *f, const struct tag *tag)
{
	return f->start == tag->start_boottime && f->exec_seq == tag->exec_seq;
}

enum flow_answer {
	FLOW_KNOWN,  /* it was told */
	FLOW_NEW,    /* it is to be told, and is known from now on */
	FLOW_EXCESS, /* it is new, but finds no room: it is counted, or told where nothing counts */
};

/*
 * An entry of an earlier process of this pid, or of its earlier image, which the one of @tag takes
 * over, with its place among the socket's.
 */
static __always_inline enum flow_answer flow_take_over(struct flow *f, const struct tag *tag,
						       __u32 told)
{
	if (!flow_take(tag->session))
		return FLOW_EXCESS;
	flow_give(f->session);
	f->session = tag->session;
	f->start = tag->start_boottime;
	f->exec_seq = tag->exec_seq;
	f->flags = told | (f->flags & FLOW_LOOSE);
	return FLOW_NEW;
}

static __always_inline enum flow_answer flow_add(const struct flow_key *key, const struct flow *f)
{
	if (!flow_take(f->session))
		return FLOW_EXCESS;
	if (!bpf_map_update_elem(&flows, key, f, BPF_NOEXIST))
		return FLOW_NEW;
	flow_give(f->session);
	return FLOW_EXCESS;
}

/*
 * A destination of a socket, under its lock. @s NULL: the kernel refused us the storage, and the
 * entry goes by its age.
 */
static __always_inline enum flow_answer flow_ask(struct socket_state *s, const struct flow_key *key,
						 const struct tag *tag, __u32 told)
{
	struct flow *found = bpf_map_lookup_elem(&flows, key);
	__u64 now = bpf_ktime_get_boot_ns();
	struct flow f = {
		.session = tag->session,
		.start = tag->start_boottime,
		.exec_seq = tag->exec_seq,
		.flags = s ? told : told | FLOW_LOOSE,
		.made_ns = now,
	};
	enum flow_answer answer;

	if (found && flow_is_of(found, tag)) {
		if (found->flags & told)
			return FLOW_KNOWN;
		found->flags |= told;
		return FLOW_NEW;
	}
	if (!flow_in_minute(s, now))
		return FLOW_EXCESS;
	if (found)
		return flow_take_over(found, tag, told);
	if (s) {
		f.next = s->others;
		f.next_tgid = s->others_tgid;
	}
	answer = flow_add(key, &f);
	if (s && answer == FLOW_NEW) {
		s->others = key->to;
		s->others_tgid = key->tgid;
	}
	return answer;
}

/*
 * Likewise, who sends over a connection: without the socket's lock. Two threads of one process that
 * come at once may both be told.
 */
static __always_inline enum flow_answer flow_ask_sender(struct socket_state *s,
							const struct flow_key *key,
							const struct tag *tag,
							const struct event_address *peer)
{
	struct flow *found = bpf_map_lookup_elem(&flows, key);
	struct flow f = {
		.session = tag->session,
		.start = tag->start_boottime,
		.exec_seq = tag->exec_seq,
		.next = *peer,
		.flags = FLOW_ALLOWED | FLOW_LOOSE,
		.made_ns = bpf_ktime_get_boot_ns(),
	};
	enum flow_answer answer;

	if (found && flow_is_of(found, tag)) {
		if (address_equal(&found->next, peer))
			return FLOW_KNOWN;
		found->next = *peer;
		return FLOW_NEW;
	}
	if (found) {
		found->next = *peer;
		return flow_take_over(found, tag, FLOW_ALLOWED);
	}
	answer = flow_add(key, &f);
	if (!s || answer != FLOW_NEW)
		return answer;
	found = bpf_map_lookup_elem(&flows, key);
	for (int i = 0; found && i < LINK_TRIES; i++) {
		__u32 head = s->senders;

		found->next_tgid = head;
		if (__sync_val_compare_and_swap(&s->senders, head, key->tgid) != head)
			continue;
		found->flags = FLOW_ALLOWED;
		break;
	}
	return answer;
}

/* 0, or -errno when another one removed it. @ret: what it was. */
static __always_inline long flow_remove(const struct flow_key *key, struct flow *ret)
{
	struct flow *found = bpf_map_lookup_elem(&flows, key);
	long err;

	if (!found)
		return -ENOENT;
	*ret = *found;
	err = bpf_map_delete_elem(&flows, key);
	if (!err)
		flow_give(ret->session);
	return err;
}
