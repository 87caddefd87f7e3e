// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * live: the connections of all sockets that there are, and their cookies. One that user space knows
 * of and that is not among them had its end, whether or not that was told.
 */
#include "maps.h"

SEC("iter/bpf_sk_storage_map")
int on_live(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct socket_state *s = ctx->value;
	__u64 numbers[3];

	if (!ctx->sk || !s)
		return 0;
	/* A TCP socket can outlive its connection. */
	numbers[0] = s->protocol != IPPROTO_TCP || s->phase != PHASE_NONE ? s->connection : 0;
	numbers[1] = s->first;
	numbers[2] = s->cookie;
	bpf_seq_write(ctx->meta->seq, numbers, sizeof(numbers));
	return 0;
}
