// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * send: whoever sends over a connection that another process made: it was inherited, passed or
 * taken, and no connect hook saw him. Where the kernel has the tracepoint (6.3 on). It runs in the
 * sender's context, after the send, without the socket's lock.
 */
#include "flows.h"
#include "socket.h"

/* This datagram had an address of its own, which the sendmsg hook saw. */
static __always_inline bool was_named(struct socket_state *s)
{
	__u32 tid = bpf_get_current_pid_tgid(), *slot = name_slot(s);

	return *slot == tid && __sync_val_compare_and_swap(slot, tid, 0) == tid;
}

/* By the very process that connected the socket, since its last exec, to where it leads now. */
static __always_inline bool is_own(const struct socket_state *s, const struct tag *tag, __u32 tgid,
				   const struct event_address *peer)
{
	return actor_is(&s->actor, tgid, tag) && address_equal(&s->connected, peer);
}

/*
 * An accepted socket keeps the interface that its SYN came by, where a datagram socket has the one
 * for its multicasts. No program can set it for a stream: its own connections have none. It keeps
 * it for good, too, when it is disconnected (AF_UNSPEC) and connected anew, which we saw.
 */
static __always_inline bool is_accepted(struct sock *sk, const struct socket_state *s)
{
	struct inet_sock *inet = (void *)sk;

	if (s && s->connected.family)
		return false;
	if (sk->__sk_common.skc_family == AF_INET)
		return BPF_CORE_READ(inet, mc_index);
	return BPF_CORE_READ(inet, pinet6, mcast_oif);
}

/*
 * There is a connection that somebody made from this side, to be told if it is not the sender's.
 * The kernel's own, as a network filesystem's, are nobody's.
 */
static __always_inline bool is_outbound(struct sock *sk, const struct socket_state *s)
{
	if (BPF_CORE_READ_BITFIELD_PROBED(sk, sk_kern_sock))
		return false;
	switch (sk->sk_protocol) {
	case IPPROTO_TCP:
		return sk->sk_type == SOCK_STREAM && !is_accepted(sk, s);
	case IPPROTO_MPTCP: /* what was accepted has no storage: nobody opened it */
		return s && s->opener.session;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		return sk->sk_type == SOCK_DGRAM && sk->__sk_common.skc_state == TCP_ESTABLISHED;
	}
	return false;
}

static __always_inline void send_emit(struct sock *sk, struct socket_state *s, __u64 cookie,
				      const struct tag *tag, __u32 tgid,
				      const struct event_address *peer)
{
	__u64 sequence = sequence_next();
	struct event_connect *e;

	/* Its end is told by its first flow. */
	if (s && sk->sk_type == SOCK_DGRAM &&
	    !__sync_val_compare_and_swap(&s->first, 0, connection_id(sequence))) {
		s->first_ns = bpf_ktime_get_boot_ns();
		s->first_allowed = 1;
	}
	e = event_reserve(EVENT_CONNECT, sizeof(*e), sequence, EMIT_TASK);
	if (!e)
		return;
	header_set_actor(&e->header, tgid, tag);
	e->connection = connection_id(sequence);
	e->cookie = cookie;
	e->reached = *peer;
	sock_address(&e->local, sk, false);
	current_euid(&e->uid, &e->gid);
	e->sock_type = sk->sk_type;
	e->protocol = sk->sk_protocol;
	e->flags = CONNECT_SEND;
	if (!s)
		e->flags |= CONNECT_NO_STORAGE;
	if (sk->__sk_common.skc_family == AF_INET6 && peer->family == AF_INET)
		e->flags |= CONNECT_MAPPED;
	if (s && s->opener.session) {
		e->opener = s->opener;
		e->flags |= CONNECT_OPENER;
	}
	event_submit(e);
}

static __always_inline int sent(struct sock *sk, struct socket_state *s, const struct tag *tag,
				__u32 tgid, const struct event_address *peer)
{
	struct flow_key key = {.tgid = tgid};
	enum flow_answer answer;

	if (!s)
		s = bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	key.cookie = bpf_get_socket_cookie(sk);
	if (s) {
		s->cookie = key.cookie;
		s->protocol = sk->sk_protocol;
	}
	answer = flow_ask_sender(s, &key, tag, peer);
	if (answer == FLOW_KNOWN)
		return 0;
	/* The end of a datagram socket that told of a flow says how many it did not tell. */
	if (answer == FLOW_EXCESS && s && s->first) {
		__sync_fetch_and_add(&s->excess, 1);
		return 0;
	}
	if (!s)
		loss_count(LOSS_STORAGE);
	send_emit(sk, s, key.cookie, tag, tgid, peer);
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(on_send, struct sock *sk, int ret, int flags)
{
	struct event_address peer;
	struct socket_state *s;
	struct tag *tag;
	__u32 tgid;

	tag = tag_of_current(&tgid);
	if (!tag)
		return 0;
	s = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if ((s && was_named(s)) || ret < 0 || !is_outbound(sk, s))
		return 0;
	sock_address(&peer, sk, true);
	/* An MPTCP socket's connects are its subflows': the socket itself is its maker's. */
	if (s && (sk->sk_protocol == IPPROTO_MPTCP ? actor_is(&s->opener, tgid, tag)
						   : is_own(s, tag, tgid, &peer)))
		return 0;
	return sent(sk, s, tag, tgid, &peer);
}
