/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * untagged: processes of a session that found no room among the tags. Each keeps with its task what
 * its tag would be, and so does what it makes: none is lost from sight, wherever its parents end.
 */
#pragma once

#include "share.h"
#include "task.h"

/* Of @task's process, tagged since or not; NULL: it always had its tag, or is of no session. */
static __always_inline struct tag *untagged_of(struct task_struct *task)
{
	struct tag *tag = bpf_task_storage_get(&untagged, task->group_leader, 0, 0);

	/* Threads have it, too: one that executes takes the leader's place. */
	return tag ?: bpf_task_storage_get(&untagged, task, 0, 0);
}

static __always_inline void untagged_keep(struct task_struct *task, struct tag *tag)
{
	bpf_task_storage_get(&untagged, task, tag, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

/* The word of it may be lost: its session must be known for it in any case. */
static __always_inline void untagged_mark(__u64 session)
{
	struct share *s = share_of(session);
	struct control *c = control_get();

	loss_count(LOSS_TAG);
	unseen_mark(session);
	if (s)
		__sync_fetch_and_or(&s->flags, SHARE_UNTAGGED);
	else if (c)
		c->untagged_unknown = 1;
	if (c)
		__sync_fetch_and_add(&c->untagged, 1);
}

/* The process of @task, a leader, is left without @tag. Told once. */
static __always_inline void untagged_begin(struct task_struct *task, struct tag *tag,
					   __u64 parent_start, __u32 parent_tgid,
					   __u32 parent_exec_seq)
{
	struct event_untagged *e;

	if (bpf_task_storage_get(&untagged, task, 0, 0))
		return;
	untagged_keep(task, tag);
	untagged_mark(tag->session);
	e = event_reserve(EVENT_TAG_LOST, sizeof(*e), sequence_next(), EMIT_TASK);
	if (!e)
		return;
	header_set_actor(&e->header, task->tgid, tag);
	e->parent_start = parent_start;
	e->parent_tgid = parent_tgid;
	e->parent_exec_seq = parent_exec_seq;
	e->selector = tag->selector;
	event_submit(e);
}

/* Likewise, of one that runs already. */
static __always_inline void untagged_begin_running(struct task_struct *task, struct tag *tag)
{
	struct task_struct *parent = task->real_parent;

	untagged_begin(task, tag, parent->group_leader->start_boottime, parent->tgid,
		       parent->self_exec_id);
}

/* Several threads can see the last one go: the first that asks tells of it. */
static __always_inline bool untagged_claim_exit(struct tag *tag)
{
	return __sync_val_compare_and_swap(&tag->spare[0], 0, 1) == 0;
}
