/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* select: which processes become an agent's without being told so. */
#pragma once

#include "emit.h"
#include "place.h"

/* What holds of a cgroup holds of all below it: cgroup.bpf.c. */
static __always_inline struct selector *select_cgroup(struct cgroup *cgroup)
{
	__u64 id = BPF_CORE_READ(cgroup, kn, id);
	struct cgroup_state *state = bpf_map_lookup_elem(&cgroups, &id);
	struct control *c = control_get();

	if (!state || !c || state->generation != c->generation || !state->selector.session)
		return NULL;
	return &state->selector;
}

/* @place: room for it. */
static __always_inline struct selector *select_exe(struct file *file,
						   struct selector_exe_key *place)
{
	place_of(file, place);
	return bpf_map_lookup_elem(&selectors_exe, place);
}

/* By cgroup, else by executable, else by (real) user: *@ret_kind says which. */
static __always_inline struct selector *select_match(struct task_struct *task, __u32 kinds,
						     struct selector_exe_key *place,
						     enum selector_kind *ret_kind)
{
	struct selector *s = NULL;
	__u32 uid;

	*ret_kind = SELECT_CGROUP;
	if (kinds & SELECT_CGROUP)
		s = select_cgroup(BPF_CORE_READ(task, cgroups, dfl_cgrp));
	if (!s && (kinds & SELECT_EXE)) {
		*ret_kind = SELECT_EXE;
		s = select_exe(BPF_CORE_READ(task, mm, exe_file), place);
	}
	if (!s && (kinds & SELECT_UID)) {
		*ret_kind = SELECT_UID;
		uid = BPF_CORE_READ(task, cred, uid.val);
		s = bpf_map_lookup_elem(&selectors_uid, &uid);
	}
	return s;
}

/*
 * A session for every match has a key of 63 random bits; the daemon's own keys have the upper bit
 * clear or not, two of them meeting is as unlikely either way.
 */
static __always_inline __u64 select_session(const struct selector *s)
{
	__u64 key = s->session;

	if (!key)
		key = ((__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32()) | 1;
	return key;
}

static __always_inline void select_tag(const struct selector *s, struct task_struct *task,
				       struct tag *ret)
{
	ret->start_boottime = BPF_CORE_READ(task, group_leader, start_boottime);
	ret->session = select_session(s);
	ret->exec_seq = BPF_CORE_READ(task, self_exec_id);
	ret->flags = TAG_SELECTED;
	ret->selector = s->id;
}
