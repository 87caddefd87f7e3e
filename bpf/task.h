/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* task: processes and their tags. */
#pragma once

#include "share.h"

static __always_inline void actor_set(struct event_actor *a, __u32 tgid, const struct tag *tag)
{
	a->session = tag->session;
	a->start_boottime = tag->start_boottime;
	a->tgid = tgid;
	a->exec_seq = tag->exec_seq;
	a->task = tag->task;
	a->flags = tag->flags;
}

/* Who acts, and which selector took it: each event says so, the one that told of it may be lost. */
static __always_inline void header_set_actor(struct event_header *h, __u32 tgid,
					     const struct tag *tag)
{
	actor_set(&h->actor, tgid, tag);
	h->selector = tag->flags & TAG_SELECTED ? tag->selector + 1 : 0;
}

/* The very process, since its last exec. */
static __always_inline bool actor_is(const struct event_actor *a, __u32 tgid, const struct tag *tag)
{
	return a->tgid == tgid && a->start_boottime == tag->start_boottime &&
	       a->exec_seq == tag->exec_seq;
}

/*
 * The tag of the process that runs, or NULL. A tag that outlived its process (its exit was never
 * seen) must not pass to the next owner of the pid.
 */
static __always_inline struct tag *tag_of_current(__u32 *ret_tgid)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct tag *tag = bpf_map_lookup_elem(&tags, &tgid);
	struct task_struct *task;

	if (!tag)
		return NULL;
	task = (void *)bpf_get_current_task();
	if (BPF_CORE_READ(task, group_leader, start_boottime) != tag->start_boottime)
		return NULL;
	*ret_tgid = tgid;
	return tag;
}

/*
 * 0; -EEXIST: the process has its tag already, since the fork hook and the iterator may both come
 * to it; other errors: its session has its share, or the map is full. A tag left over from an
 * earlier process of the pid goes.
 */
static __always_inline long tag_insert(__u32 tgid, const struct tag *tag)
{
	struct tag *old = bpf_map_lookup_elem(&tags, &tgid);
	__u64 left_over;
	long err;

	if (old && old->start_boottime == tag->start_boottime)
		return -EEXIST;
	left_over = old ? old->session : 0;
	if (old && !bpf_map_delete_elem(&tags, &tgid))
		share_give_tag(left_over);
	if (!share_take_tag(tag->session))
		return -ENOSPC;
	err = bpf_map_update_elem(&tags, &tgid, tag, BPF_NOEXIST);
	if (err)
		share_give_tag(tag->session);
	return err;
}

/* Effective ids of the process that runs; bpf_get_current_uid_gid() has the real ones. */
static __always_inline void current_euid(__u32 *ret_uid, __u32 *ret_gid)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	const struct cred *cred = BPF_CORE_READ(task, cred);

	*ret_uid = BPF_CORE_READ(cred, euid.val);
	*ret_gid = BPF_CORE_READ(cred, egid.val);
}
