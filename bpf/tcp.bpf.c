// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * tcp: what becomes of attempts. Runs wherever the kernel changes a socket's state, mostly in
 * softirq, where current is whoever was interrupted: the actor comes from the socket's storage.
 */
#include "listen.h"

static __always_inline __u32 segments_out(struct sock *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

	return tp ? tp->segs_out : 0;
}

/* TCP_REPAIR: its owner writes what the socket is to be, as checkpointing does. */
static __always_inline bool in_repair(struct sock *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

	return tp && BPF_CORE_READ_BITFIELD(tp, repair);
}

/*
 * sk_err outlives the connection that it belongs to until the program reads it. The kernel clears
 * it at the first SYN (tcp_connect_init()): before that, what stood there when the attempt began is
 * not of the attempt.
 */
static __always_inline bool error_is_own(struct sock *sk, const struct socket_state *s)
{
	return segments_out(sk) != s->segments || sk->sk_err != s->stale_error;
}

static __always_inline struct event_outcome *tcp_outcome(struct sock *sk, struct socket_state *s,
							 int from, int to)
{
	struct event_outcome *e = outcome_reserve(s, EMIT_SOFTIRQ);

	if (!e)
		return NULL;
	sock_address(&e->local, sk, false);
	sock_address(&e->peer, sk, true);
	e->from = from;
	e->to = to;
	e->shutdown = sk->sk_shutdown;
	if (in_repair(sk))
		e->flags = OUTCOME_REPAIR;
	return e;
}

/* @seen: it happens now. Otherwise it was missed, and its time is not known. */
static __always_inline void established_emit(struct sock *sk, struct socket_state *s, bool seen)
{
	struct event_outcome *e = tcp_outcome(sk, s, TCP_SYN_SENT, TCP_ESTABLISHED);

	if (!e)
		return;
	if (seen)
		e->latency_ns = e->header.boottime_ns - s->attempt_ns;
	event_submit(e);
}

static __always_inline void failed_emit(struct sock *sk, struct socket_state *s, int from)
{
	struct event_outcome *e = tcp_outcome(sk, s, from, TCP_CLOSE);

	if (!e)
		return;
	e->latency_ns = e->header.boottime_ns - s->attempt_ns;
	e->error = error_is_own(sk, s) ? sk->sk_err : 0;
	e->error_soft = sk->sk_err_soft == s->stale_error_soft ? 0 : sk->sk_err_soft;
	event_submit(e);
}

/* SYN and FIN count as a byte each in the kernel's figures. */
static __always_inline void close_bytes(struct event_close *e, struct sock *sk, int from)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	__u64 fin;

	if (!tp)
		return;
	fin = (from == TCP_FIN_WAIT1 || from == TCP_FIN_WAIT2 || from == TCP_CLOSING ||
	       from == TCP_LAST_ACK) &&
	      tp->snd_una == tp->write_seq;
	e->bytes_sent = tp->bytes_acked;
	e->bytes_sent -= e->bytes_sent < 1 + fin ? e->bytes_sent : 1 + fin;
	e->bytes_received = tp->bytes_received;
	if (e->bytes_received && (sk->__sk_common.skc_flags & (1ul << SOCK_DONE)))
		e->bytes_received--;
}

static __always_inline void close_emit(struct sock *sk, struct socket_state *s, int from, int to)
{
	struct event_close *e = close_reserve(s, s->connection, s->attempt_ns, EMIT_SOFTIRQ);

	if (!e)
		return;
	close_bytes(e, sk, from);
	e->error = sk->sk_err;
	e->error_soft = sk->sk_err_soft;
	e->from = from;
	e->to = to;
	e->shutdown = sk->sk_shutdown;
	if (in_repair(sk))
		e->flags = OUTCOME_REPAIR;
	event_submit(e);
}

/*
 * A tagged opener's socket is connected by a task without a tag, whose connect hook let it pass.
 */
static __always_inline void foreign_emit(struct sock *sk, struct socket_state *s)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 sequence = sequence_next();
	struct event_connect *e;

	__builtin_memset(&s->actor, 0, sizeof(s->actor));
	s->actor.tgid = bpf_get_current_pid_tgid() >> 32;
	s->actor.start_boottime = BPF_CORE_READ(task, group_leader, start_boottime);
	s->actor.exec_seq = BPF_CORE_READ(task, self_exec_id);
	s->connection = connection_id(sequence);
	s->cookie = bpf_get_socket_cookie(sk);
	s->attempt_ns = bpf_ktime_get_boot_ns();
	s->protocol = sk->sk_protocol;

	e = event_reserve(EVENT_CONNECT, sizeof(*e), sequence, EMIT_TASK);
	if (!e)
		return;
	e->header.actor = s->actor;
	e->connection = s->connection;
	e->cookie = s->cookie;
	e->opener = s->opener;
	sock_address(&e->reached, sk, true);
	sock_address(&e->local, sk, false);
	current_euid(&e->uid, &e->gid);
	e->sock_type = sk->sk_type;
	e->protocol = sk->sk_protocol;
	e->flags = CONNECT_FOREIGN | CONNECT_OPENER;
	event_submit(e);
}

/*
 * In the context of whoever connects. One that has no tag met no hook of ours: an attempt that is
 * kept yet was another's, and came to nothing.
 */
static __always_inline bool is_of_another(const struct socket_state *s)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	return s->phase == PHASE_ATTEMPTED && s->actor.tgid != tgid && !tag_of_current(&tgid);
}

static __always_inline int attempt_begins(struct sock *sk, struct socket_state *s)
{
	if (is_of_another(s))
		attempt_over(s, OUTCOME_REUSED);
	if (!phase_claim(s, PHASE_ATTEMPTED, PHASE_SYN)) {
		if (!s->opener.session || !phase_claim(s, PHASE_NONE, PHASE_SYN))
			return 0;
		foreign_emit(sk, s);
	}
	sock_address(&s->connected, sk, true);
	s->segments = segments_out(sk);
	s->stale_error = sk->sk_err;
	s->stale_error_soft = sk->sk_err_soft;
	return 0;
}

/*
 * The kernel skips a program that is already running on the CPU, so each state may be the first
 * that is seen.
 */
static __always_inline int tcp_state_changed(struct sock *sk, struct socket_state *s, int from,
					     int to)
{
	bool before = from == TCP_CLOSE || from == TCP_SYN_SENT || from == TCP_SYN_RECV;

	if (sk->sk_protocol != IPPROTO_TCP || from == TCP_LISTEN)
		return 0;
	if (from == TCP_CLOSE)
		return to == TCP_SYN_SENT ? attempt_begins(sk, s) : 0;

	if ((!before || to == TCP_ESTABLISHED) &&
	    (phase_claim(s, PHASE_SYN, PHASE_ESTABLISHED) ||
	     phase_claim(s, PHASE_ATTEMPTED, PHASE_ESTABLISHED)))
		established_emit(sk, s, to == TCP_ESTABLISHED);

	if (to != TCP_CLOSE)
		return 0;
	if (phase_claim(s, PHASE_ESTABLISHED, PHASE_NONE))
		close_emit(sk, s, from, to);
	else if (phase_claim(s, PHASE_SYN, PHASE_NONE) ||
		 phase_claim(s, PHASE_ATTEMPTED, PHASE_NONE))
		failed_emit(sk, s, from);
	return 0;
}

/* The subflow of an MPTCP socket listens, too: that is told. */
static __always_inline bool listens_unheard(struct sock *sk)
{
	return sk->sk_protocol == IPPROTO_SCTP ||
	       (!granted_listen && sk->sk_protocol != IPPROTO_MPTCP);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, struct sock *sk, int from, int to)
{
	struct socket_state *s;

	if (to == TCP_LISTEN)
		return listens_unheard(sk) ? listening_emit(sk) : 0;
	s = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	return s ? tcp_state_changed(sk, s, from, to) : 0;
}
