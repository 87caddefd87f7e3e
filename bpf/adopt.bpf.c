// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * adopt: tags processes that run already. User space iterates until nothing is added (a child may
 * come before its parent, or be forked meanwhile).
 */
#include "exec.h"
#include "select.h"
#include "untagged.h"

#define ANCESTORS_MAX 64

/* The pid is another process's by now: the exit of its owner was not seen. */
static __always_inline void drop_left_over(struct task_struct *leader, __u32 tgid)
{
	struct tag *tag = bpf_map_lookup_elem(&tags, &tgid);
	__u64 session;

	if (!tag || tag->start_boottime == leader->start_boottime)
		return;
	session = tag->session;
	if (!bpf_map_delete_elem(&tags, &tgid))
		share_give_tag(session);
}

static __always_inline struct tag *tag_of(struct task_struct *leader, __u32 tgid)
{
	struct tag *tag = bpf_map_lookup_elem(&tags, &tgid);

	return tag && tag->start_boottime == BPF_CORE_READ(leader, start_boottime) ? tag : NULL;
}

/*
 * What takes the process of the scratch's task: the kind of a selector, which is copied to found,
 * or 0. Verified on its own, once: it is called in a loop. It looks the scratch up itself, since
 * what it is handed can't be a map's key on Linux 6.1.
 */
__noinline int running_match(void)
{
	struct control *c = control_get();
	enum selector_kind kind;
	struct selector *found;
	struct scratch *s;
	__u32 zero = 0;

	s = bpf_map_lookup_elem(&scratch_adopt, &zero);
	if (!s || !c)
		return 0;
	found = select_match(s->task, c->selectors, &s->place, &kind);
	if (!found)
		return 0;
	s->found = *found;
	return kind;
}

/*
 * Sessions don't nest: a match below another one belongs to that one's session. Below one that is
 * left alone there is none.
 */
__noinline int ancestor_selected(struct scratch *s)
{
	struct task_struct *task;

	if (!s)
		return 0;
	task = s->task;
	for (int i = 0; i < ANCESTORS_MAX; i++) {
		struct task_struct *leader = BPF_CORE_READ(task, real_parent, group_leader);

		if (!leader || leader == task)
			return 0;
		if (tag_of(leader, BPF_CORE_READ(leader, tgid)))
			return 1;
		s->task = leader;
		if (running_match() && !(s->found.flags & SELECTOR_EXEC_ONLY))
			return 1;
		task = leader;
	}
	return 0;
}

static __always_inline bool adopt_matching(struct adopt *a, struct task_struct *task,
					   struct scratch *s, struct tag *ret, __u32 *ret_flags)
{
	int kind;

	bpf_core_read(&s->task, sizeof(s->task), &task->group_leader);
	kind = running_match();
	if (!kind)
		return false;
	if (s->found.flags & SELECTOR_EXEC_ONLY) {
		a->skipped++;
		return false;
	}
	select_tag(&s->found, task, ret);
	if (ancestor_selected(s))
		return false;
	/* The process may have had its mm->exe_file point there (PR_SET_MM_MAP). */
	if (kind == SELECT_EXE)
		*ret_flags = EXEC_BY_EXE;
	return true;
}

static __always_inline bool adopt_descendant(struct task_struct *task, struct tag *ret)
{
	struct task_struct *parent = task->real_parent->group_leader;
	struct tag *from = tag_of(parent, parent->tgid) ?: untagged_of(parent);

	if (!from)
		return false;
	*ret = *from;
	return true;
}

/* One that found no room before is of that session, and nobody else's. */
static __always_inline bool adopt_wanted(struct adopt *a, struct task_struct *task,
					 struct scratch *s, struct tag *ret, __u32 *ret_flags)
{
	struct tag *without = untagged_of(task);

	if (without) {
		*ret = *without;
		return a->mode != ADOPT_ONE || ret->session == a->tag.session;
	}
	if (a->mode == ADOPT_MATCHING)
		return adopt_matching(a, task, s, ret, ret_flags);
	if (a->mode == ADOPT_DESCENDANTS)
		return adopt_descendant(task, ret);
	*ret = a->tag;
	return a->mode == ADOPT_ONE;
}

/*
 * Before it has its tag: what it does between that and the word of it is told first, and of a
 * session that nobody knows yet.
 */
static __always_inline void adopt_describe(struct task_struct *task, struct scratch *s,
					   const struct tag *tag, __u32 tgid, __u32 flags)
{
	header_set_actor(&s->exec.header, tgid, tag);
	exec_describe(s, task);
	/* Its environment it may have rewritten by now. */
	s->exec.flags |= flags | EXEC_ENVIRONMENT_CUT;
	s->exec.selector = tag->selector;
}

static __always_inline void adopt_emit(struct scratch *s)
{
	__u64 sequence = sequence_next();

	if (!ring_has_room(EMIT_TASK)) {
		loss_count(EVENT_ADOPT);
		unseen_mark(s->exec.header.actor.session);
		return;
	}
	exec_emit(s, EVENT_ADOPT, sequence);
}

/*
 * A process whose last thread passes its exit hook between the check and the insertion would keep
 * its tag for good; whoever finds 'live' at 0 after the insertion removes it.
 */
static __always_inline int adopt_insert(struct task_struct *task, const struct tag *tag, __u32 tgid)
{
	long err = tag_insert(tgid, tag);

	if (err)
		return err == -EEXIST ? err : -ENOSPC;
	if (task->signal->live.counter)
		return 0;
	if (!bpf_map_delete_elem(&tags, &tgid))
		share_give_tag(tag->session);
	return -ESRCH;
}

/*
 * What it executed between the look at it and its tag, no hook told. While it executes the hook can
 * be yet to come, and tells of it.
 */
static __always_inline void adopt_executed(struct task_struct *task, const struct tag *tag,
					   __u32 tgid)
{
	__u32 now = task->self_exec_id;
	struct tag *found;

	if (now == tag->exec_seq)
		return;
	found = bpf_map_lookup_elem(&tags, &tgid);
	if (found && found->start_boottime == tag->start_boottime)
		__sync_val_compare_and_swap(&found->exec_seq, tag->exec_seq, now);
	unseen_mark(tag->session);
	if (!BPF_CORE_READ_BITFIELD_PROBED(task, in_execve))
		loss_count(EVENT_EXEC);
}

/* Who asked for one process hears of it; of all others the word goes out. */
static __always_inline void adopt_failed(struct adopt *a, struct task_struct *task, struct tag *tag)
{
	if (a->mode == ADOPT_ONE)
		return;
	a->left++;
	untagged_begin_running(task, tag);
}

/* A further thread: it may take its process's first one's place by an exec. */
static __always_inline void keep_with_thread(struct task_struct *task)
{
	struct tag *tag = bpf_task_storage_get(&untagged, task->group_leader, 0, 0);

	if (tag && !bpf_task_storage_get(&untagged, task, 0, 0))
		untagged_keep(task, tag);
}

SEC("iter/task")
int on_adopt(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct tag tag = {};
	__u32 zero = 0, flags = 0, tgid;
	struct scratch *s;
	struct adopt *a;

	a = bpf_map_lookup_elem(&adopt, &zero);
	s = bpf_map_lookup_elem(&scratch_adopt, &zero);
	if (!task || !a || !s)
		return 0;
	tgid = task->tgid;
	if ((__u32)task->pid != tgid)
		keep_with_thread(task);
	if ((__u32)task->pid != tgid || (a->mode == ADOPT_ONE && tgid != a->tgid))
		return 0;
	if (task->flags & PF_KTHREAD || !task->signal->live.counter)
		return 0;
	drop_left_over(task, tgid);
	if (tag_of(task, tgid)) {
		a->error = -EEXIST;
		return 0;
	}
	if (!adopt_wanted(a, task, s, &tag, &flags)) {
		if (a->mode == ADOPT_ONE)
			a->error = -EEXIST;
		return 0;
	}
	tag.start_boottime = task->start_boottime;
	tag.exec_seq = task->self_exec_id;
	tag.spare[0] = 0;
	if (a->mode != ADOPT_ONE && !share_has_tag(tag.session)) {
		adopt_failed(a, task, &tag);
		return 0;
	}
	adopt_describe(task, s, &tag, tgid, flags);
	a->error = adopt_insert(task, &tag, tgid);
	if (a->error == -ENOSPC)
		adopt_failed(a, task, &tag);
	if (a->error)
		return 0;
	a->added++;
	adopt_emit(s);
	adopt_executed(task, &tag, tgid);
	return 0;
}
