// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* process: a tag goes to every process that a tagged one makes, and ends with its last thread. */
#include "emit.h"
#include "task.h"

static __always_inline void fork_emit(__u16 type, struct task_struct *child, const struct tag *tag,
				      const struct tag *parent, __u32 parent_tgid)
{
	struct event_fork *e;

	e = event_reserve(type, sizeof(*e), sequence_next(), EMIT_TASK);
	if (!e)
		return;
	actor_set(&e->header.actor, child->tgid, tag);
	e->parent_start = parent->start_boottime;
	e->parent_tgid = parent_tgid;
	e->parent_exec_seq = parent->exec_seq;
	event_submit(e);
}

static __always_inline int process_forked(struct task_struct *parent, struct task_struct *child)
{
	__u32 parent_tgid = parent->tgid, tgid = child->tgid;
	struct tag *from, tag;
	long err;

	if (tgid == parent_tgid) /* a thread: it has its process's tag */
		return 0;
	from = bpf_map_lookup_elem(&tags, &parent_tgid);
	if (!from || from->start_boottime != parent->group_leader->start_boottime)
		return 0;

	tag = *from;
	tag.start_boottime = child->start_boottime;
	tag.exec_seq = child->self_exec_id;
	err = tag_insert(tgid, &tag);
	if (err == -EEXIST)
		return 0; /* the iterator was faster, and told of it */
	if (err) {
		loss_count(LOSS_TAG);
		unseen_mark(tag.session);
	}
	fork_emit(err ? EVENT_TAG_LOST : EVENT_FORK, child, &tag, from, parent_tgid);
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
 * Several threads that exit at once all find nobody left alive. The one that removes the tag tells.
 */
static __always_inline int process_exiting(struct task_struct *task)
{
	__u32 tgid = task->tgid;
	struct event_exit *e;
	struct tag *found, tag;

	if (task->signal->live.counter)
		return 0;
	found = bpf_map_lookup_elem(&tags, &tgid);
	if (!found)
		return 0;
	tag = *found;
	if (bpf_map_delete_elem(&tags, &tgid))
		return 0;
	if (tag.start_boottime != task->group_leader->start_boottime)
		return 0; /* left over from an earlier process of this pid */

	e = event_reserve(EVENT_EXIT, sizeof(*e), sequence_next(), EMIT_TASK);
	if (!e)
		return 0;
	actor_set(&e->header.actor, tgid, &tag);
	e->status = exit_status(task);
	event_submit(e);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	return process_exiting(task);
}
