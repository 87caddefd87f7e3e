// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * boottime: CLOCK_BOOTTIME as the events have it, run by BPF_PROG_RUN. What clock_gettime(2) says
 * is shifted in a time namespace.
 */
#include "kernel.h"
#include "orders.h"

SEC("syscall")
int on_boottime(struct boottime *ctx)
{
	ctx->ns = bpf_ktime_get_boot_ns();
	return 0;
}
