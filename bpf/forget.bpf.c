// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* forget: entries of 'flows' that no socket's end takes with it. */
#include "flows.h"

/* For user space, of what is linked to no socket, or to one that is no more. */
SEC("syscall")
int on_forget(struct flow_key *ctx)
{
	struct flow_key key = *ctx;
	struct flow flow;

	return flow_remove(&key, &flow);
}
