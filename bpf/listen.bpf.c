// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * listen: after listen(2) of TCP, when it went well and has its port. At the change of state, which
 * comes first, a socket that was not bound has none yet, and the kernel may still refuse.
 */
#include "listen.h"

SEC("fexit/inet_csk_listen_start")
int BPF_PROG(on_listen, struct sock *sk)
{
	return sk->__sk_common.skc_state == TCP_LISTEN ? listening_emit(sk) : 0;
}
