/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* forget: a socket ends, and with it what 'flows' has of it. */
#pragma once

#include "flows.h"

static long forget_destination(__u32 i, void *data)
{
	struct flow_key *key = data;
	struct flow flow;

	if (flow_remove(key, &flow))
		return 1;
	key->to = flow.next;
	key->tgid = flow.next_tgid;
	return !key->to.family;
}

static long forget_sender(__u32 i, void *data)
{
	struct flow_key *key = data;
	struct flow flow;

	if (flow_remove(key, &flow))
		return 1;
	key->tgid = flow.next_tgid;
	return !key->tgid;
}

/* What this leaves, user space finds: all of it where there is no bpf_loop(). */
static __always_inline void forget_flows(const struct socket_state *s)
{
	struct flow_key key = {.cookie = s->cookie};

	if (!granted_loop)
		return;
	if (s->others_tgid) {
		key.to = s->others;
		key.tgid = s->others_tgid;
		bpf_loop(EVENT_FLOWS_MAX, forget_destination, &key, 0);
	}
	if (s->senders) {
		__builtin_memset(&key.to, 0, sizeof(key.to));
		key.tgid = s->senders;
		bpf_loop(EVENT_FLOWS_MAX, forget_sender, &key, 0);
	}
}
