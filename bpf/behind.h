/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * behind: programs of others at the same hook. Those of one cgroup run in the order in which they
 * were attached, the root's last: what comes behind ours can still rewrite the address or refuse,
 * and we don't see it. It would be no help to attach anew: so could they.
 */
#pragma once

#include "kernel.h"

/*
 * In a cgroup program: whether another one runs after this one. The kernel notes with the task how
 * far it is in the array of programs, which ends with NULL. Where that can't be read, there may be
 * one.
 */
static __always_inline bool others_behind(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct bpf_cg_run_ctx *run = NULL;
	void *item, *next = NULL;

	if (!bpf_core_field_exists(task->bpf_ctx) || !bpf_core_field_exists(run->prog_item))
		return true;
	run = (void *)BPF_CORE_READ(task, bpf_ctx);
	item = (void *)BPF_CORE_READ(run, prog_item);
	item += bpf_core_type_size(struct bpf_prog_array_item);
	return bpf_core_read(&next, sizeof(next), &((struct bpf_prog_array_item *)item)->prog) ||
	       next;
}
