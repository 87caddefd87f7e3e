/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* listen: sockets on which a tagged process takes connections. */
#pragma once

#include "socket.h"

/* A socket and its inode are one allocation (include/net/sock.h). */
static __always_inline __u32 socket_inode(struct sock *sk)
{
	void *socket = (void *)BPF_CORE_READ(sk, sk_socket);
	struct inode *inode;

	if (!socket)
		return 0; /* a subflow of MPTCP */
	inode = socket - bpf_core_field_offset(struct socket_alloc, socket) +
		bpf_core_field_offset(struct socket_alloc, vfs_inode);
	return BPF_CORE_READ(inode, i_ino);
}

/* In the task that calls listen(2), under the socket's lock. */
static __always_inline int listening_emit(struct sock *sk)
{
	struct socket_state *s;
	struct event_listen *e;
	struct tag *tag;
	__u32 tgid;

	tag = tag_of_current(&tgid);
	if (!tag)
		return 0;
	e = event_reserve(EVENT_LISTEN, sizeof(*e), sequence_next(), EMIT_TASK);
	if (!e)
		return 0;
	header_set_actor(&e->header, tgid, tag);
	e->cookie = bpf_get_socket_cookie(sk);
	s = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if (s)
		e->opener = s->opener;
	sock_address(&e->local, sk, false);
	current_euid(&e->uid, &e->gid);
	e->sock_type = sk->sk_type;
	e->protocol = sk->sk_protocol;
	e->inode = socket_inode(sk);
	event_submit(e);
	return 0;
}
