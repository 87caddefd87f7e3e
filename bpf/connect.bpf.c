// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * connect: attempts. The hooks are attached at the root of cgroup2, since they run by the cgroup
 * that the socket was made in. The kernel holds the socket's lock while they run, so nothing else
 * changes its storage then.
 */
#include "behind.h"
#include "socket.h"

struct attempt {
	struct event_address to;
	__u32 tgid;
	bool connect; /* by connect(2), not by a datagram */
	bool mapped;
	struct tag *tag;
	struct socket_state *state; /* NULL: the kernel refused us the storage */
	__u64 sequence, connection;
};

static __always_inline bool attempt_is_tcp(const struct bpf_sock_addr *ctx)
{
	return ctx->protocol == IPPROTO_TCP;
}

/*
 * bpf_sock_addr has no scope: it is in the caller's address, which the kernel has copied already.
 */
static __always_inline __u32 scope_of(struct bpf_sock_addr *ctx)
{
	struct bpf_sock_addr_kern *kern = (void *)ctx;
	struct sockaddr_in6 *address = NULL;
	__u32 scope = 0;

	bpf_core_read(&address, sizeof(address), &kern->uaddr);
	bpf_probe_read_kernel(&scope, sizeof(scope), &address->sin6_scope_id);
	return scope;
}

static __always_inline void destination_v4(struct bpf_sock_addr *ctx, struct event_address *ret)
{
	address_v4(ret, ctx->user_ip4, bpf_ntohs(ctx->user_port));
}

static __always_inline bool destination_v6(struct bpf_sock_addr *ctx, struct event_address *ret)
{
	__be32 ip[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]};
	bool mapped = address_v6(ret, ip, bpf_ntohs(ctx->user_port));

	if (address_is_link_local(ret))
		ret->scope_id = scope_of(ctx);
	return mapped;
}

static __always_inline void local_address(struct bpf_sock *sk, struct event_address *ret)
{
	__be32 ip[4] = {sk->src_ip6[0], sk->src_ip6[1], sk->src_ip6[2], sk->src_ip6[3]};
	__u32 port = sk->src_port;

	if (sk->family == AF_INET) {
		if (sk->src_ip4 || port)
			address_v4(ret, sk->src_ip4, port);
	} else if (ip[0] || ip[1] || ip[2] || ip[3] || port) {
		address_v6(ret, ip, port);
	}
}

/*
 * Made at sock_create, unless the opener was untagged, it is a subflow of MPTCP, or memory was
 * short.
 */
static __always_inline struct socket_state *state_of(struct bpf_sock *sk)
{
	struct socket_state *s = bpf_sk_storage_get(&sockets, sk, NULL, 0);

	return s ?: bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
}

static __always_inline void attempt_emit(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					 const struct attempt *a, __u64 cookie, __u16 flags)
{
	struct socket_state *s = a->state;
	struct event_connect *e;

	e = event_reserve(EVENT_CONNECT, sizeof(*e), a->sequence, EMIT_TASK);
	if (!e)
		return;
	actor_set(&e->header.actor, a->tgid, a->tag);
	e->connection = a->connection;
	e->cookie = cookie;
	e->reached = a->to;
	local_address(sk, &e->local);
	current_euid(&e->uid, &e->gid);
	e->sock_type = ctx->type;
	e->protocol = ctx->protocol;
	if (s && s->opener.session) {
		e->opener = s->opener;
		flags |= CONNECT_OPENER;
	}
	if (s && s->asked.family) {
		e->asked = s->asked;
		flags |= CONNECT_ASKED;
	}
	e->flags = flags;
	event_submit(e);
}

/* Later events of the socket speak of this attempt. */
static __always_inline void attempt_keep(struct socket_state *s, const struct attempt *a, bool tcp)
{
	__u64 now = bpf_ktime_get_boot_ns();

	actor_set(&s->actor, a->tgid, a->tag);
	if (!tcp && !s->first) {
		s->first = a->connection;
		s->first_ns = now;
	}
	if (!a->connect)
		return;
	s->connection = a->connection;
	s->attempt_ns = now;
	s->phase = tcp ? PHASE_ATTEMPTED : PHASE_ESTABLISHED;
}

/*
 * UDP: one record for each socket and destination. False when this datagram's destination had its
 * record, or the socket has too many. connect(2) always makes a new one.
 */
static __always_inline bool flow_is_new(struct bpf_sock *sk, const struct attempt *a)
{
	struct socket_state *s = a->state;
	struct socket_flows *f;

	if (!s)
		return true;
	if (!s->flow.family) {
		s->flow = a->to;
		return true;
	}
	if (!a->connect && address_equal(&s->flow, &a->to))
		return false;
	f = bpf_sk_storage_get(&flows, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!f)
		return true;
	if (a->connect)
		f->connected = a->to;
	else if (address_equal(&f->connected, &a->to))
		return false; /* a send on a connected v4-mapped socket, or one that names its own peer */
	if (address_equal(&s->flow, &a->to))
		return true;
	for (__u32 i = 0; i < EVENT_UDP_FLOWS - 1; i++) {
		if (i == f->count) {
			f->to[i] = a->to;
			f->count++;
			return true;
		}
		if (address_equal(&f->to[i], &a->to))
			return a->connect;
	}
	if (!a->connect)
		f->excess++;
	return a->connect;
}

static __always_inline int attempted(struct bpf_sock_addr *ctx, struct attempt *a)
{
	__u16 flags = (a->connect ? 0 : CONNECT_SENDMSG) | (a->mapped ? CONNECT_MAPPED : 0);
	bool tcp = attempt_is_tcp(ctx);
	struct bpf_sock *sk = ctx->sk;
	__u64 cookie;

	if (!sk)
		return 1;
	a->state = state_of(sk);
	if (!tcp && !flow_is_new(sk, a))
		goto out;
	cookie = bpf_get_socket_cookie(ctx);
	if (a->state) {
		a->state->cookie = cookie;
		a->state->protocol = ctx->protocol;
		/* The kernel lets a TCP socket attempt again only when the attempt before is over. */
		if (tcp)
			attempt_over(a->state, OUTCOME_REUSED);
	} else {
		loss_count(LOSS_STORAGE);
		flags |= CONNECT_NO_STORAGE;
	}
	if (granted_retval && bpf_get_retval() == -EPERM)
		flags |= CONNECT_DENIED;
	if (others_behind())
		flags |= CONNECT_BEHIND;

	a->sequence = sequence_next();
	a->connection = connection_id(a->sequence);
	if (a->state && !(flags & CONNECT_DENIED))
		attempt_keep(a->state, a, tcp);
	attempt_emit(ctx, sk, a, cookie, flags);
out:
	if (a->state)
		a->state->asked.family = 0;
	return 1;
}

SEC("cgroup/connect4")
int on_connect4(struct bpf_sock_addr *ctx)
{
	struct attempt a = {.connect = true};

	a.tag = tag_of_current(&a.tgid);
	if (!a.tag)
		return 1;
	destination_v4(ctx, &a.to);
	return attempted(ctx, &a);
}

SEC("cgroup/connect6")
int on_connect6(struct bpf_sock_addr *ctx)
{
	struct attempt a = {.connect = true};

	a.tag = tag_of_current(&a.tgid);
	if (!a.tag)
		return 1;
	a.mapped = destination_v6(ctx, &a.to);
	return attempted(ctx, &a);
}

/* Runs for datagrams of IPv6 sockets to mapped addresses too, connected ones included. */
SEC("cgroup/sendmsg4")
int on_sendmsg4(struct bpf_sock_addr *ctx)
{
	struct attempt a = {};

	a.tag = tag_of_current(&a.tgid);
	if (!a.tag)
		return 1;
	destination_v4(ctx, &a.to);
	a.mapped = ctx->family == AF_INET6;
	return attempted(ctx, &a);
}

SEC("cgroup/sendmsg6")
int on_sendmsg6(struct bpf_sock_addr *ctx)
{
	struct attempt a = {};

	a.tag = tag_of_current(&a.tgid);
	if (!a.tag)
		return 1;
	a.mapped = destination_v6(ctx, &a.to);
	return attempted(ctx, &a);
}

/*
 * Attached with BPF_F_PREORDER: before a program of a cgroup below can rewrite the address (trap
 * 14). The hooks above run after it, still under the socket's lock. Whose task it is they look up:
 * a socket of nobody's has no storage, and what an untagged task leaves behind is written over
 * before it is used.
 */
static __always_inline struct event_address *asked(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct socket_state *s = sk ? bpf_sk_storage_get(&sockets, sk, NULL, 0) : NULL;

	return s ? &s->asked : NULL;
}

static __always_inline int asked_v4(struct bpf_sock_addr *ctx)
{
	struct event_address *to = asked(ctx);

	if (to)
		destination_v4(ctx, to);
	return 1;
}

static __always_inline int asked_v6(struct bpf_sock_addr *ctx)
{
	struct event_address *to = asked(ctx);

	if (to)
		destination_v6(ctx, to);
	return 1;
}

SEC("cgroup/connect4")
int on_asked_connect4(struct bpf_sock_addr *ctx)
{
	return asked_v4(ctx);
}

SEC("cgroup/connect6")
int on_asked_connect6(struct bpf_sock_addr *ctx)
{
	return asked_v6(ctx);
}

SEC("cgroup/sendmsg4")
int on_asked_sendmsg4(struct bpf_sock_addr *ctx)
{
	return asked_v4(ctx);
}

SEC("cgroup/sendmsg6")
int on_asked_sendmsg6(struct bpf_sock_addr *ctx)
{
	return asked_v6(ctx);
}
