// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * adopt: tags processes that run already. User space iterates until nothing is added (a child may
 * come before its parent, or be forked meanwhile).
 */
#include "exec.h"
#include "select.h"

#define ANCESTORS_MAX 64

static __always_inline struct tag *tag_of(struct task_struct *leader, __u32 tgid)
{
	struct tag *tag = bpf_map_lookup_elem(&tags, &tgid);

	return tag && tag->start_boottime == BPF_CORE_READ(leader, start_boottime) ? tag : NULL;
}

/* Sessions don't nest: a match below another one belongs to that one's session. */
__noinline int ancestor_selected(struct scratch *s)
{
	struct control *c = control_get();
	struct task_struct *task;

	if (!s || !c)
		return 0;
	task = s->task;
	for (int i = 0; i < ANCESTORS_MAX; i++) {
		struct task_struct *leader = BPF_CORE_READ(task, real_parent, group_leader);

		if (!leader || leader == task)
			return 0;
		if (tag_of(leader, BPF_CORE_READ(leader, tgid)) ||
		    select_match(leader, c->selectors))
			return 1;
		task = leader;
	}
	return 0;
}

static __always_inline bool adopt_matching(struct task_struct *task, struct scratch *s,
					   struct tag *ret)
{
	struct control *c = control_get();
	struct selector *found = c ? select_match(task, c->selectors) : NULL;

	if (!found)
		return false;
	bpf_core_read(&s->task, sizeof(s->task), &task->group_leader);
	if (ancestor_selected(s))
		return false;
	select_tag(found, task, ret);
	return true;
}

static __always_inline bool adopt_descendant(struct task_struct *task, struct tag *ret)
{
	struct task_struct *parent = BPF_CORE_READ(task, real_parent, group_leader);
	struct tag *from = tag_of(parent, BPF_CORE_READ(parent, tgid));

	if (!from)
		return false;
	*ret = *from;
	return true;
}

static __always_inline bool adopt_wanted(struct adopt *a, struct task_struct *task,
					 struct scratch *s, struct tag *ret)
{
	if (a->mode == ADOPT_MATCHING)
		return adopt_matching(task, s, ret);
	if (a->mode == ADOPT_DESCENDANTS)
		return adopt_descendant(task, ret);
	*ret = a->tag;
	return true;
}

static __always_inline void adopt_emit(struct task_struct *task, struct scratch *s,
				       const struct tag *tag, __u32 tgid)
{
	__u64 sequence = sequence_next();

	if (!ring_has_room(EMIT_TASK)) {
		loss_count(EVENT_ADOPT);
		return;
	}
	actor_set(&s->exec.header.actor, tgid, tag);
	exec_describe(s, task);
	s->exec.flags |= EXEC_ENVIRONMENT_CUT; /* it may have rewritten it by now */
	s->exec.selector = tag->selector;
	exec_emit(s, EVENT_ADOPT, sequence);
}

/*
 * A process whose last thread passes its exit hook between the check and the insertion would keep
 * its tag for good; whoever finds 'live' at 0 after the insertion removes it.
 */
static __always_inline int adopt_insert(struct task_struct *task, const struct tag *tag, __u32 tgid)
{
	long err = tag_insert(tgid, tag);

	if (err == -EEXIST)
		return err;
	if (err) {
		loss_count(LOSS_TAG);
		return -ENOSPC;
	}
	if (task->signal->live.counter)
		return 0;
	bpf_map_delete_elem(&tags, &tgid);
	return -ESRCH;
}

SEC("iter/task")
int on_adopt(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct tag tag = {};
	__u32 zero = 0, tgid;
	struct scratch *s;
	struct adopt *a;

	a = bpf_map_lookup_elem(&adopt, &zero);
	s = bpf_map_lookup_elem(&scratch_adopt, &zero);
	if (!task || !a || !s)
		return 0;
	tgid = task->tgid;
	if ((__u32)task->pid != tgid || (a->mode == ADOPT_ONE && tgid != a->tgid))
		return 0;
	if (task->flags & PF_KTHREAD || !task->signal->live.counter)
		return 0;
	if (tag_of(task, tgid)) {
		a->error = -EEXIST;
		return 0;
	}
	if (!adopt_wanted(a, task, s, &tag))
		return 0;
	tag.start_boottime = task->start_boottime;
	tag.exec_seq = task->self_exec_id;
	a->error = adopt_insert(task, &tag, tgid);
	if (a->error)
		return 0;
	a->added++;
	adopt_emit(task, s, &tag, tgid);
	return 0;
}
