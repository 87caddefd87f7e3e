// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * connect: attempts. The hooks are attached at the root of cgroup2, since they run by the cgroup
 * that the socket was made in. The kernel holds the socket's lock while they run, so nothing else
 * changes its storage then.
 */
#include "behind.h"
#include "flows.h"
#include "socket.h"

#define INTERFACES_MAX 64 /* that are looked at: numbers alike by NETDEV_HASHENTRIES */

struct attempt {
	struct event_address to;
	__u32 tgid;
	bool connect; /* by connect(2), not by a datagram */
	bool mapped;
	__u16 any_family; /* 0.0.0.0 or :: was asked for, and replaced; 0: neither */
	struct tag *tag;
	struct socket_state *state; /* NULL: the kernel refused us the storage */
	__u32 txhash;               /* of a datagram socket, where it is asked for */
	__u64 sequence, connection;
};

static __always_inline bool attempt_is_tcp(const struct bpf_sock_addr *ctx)
{
	return ctx->protocol == IPPROTO_TCP;
}

/* ctx->sk lets no program look further than its own fields. */
static __always_inline struct sock *kernel_sock(struct bpf_sock_addr *ctx)
{
	struct bpf_sock_addr_kern *kern = (void *)ctx;
	struct sock *sk = NULL;

	bpf_core_read(&sk, sizeof(sk), &kern->sk);
	return sk;
}

static __always_inline bool is_interface(const struct sock *sk, __u32 index)
{
	struct net *net = BPF_CORE_READ(sk, __sk_common.skc_net.net);
	struct hlist_head *heads = BPF_CORE_READ(net, dev_index_head);
	struct hlist_node *at = NULL;

	bpf_probe_read_kernel(&at, sizeof(at), &heads[index % NETDEV_HASHENTRIES]);
	for (int i = 0; at && i < INTERFACES_MAX; i++) {
		struct net_device *device =
			(void *)at - bpf_core_field_offset(struct net_device, index_hlist);

		if (BPF_CORE_READ(device, ifindex) == (int)index)
			return true;
		at = BPF_CORE_READ(at, next);
	}
	return false;
}

/*
 * Where the length of the address is not told, what lies behind a short one is taken for a scope if
 * it names an interface: then it is the last one that this thread asked for, as a rule.
 */
static __always_inline __u32 scope_checked(struct bpf_sock_addr *ctx, __u32 scope)
{
	if (ctx->sk && ctx->sk->bound_dev_if) /* no other one is let pass */
		return ctx->sk->bound_dev_if;
	return scope && is_interface(kernel_sock(ctx), scope) ? scope : 0;
}

/*
 * bpf_sock_addr has no scope: it is in the caller's address, of which the kernel has copied as much
 * as he passed. What lies behind is the kernel's own.
 */
static __always_inline __u32 scope_given(struct bpf_sock_addr *ctx)
{
	struct bpf_sock_addr_kern *kern = (void *)ctx;
	struct sockaddr_in6 *address = NULL;
	__u32 scope = 0, len = 0;

	bpf_core_read(&address, sizeof(address), &kern->uaddr);
	bpf_probe_read_kernel(&scope, sizeof(scope), &address->sin6_scope_id);
	if (!bpf_core_field_exists(kern->uaddrlen))
		return scope_checked(ctx, scope);
	bpf_core_read(&len, sizeof(len), &kern->uaddrlen);
	return len < sizeof(*address) ? 0 : scope;
}

/* The kernel goes to an address of its own where it is asked for none. */
static __always_inline void replace_any_v4(struct bpf_sock_addr *ctx, __be32 source,
					   struct attempt *a)
{
	struct bpf_sock *sk = ctx->sk;
	__u16 port = a->to.port;

	if (!address_is_any(&a->to) || !sk)
		return;
	/* The kernel takes an address of the device's, which can't be had here. */
	if (!source && sk->bound_dev_if)
		return;
	address_v4(&a->to, source ?: bpf_htonl(INADDR_LOOPBACK), port);
	a->any_family = AF_INET;
}

/* @mapped: the socket is bound to an IPv4 address. */
static __always_inline void replace_any_v6(struct attempt *a, bool mapped)
{
	__be32 loopback[4] = {0, 0, 0, bpf_htonl(1)};
	__u16 port = a->to.port;

	if (a->to.family != AF_INET6 || !address_is_any(&a->to))
		return;
	a->any_family = AF_INET6;
	a->mapped = mapped;
	if (mapped)
		address_v4(&a->to, bpf_htonl(INADDR_LOOPBACK), port);
	else
		address_v6(&a->to, loopback, port);
}

static __always_inline void destination_v4(struct bpf_sock_addr *ctx, struct event_address *ret)
{
	address_v4(ret, ctx->user_ip4, bpf_ntohs(ctx->user_port));
}

static __always_inline bool destination_v6(struct bpf_sock_addr *ctx, struct event_address *ret)
{
	__be32 ip[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]};
	bool mapped = address_v6(ret, ip, bpf_ntohs(ctx->user_port));
	struct bpf_sock *sk = ctx->sk;

	if (!address_has_scope(ret))
		return mapped;
	ret->scope_id = scope_given(ctx);
	if (!ret->scope_id && sk)
		ret->scope_id = sk->bound_dev_if;
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
	header_set_actor(&e->header, a->tgid, a->tag);
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
	} else if (a->any_family) {
		e->asked.family = a->any_family;
		e->asked.port = a->to.port;
		flags |= CONNECT_ASKED;
	}
	e->flags = flags;
	event_submit(e);
}

static __always_inline void connect_keep(struct socket_state *s, const struct attempt *a,
					 __u64 now, bool tcp)
{
	actor_set(&s->actor, a->tgid, a->tag);
	s->connection = a->connection;
	s->connected = a->to;
	s->attempt_ns = now;
	s->phase = tcp ? PHASE_ATTEMPTED : PHASE_ESTABLISHED;
	if (tcp)
		return;
	s->txhash = a->txhash;
	s->connecting = bpf_get_current_pid_tgid();
}

/* Later events of the socket speak of this attempt. */
static __always_inline void attempt_keep(struct socket_state *s, const struct attempt *a, bool tcp,
					 bool denied)
{
	__u64 now = bpf_ktime_get_boot_ns();

	if (a->connect && !denied)
		connect_keep(s, a, now, tcp);
	if (tcp || (denied && a->connect) || (s->first && (denied || s->first_allowed)))
		return;
	if (!s->connection)
		actor_set(&s->actor, a->tgid, a->tag);
	s->first = a->connection;
	s->first_ns = now;
	s->first_allowed = !denied;
}

static __always_inline bool is_first_flow(struct socket_state *s, const struct attempt *a)
{
	return address_equal(&s->flow, &a->to) && s->flow_tgid == a->tgid &&
	       s->flow_start == a->tag->start_boottime && s->flow_exec_seq == a->tag->exec_seq;
}

/*
 * One record for each socket, destination and process: whoever sends over another's socket is
 * named. What was refused and is let pass later has one of its own. connect(2) always makes a new
 * one.
 */
static __always_inline enum flow_answer flow_of(struct socket_state *s, const struct attempt *a,
						__u64 cookie, bool denied)
{
	const __u32 told = denied ? FLOW_DENIED : FLOW_ALLOWED;
	struct flow_key key = {.cookie = cookie, .to = a->to, .tgid = a->tgid};

	if (s && !s->flow.family && !(a->connect && denied)) {
		s->flow = a->to;
		s->flow_tgid = a->tgid;
		s->flow_start = a->tag->start_boottime;
		s->flow_exec_seq = a->tag->exec_seq;
		s->flow_told = told;
		return FLOW_NEW;
	}
	if (a->connect)
		return FLOW_NEW;
	/* The record of a connect that is under way, or failed, does not speak for what is sent. */
	if (s && s->connecting && address_equal(&s->connected, &a->to))
		return flow_ask(s, &key, a->tag, told);
	/* A send on a connected v4-mapped socket, or one that names its own peer. */
	if (s && !denied && address_equal(&s->connected, &a->to) &&
	    actor_is(&s->actor, a->tgid, a->tag))
		return FLOW_KNOWN;
	if (s && is_first_flow(s, a)) {
		if (s->flow_told & told)
			return FLOW_KNOWN;
		s->flow_told |= told;
		return FLOW_NEW;
	}
	return flow_ask(s, &key, a->tag, told);
}

/* Whether this datagram, or a datagram socket's connect, is to be told. */
static __always_inline bool datagram_is_new(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					    struct attempt *a, __u64 cookie, bool denied)
{
	struct socket_state *s = a->state;
	enum flow_answer answer;

	if (s && (a->connect || s->connecting))
		a->txhash = sock_txhash(kernel_sock(ctx));
	if (s && s->connecting &&
	    (a->txhash != s->txhash || s->connecting == bpf_get_current_pid_tgid()))
		connect_returned(s, a->txhash, OUTCOME_REUSED);
	else if (s && s->connecting && a->connect && !denied)
		connect_left(s);
	if (s && !a->connect && sk->state == TCP_ESTABLISHED)
		*name_slot(s) = bpf_get_current_pid_tgid();
	answer = flow_of(s, a, cookie, denied);
	if (s && answer == FLOW_EXCESS)
		__sync_fetch_and_add(&s->excess, 1);
	/* Where nothing can be counted either, each is told. */
	return answer == FLOW_NEW || (answer == FLOW_EXCESS && !s);
}

static __always_inline int attempted(struct bpf_sock_addr *ctx, struct attempt *a)
{
	__u16 flags = (a->connect ? 0 : CONNECT_SENDMSG) | (a->mapped ? CONNECT_MAPPED : 0);
	bool denied = granted_retval && bpf_get_retval() == -EPERM;
	bool tcp = attempt_is_tcp(ctx);
	struct bpf_sock *sk = ctx->sk;
	__u64 cookie;

	if (!sk)
		return 1;
	a->state = state_of(sk);
	cookie = a->state ? a->state->cookie : 0;
	if (!cookie)
		cookie = bpf_get_socket_cookie(ctx);
	if (!tcp && !datagram_is_new(ctx, sk, a, cookie, denied))
		goto out;
	if (a->state) {
		a->state->cookie = cookie;
		a->state->protocol = ctx->protocol;
		/*
		 * The kernel lets a TCP socket attempt again only when the attempt before is over.
		 */
		if (tcp)
			attempt_over(a->state, OUTCOME_REUSED);
	} else {
		loss_count(LOSS_STORAGE);
		flags |= CONNECT_NO_STORAGE;
	}
	if (denied)
		flags |= CONNECT_DENIED;
	if (others_behind())
		flags |= CONNECT_BEHIND;

	a->sequence = sequence_next();
	a->connection = connection_id(a->sequence);
	if (a->state && !(tcp && denied))
		attempt_keep(a->state, a, tcp, denied);
	attempt_emit(ctx, sk, a, cookie, flags);
out:
	if (a->state)
		a->state->asked.family = 0;
	return 1;
}

/*
 * The source address of an IPv4 destination: what the socket is bound to. Each field is loaded by
 * itself: the verifier takes no pointer to one.
 */
static __always_inline __be32 source_v4(struct bpf_sock *sk)
{
	volatile __be32 own, word, mapped;

	if (!sk)
		return 0;
	own = sk->src_ip4;
	word = sk->src_ip6[2];
	mapped = sk->src_ip6[3];
	if (sk->family == AF_INET)
		return own;
	return word == V4MAPPED_WORD ? mapped : 0;
}

SEC("cgroup/connect4")
int on_connect4(struct bpf_sock_addr *ctx)
{
	struct attempt a = {.connect = true};

	a.tag = tag_of_current(&a.tgid);
	if (!a.tag)
		return 1;
	destination_v4(ctx, &a.to);
	replace_any_v4(ctx, source_v4(ctx->sk), &a);
	return attempted(ctx, &a);
}

SEC("cgroup/connect6")
int on_connect6(struct bpf_sock_addr *ctx)
{
	struct attempt a = {.connect = true};
	struct bpf_sock *sk = ctx->sk;

	a.tag = tag_of_current(&a.tgid);
	if (!a.tag)
		return 1;
	a.mapped = destination_v6(ctx, &a.to);
	if (a.mapped)
		replace_any_v4(ctx, source_v4(sk), &a);
	else
		replace_any_v6(&a, sk && source_v4(sk));
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
	replace_any_v4(ctx, ctx->msg_src_ip4, &a);
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
	if (!a.mapped)
		replace_any_v6(&a, false);
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
