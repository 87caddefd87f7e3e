// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* process: a tag goes to every process that a tagged one makes, and ends with its last thread. */
#include "emit.h"
#include "untagged.h"

static __always_inline void fork_emit(struct task_struct *child, const struct tag *tag,
				      struct task_struct *parent)
{
	struct event_fork *e;

	e = event_reserve(EVENT_FORK, sizeof(*e), sequence_next(), EMIT_TASK);
	if (!e)
		return;
	header_set_actor(&e->header, child->tgid, tag);
	e->parent_start = parent->group_leader->start_boottime;
	e->parent_tgid = parent->tgid;
	e->parent_exec_seq = parent->self_exec_id;
	event_submit(e);
}

/* @from: what the parent's tag is, or would be. */
static __always_inline void child_made(struct task_struct *parent, struct task_struct *child,
				       const struct tag *from)
{
	struct tag tag = *from;
	long err;

	tag.start_boottime = child->start_boottime;
	tag.exec_seq = child->self_exec_id;
	tag.spare[0] = 0;
	err = tag_insert(child->tgid, &tag);
	if (!err)
		fork_emit(child, &tag, parent);
	else if (err != -EEXIST) /* that is: the iterator was faster, and told of it */
		untagged_begin(child, &tag, parent->group_leader->start_boottime, parent->tgid,
			       parent->self_exec_id);
}

static __always_inline int process_forked(struct task_struct *parent, struct task_struct *child)
{
	__u32 parent_tgid = parent->tgid;
	bool is_thread = child->tgid == parent->tgid;
	struct tag *from;

	from = bpf_map_lookup_elem(&tags, &parent_tgid);
	if (from && from->start_boottime == parent->group_leader->start_boottime) {
		if (!is_thread) /* it has its process's tag */
			child_made(parent, child, from);
		return 0;
	}
	from = untagged_of(parent);
	if (from && is_thread)
		untagged_keep(child, from);
	else if (from)
		child_made(parent, child, from);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	return process_forked(parent, child);
}

/* As wait(2) tells it: kernel/exit.c, wait_task_zombie(). */
static __always_inline int exit_status(struct task_struct *task)
{
	if (task->signal->flags & SIGNAL_GROUP_EXIT)
		return task->signal->group_exit_code;
	return task->group_leader->exit_code;
}

/*
 * Several threads that exit at once all find nobody left alive. The one that removes the tag tells;
 * of a process that was without one at some time, the one that claims it.
 */
static __always_inline bool exit_claim(struct task_struct *task, struct tag *ret)
{
	struct tag *found, *without = untagged_of(task);
	__u32 tgid = task->tgid;

	if (without && !untagged_claim_exit(without))
		return false;
	found = bpf_map_lookup_elem(&tags, &tgid);
	if (found) {
		*ret = *found;
		if (!bpf_map_delete_elem(&tags, &tgid)) {
			share_give_tag(ret->session);
			/* else left over from an earlier process of this pid */
			if (ret->start_boottime == task->group_leader->start_boottime)
				return true;
		}
	}
	if (!without)
		return false;
	*ret = *without;
	ret->exec_seq = task->self_exec_id;
	return true;
}

static __always_inline int process_exiting(struct task_struct *task)
{
	struct event_exit *e;
	struct tag tag;

	if (task->signal->live.counter || !exit_claim(task, &tag))
		return 0;
	e = event_reserve(EVENT_EXIT, sizeof(*e), sequence_next(), EMIT_TASK);
	if (!e)
		return 0;
	header_set_actor(&e->header, task->tgid, &tag);
	e->status = exit_status(task);
	event_submit(e);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	return process_exiting(task);
}
