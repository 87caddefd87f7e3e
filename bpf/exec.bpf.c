// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* exec: a tagged process runs another image, or an untagged one matches a selector. */
#include "exec.h"
#include "select.h"
#include "untagged.h"

/* The components of s->path, from the leaf to the process's root: behind s->data's used bytes. */
__noinline int path_append(struct scratch *s)
{
	if (s && path_walk(&s->path, &s->root, s->data, EVENT_DATA_MAX, &s->used))
		s->exec.flags |= EXEC_PATH_CUT;
	return 0;
}

/*
 * The argv that the kernel laid out just now; the process has not run an instruction of its own
 * yet.
 */
static __always_inline void exec_argv(struct scratch *s, struct task_struct *task)
{
	unsigned long start = task->mm->arg_start, total = task->mm->arg_end - start;
	__u32 at = s->used, len = total > EVENT_ARGV_MAX ? EVENT_ARGV_MAX : total;

	s->exec.argv_total = total;
	if (at > EVENT_DATA_MAX - EVENT_ARGV_MAX ||
	    bpf_probe_read_user(s->data + at, len, (void *)start)) {
		s->exec.flags |= EXEC_ARGV_CUT;
		return;
	}
	if (total > EVENT_ARGV_MAX)
		s->exec.flags |= EXEC_ARGV_CUT;
	s->exec.argv_len = len;
	s->used = at + len;
}

static __always_inline void exec_environment(struct event_exec *to, struct task_struct *task)
{
	__u32 zero = 0;
	struct environment *e = bpf_map_lookup_elem(&scratch_environment, &zero);

	if (!e)
		return;
	e->begin = task->mm->env_start;
	e->end = task->mm->env_end;
	environment_scan(e);
	to->environment[0] = e->found[0];
	to->environment[1] = e->found[1];
	if (e->cut)
		to->flags |= EXEC_ENVIRONMENT_CUT;
}

/* An untagged process execs and a selector is configured. */
static __always_inline struct tag *exec_select(struct task_struct *task, __u32 tgid, __u32 *flags)
{
	struct control *c = control_get();
	enum selector_kind kind;
	struct scratch *scratch;
	struct tag tag = {};
	struct selector *s;
	__u32 zero = 0;
	long err;

	if (!c || !c->selectors)
		return NULL;
	scratch = bpf_map_lookup_elem(&scratch_exec, &zero);
	s = scratch ? select_match(task, c->selectors, &scratch->place, &kind) : NULL;
	if (!s)
		return NULL;
	select_tag(s, task, &tag);
	err = tag_insert(tgid, &tag);
	if (err && err != -EEXIST) { /* that is: the iterator came first */
		untagged_begin_running(task, &tag);
		return NULL;
	}
	if (!err)
		*flags = EXEC_SELECTED | (kind == SELECT_EXE ? EXEC_BY_EXE : 0);
	return bpf_map_lookup_elem(&tags, &tgid);
}

/* One that found no room before: there may be some now. It is of no other session meanwhile. */
static __always_inline struct tag *exec_again(struct task_struct *task, __u32 tgid,
					      const struct tag *without)
{
	struct tag tag = *without;
	long err;

	tag.spare[0] = 0;
	err = tag_insert(tgid, &tag);
	if (!err || err == -EEXIST)
		return bpf_map_lookup_elem(&tags, &tgid);
	unseen_mark(tag.session);
	return NULL;
}

static __always_inline int process_execed(struct task_struct *task, struct linux_binprm *bprm)
{
	__u32 tgid = task->tgid, zero = 0, flags = 0;
	struct tag *tag = bpf_map_lookup_elem(&tags, &tgid), *without;
	struct scratch *s;
	__u64 sequence;

	if (tag && tag->start_boottime != task->group_leader->start_boottime)
		tag = NULL;
	if (!tag) {
		without = untagged_of(task);
		tag = without ? exec_again(task, tgid, without) : exec_select(task, tgid, &flags);
	}
	if (!tag)
		return 0;
	tag->exec_seq = task->self_exec_id;

	sequence = sequence_next();
	s = bpf_map_lookup_elem(&scratch_exec, &zero);
	if (!s || !ring_has_room(EMIT_TASK)) {
		loss_count(EVENT_EXEC);
		unseen_mark(tag->session);
		return 0;
	}
	header_set_actor(&s->exec.header, tgid, tag);
	exec_describe(s, task);
	s->exec.flags |= flags;
	begin_describe(s);
	if (BPF_CORE_READ_BITFIELD(bprm, secureexec))
		s->exec.flags |= EXEC_SETUID;
	s->exec.selector = tag->selector;
	s->exec.argc = bprm->argc;
	s->exec.filename_len = exec_string(s, bprm->filename);
	s->exec.interp_len = exec_string(s, bprm->interp);
	exec_argv(s, task);
	exec_environment(&s->exec, task);
	exec_emit(s, EVENT_EXEC, sequence);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	return process_execed(task, bprm);
}
