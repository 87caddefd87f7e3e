// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * socket: its beginning, its end, and errors that are no change of state.
 */
#include "forget.h"
#include "socket.h"
#include "behind.h"

/* The protocols whose attempts the connect and sendmsg hooks see. */
static __always_inline bool is_tracked(__u32 type, __u32 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
	case IPPROTO_MPTCP:
		return type == SOCK_STREAM;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		return type == SOCK_DGRAM;
	}
	return false;
}

static __always_inline void untracked_emit(struct bpf_sock *ctx, __u32 tgid, const struct tag *tag,
					   bool denied)
{
	struct event_untracked *e;

	e = event_reserve(EVENT_UNTRACKED, sizeof(*e), sequence_next(), EMIT_TASK);
	if (!e)
		return;
	header_set_actor(&e->header, tgid, tag);
	e->cookie = bpf_get_socket_cookie(ctx);
	current_euid(&e->uid, &e->gid);
	e->family = ctx->family;
	e->sock_type = ctx->type;
	e->protocol = ctx->protocol;
	e->flags = (denied ? CONNECT_DENIED : 0) | (others_behind() ? CONNECT_BEHIND : 0);
	event_submit(e);
}

/*
 * The storage is made here and not at the connect, where a program can have it refused: it counts
 * against the socket's option memory, which SO_ATTACH_FILTER fills.
 */
SEC("cgroup/sock_create")
int on_create(struct bpf_sock *ctx)
{
	struct socket_state *s;
	struct tag *tag;
	bool denied;
	__u32 tgid;

	tag = tag_of_current(&tgid);
	if (!tag)
		return 1;
	/* By a program before this one: socket(2) fails, and no other hook will hear of it. */
	denied = granted_retval && bpf_get_retval() == -EPERM;
	if (denied || !is_tracked(ctx->type, ctx->protocol))
		untracked_emit(ctx, tgid, tag, denied);
	if (!is_tracked(ctx->type, ctx->protocol))
		return 1;
	s = bpf_sk_storage_get(&sockets, ctx, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (s) {
		actor_set(&s->opener, tgid, tag);
		s->cookie = bpf_get_socket_cookie(ctx); /* the stubs leave alone what has none */
	}
	return 1;
}

/*
 * An attempt that the kernel never took up: no route, broadcast, or it was refused after our hook.
 * Of any other, the change to CLOSE will tell.
 */
static __always_inline void released_tcp(struct bpf_sock *ctx, struct socket_state *s)
{
	if (ctx->state == TCP_CLOSE || ctx->state == TCP_LISTEN)
		attempt_over(s, OUTCOME_RELEASE);
}

static __always_inline void released_datagrams(struct bpf_sock *ctx, struct socket_state *s)
{
	struct event_close *e;

	if (s->connecting)
		connect_returned(s, sock_txhash((void *)ctx), OUTCOME_RELEASE);
	if (!s->first)
		return;
	e = close_reserve(s, s->first, s->first_ns, EMIT_TASK);
	if (!e)
		return;
	e->excess = s->excess;
	e->flags = OUTCOME_RELEASE;
	event_submit(e);
}

SEC("cgroup/sock_release")
int on_release(struct bpf_sock *ctx)
{
	struct socket_state *s = bpf_sk_storage_get(&sockets, ctx, NULL, 0);

	if (!s)
		return 1;
	if (ctx->protocol == IPPROTO_TCP)
		released_tcp(ctx, s);
	else
		released_datagrams(ctx, s);
	forget_flows(s);
	return 1;
}

/* An ICMP error came for a connected datagram socket: told once for each flow. */
static __always_inline int error_reported(struct sock *sk, struct socket_state *s)
{
	struct event_outcome *e;

	if (sk->sk_protocol == IPPROTO_TCP || sk->__sk_common.skc_state != TCP_ESTABLISHED)
		return 0;
	/* Of the flow before, while the connect is under way or if it failed. */
	if (s->connecting && sk->sk_txhash == s->txhash)
		return 0;
	if (!phase_claim(s, PHASE_ESTABLISHED, PHASE_NONE))
		return 0;
	e = outcome_reserve(s, EMIT_SOFTIRQ);
	if (!e)
		return 0;
	e->latency_ns = e->header.boottime_ns - s->attempt_ns;
	e->error = sk->sk_err;
	e->error_soft = sk->sk_err_soft;
	e->flags = OUTCOME_REPORT;
	sock_address(&e->peer, sk, true);
	event_submit(e);
	return 0;
}

SEC("tp_btf/inet_sk_error_report")
int BPF_PROG(on_report, struct sock *sk)
{
	struct socket_state *s = bpf_sk_storage_get(&sockets, sk, NULL, 0);

	return s ? error_reported(sk, s) : 0;
}
