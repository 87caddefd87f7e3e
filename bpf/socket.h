/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* socket: what is kept with a socket, so that later events find who caused them. */
#pragma once

#include "emit.h"
#include "task.h"

#define V4MAPPED_WORD bpf_htonl(0x0000ffff)

static __always_inline void address_v4(struct event_address *a, __be32 ip, __u16 port)
{
	__builtin_memset(a, 0, sizeof(*a));
	a->family = AF_INET;
	a->port = port;
	__builtin_memcpy(a->bytes, &ip, sizeof(ip));
}

/* An IPv4-mapped address is IPv4; returns whether it was one. */
static __always_inline bool address_v6(struct event_address *a, const __be32 ip[4], __u16 port)
{
	if (!ip[0] && !ip[1] && ip[2] == V4MAPPED_WORD) {
		address_v4(a, ip[3], port);
		return true;
	}
	__builtin_memset(a, 0, sizeof(*a));
	a->family = AF_INET6;
	a->port = port;
	__builtin_memcpy(a->bytes, ip, sizeof(a->bytes));
	return false;
}

/*
 * Link-local (fe80::/10), and multicast of the interface or the link (ff?1::/16, ff?2::/16): what
 * it means depends on the interface. As the kernel's __ipv6_addr_needs_scope_id().
 */
static __always_inline bool address_has_scope(const struct event_address *a)
{
	__u8 scope = a->bytes[1] & 0x0f;

	if (a->family != AF_INET6)
		return false;
	if (a->bytes[0] == 0xfe)
		return (a->bytes[1] & 0xc0) == 0x80;
	return a->bytes[0] == 0xff && (scope == 1 || scope == 2);
}

/* 0.0.0.0 or ::, whichever the family */
static __always_inline bool address_is_any(const struct event_address *a)
{
	typedef __u32 __attribute__((may_alias)) word;
	const word *x = (const void *)a->bytes;

	return !(x[0] | x[1] | x[2] | x[3]);
}

static __always_inline bool address_equal(const struct event_address *a,
					  const struct event_address *b)
{
	typedef __u32 __attribute__((may_alias)) word;
	const word *x = (const void *)a, *y = (const void *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3] && x[4] == y[4] &&
	       x[5] == y[5];
}

/* skc_num is gone at the change to CLOSE, inet_sport is not. */
static __always_inline __u16 sock_port(struct sock *sk, bool peer)
{
	return bpf_ntohs(peer ? sk->__sk_common.skc_dport
			      : BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
}

static __always_inline void sock_address(struct event_address *ret, struct sock *sk, bool peer)
{
	struct sock_common *c = &sk->__sk_common;
	__u16 port = sock_port(sk, peer);
	__be32 ip[4];

	if (c->skc_family == AF_INET) {
		address_v4(ret, peer ? c->skc_daddr : c->skc_rcv_saddr, port);
		return;
	}
	bpf_core_read(ip, sizeof(ip), peer ? &c->skc_v6_daddr : &c->skc_v6_rcv_saddr);
	address_v6(ret, ip, port);
	if (address_has_scope(ret))
		ret->scope_id = c->skc_bound_dev_if;
}

/* One of several that see the same end tells of it. */
static __always_inline bool phase_claim(struct socket_state *s, __u32 from, __u32 to)
{
	return __sync_val_compare_and_swap(&s->phase, from, to) == from;
}

/* The outcome of @s's attempt, but for what only the caller knows. */
static __always_inline struct event_outcome *outcome_reserve(struct socket_state *s,
							     enum emit_context context)
{
	struct event_outcome *e;

	e = event_reserve(EVENT_OUTCOME, sizeof(*e), sequence_next(), context);
	if (!e)
		return NULL;
	e->header.actor = s->actor;
	e->connection = s->connection;
	e->cookie = s->cookie;
	return e;
}

/* The end of connection @id, begun at @since. */
static __always_inline struct event_close *close_reserve(struct socket_state *s, __u64 id,
							 __u64 since, enum emit_context context)
{
	struct event_close *e;

	e = event_reserve(EVENT_CLOSE, sizeof(*e), sequence_next(), context);
	if (!e)
		return NULL;
	e->header.actor = s->actor;
	e->connection = id;
	e->cookie = s->cookie;
	e->protocol = s->protocol;
	e->duration_ns = e->header.boottime_ns - since;
	return e;
}

/* Where this thread leaves that it gave an address; few send over one socket at once. */
static __always_inline __u32 *name_slot(struct socket_state *s)
{
	return &s->named[(__u32)bpf_get_current_pid_tgid() & 3];
}

static __always_inline __u32 sock_txhash(struct sock *sk)
{
	__u32 hash = 0;

	bpf_core_read(&hash, sizeof(hash), &sk->sk_txhash);
	return hash;
}

/*
 * A datagram socket's connect(2) that failed on this host leaves its sk_txhash as it was, and any
 * other one makes it anew. Asked where that call has returned for sure: later in its thread, or at
 * the socket's release.
 */
static __always_inline void connect_returned(struct socket_state *s, __u32 txhash, __u8 flag)
{
	struct event_outcome *e;

	s->connecting = 0;
	if (txhash != s->txhash)
		return;
	if (address_equal(&s->flow, &s->connected))
		s->flow_told &= ~FLOW_ALLOWED;
	s->connected.family = 0;
	if (!phase_claim(s, PHASE_ESTABLISHED, PHASE_NONE))
		return;
	e = outcome_reserve(s, EMIT_TASK);
	if (!e)
		return;
	e->flags = OUTCOME_NOT_SENT | flag;
	event_submit(e);
}

/*
 * Another thread's connect(2) is what the next one is about to write over. It failed, as it seems:
 * between its hook and its end there are microseconds, in which it would look the same.
 */
static __always_inline void connect_left(struct socket_state *s)
{
	struct event_outcome *e;

	s->connecting = 0;
	/* What is sent there later is told, whatever became of this. */
	if (address_equal(&s->flow, &s->connected))
		s->flow_told &= ~FLOW_ALLOWED;
	if (!phase_claim(s, PHASE_ESTABLISHED, PHASE_NONE))
		return;
	e = outcome_reserve(s, EMIT_TASK);
	if (!e)
		return;
	e->flags = OUTCOME_NOT_SENT | OUTCOME_UNSURE | OUTCOME_REUSED;
	event_submit(e);
}

/*
 * The TCP attempt or connection that @s stands for is over, if that was not told: @flag says how it
 * shows. In a task alone.
 */
static __always_inline void attempt_over(struct socket_state *s, __u8 flag)
{
	struct event_outcome *outcome;
	struct event_close *close;
	bool taken_up;

	taken_up = phase_claim(s, PHASE_SYN, PHASE_NONE);
	if (taken_up || phase_claim(s, PHASE_ATTEMPTED, PHASE_NONE)) {
		outcome = outcome_reserve(s, EMIT_TASK);
		if (outcome) {
			outcome->from = taken_up ? TCP_SYN_SENT : 0;
			outcome->flags = flag;
			event_submit(outcome);
		}
	} else if (phase_claim(s, PHASE_ESTABLISHED, PHASE_NONE)) {
		close = close_reserve(s, s->connection, s->attempt_ns, EMIT_TASK);
		if (close) {
			close->flags = flag;
			event_submit(close);
		}
	}
}
