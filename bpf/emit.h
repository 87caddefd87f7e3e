/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* emit: the one way into the ring buffer. Nothing is dropped without being counted, by its type. */
#pragma once

#include "maps.h"

/*
 * Who may use the last eighth of the ring: what comes from the network stack can't be held back or
 * asked again, and finds no room otherwise when tasks fill the ring.
 */
enum emit_context { EMIT_TASK, EMIT_SOFTIRQ };

static __always_inline struct control *control_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

static __always_inline void loss_count(__u32 kind)
{
	__u64 *n = bpf_map_lookup_elem(&losses, &kind);

	if (n)
		__sync_fetch_and_add(n, 1);
}

/* A process of that session executes what nobody will hear of: it can do so with root's power. */
static __always_inline void unseen_mark(__u64 session)
{
	struct control *c = control_get();
	__u64 now = bpf_ktime_get_boot_ns();

	if (bpf_map_update_elem(&unseen, &session, &now, BPF_ANY) && c)
		c->unseen = 1; /* no room: whose it is can't be told */
}

/*
 * The next number of this CPU, from 1 on. Atomic: a softirq, or a task that preempts this one, may
 * take one at the same time.
 */
static __always_inline __u64 sequence_next(void)
{
	__u32 zero = 0;
	struct sequence *s = bpf_map_lookup_elem(&sequences, &zero);

	return s ? __sync_fetch_and_add(&s->next, 1) + 1 : 0;
}

static __always_inline __u64 connection_id(__u64 sequence)
{
	return ((__u64)bpf_get_smp_processor_id() << 48) | sequence;
}

static __always_inline bool ring_has_room(enum emit_context context)
{
	struct control *c = control_get();

	return context == EMIT_SOFTIRQ ||
	       (c && bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) <= c->task_limit);
}

static __always_inline __u64 wakeup_flags(void)
{
	struct control *c = control_get();

	if (c && c->consumer_asleep && __sync_lock_test_and_set(&c->consumer_asleep, 0))
		return BPF_RB_FORCE_WAKEUP;
	return BPF_RB_NO_WAKEUP;
}

static __always_inline void header_fill(struct event_header *h, __u16 type, __u16 size,
					__u64 sequence, enum emit_context context)
{
	h->boottime_ns = bpf_ktime_get_boot_ns();
	h->sequence = sequence;
	h->cpu = bpf_get_smp_processor_id();
	h->type = type;
	h->size = size;
	h->tid = context == EMIT_TASK ? (__u32)bpf_get_current_pid_tgid() : 0;
}

/*
 * Room for one event of fixed size, zeroed, its header filled but for the actor; NULL when there is
 * none, which is then counted. @sequence: from sequence_next().
 */
static __always_inline void *event_reserve(__u16 type, __u64 size, __u64 sequence,
					   enum emit_context context)
{
	void *e = NULL;

	if (ring_has_room(context))
		e = bpf_ringbuf_reserve(&events, size, 0);
	if (!e) {
		loss_count(type);
		return NULL;
	}
	__builtin_memset(e, 0, size);
	header_fill(e, type, size, sequence, context);
	return e;
}

static __always_inline void event_submit(void *e)
{
	bpf_ringbuf_submit(e, wakeup_flags());
}
