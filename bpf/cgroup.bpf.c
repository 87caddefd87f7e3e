// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * cgroup: whose a cgroup is, known before anybody can enter it. Its state follows from its
 * parent's, its own name and who can have made it.
 */
#include "emit.h"
#include "match.h"

#define ALL_BUT_OWNER_WRITE 022

/* The userspace walk asks the same of the directory (cgroups.c). */
static __always_inline bool only_root_makes(struct cgroup *parent)
{
	struct kernfs_iattrs *attributes = BPF_CORE_READ(parent, kn, iattr);

	return !(BPF_CORE_READ(parent, kn, mode) & ALL_BUT_OWNER_WRITE) &&
	       (!attributes || !BPF_CORE_READ(attributes, ia_uid.val));
}

/* Of the pattern @n: 1 when the cgroup matches it. */
__noinline int made_by_pattern(struct cgroup_made *m, __u32 n)
{
	__u32 key = n;
	struct pattern *p;

	if (!m || n >= PATTERNS_MAX || !(m->parent.alive >> n & 1))
		return 0;
	p = bpf_map_lookup_elem(&patterns, &key);
	if (!p)
		return 0;
	/* The compiler reads it again from where the verifier does not know it any more. */
	asm volatile("" : "+r"(n));
	n &= PATTERNS_MAX - 1;
	m->step.from = m->parent.at[n];
	pattern_step(p, &m->step);
	if (pattern_matched(p, &m->step)) {
		m->state.selector.id = p->selector;
		m->state.selector.flags = p->flags;
		return 1;
	}
	m->state.at[n] = m->step.to;
	if (m->step.to)
		m->state.alive |= 1ull << n;
	return 0;
}

/* The first pattern that matches has it. */
static __always_inline void made_by_patterns(struct cgroup_made *m)
{
	for (__u32 n = 0; n < PATTERNS_MAX; n++) {
		if (!made_by_pattern(m, n))
			continue;
		m->state.alive = 0;
		m->state.selector.session =
			((__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32()) | 1;
		__builtin_memset(m->state.at, 0, sizeof(m->state.at));
		return;
	}
}

/* A user who may make cgroups below one that is looked for may not take the room of the others. */
static __always_inline long state_insert(struct control *c, __u64 id,
					 const struct cgroup_state *state)
{
	long err;

	if (state->by_others && c->cgroups_of_others >= CGROUPS_OF_OTHERS_MAX)
		return -ENOSPC;
	err = bpf_map_update_elem(&cgroups, &id, state, BPF_NOEXIST);
	if (!err && state->by_others)
		__sync_fetch_and_add(&c->cgroups_of_others, 1);
	return err;
}

static __always_inline int cgroup_made(struct cgroup *cgroup)
{
	/* 'self' is the first member */
	struct cgroup *parent = (void *)BPF_CORE_READ(cgroup, self.parent);
	__u64 id = BPF_CORE_READ(cgroup, kn, id), parent_id = BPF_CORE_READ(parent, kn, id);
	struct cgroup_state *above = bpf_map_lookup_elem(&cgroups, &parent_id);
	struct control *c = control_get();
	struct cgroup_made *m;
	__u64 generation;
	__u32 zero = 0;
	long len, err;

	m = bpf_map_lookup_elem(&scratch_cgroup, &zero);
	if (!above || !c || !m)
		return 0;
	/* Once: what is made of half-changed patterns must not count as of the new ones. */
	generation = *(volatile __u64 *)&c->generation;
	if (above->generation != generation)
		return 0;
	m->parent = *above;
	__builtin_memset(&m->state, 0, sizeof(m->state));
	m->state.generation = generation;
	m->state.selector = above->selector;
	m->step.by_root = only_root_makes(parent);
	m->state.by_others = !m->step.by_root;
	if (!above->selector.session) {
		len = bpf_probe_read_kernel_str(m->step.name, sizeof(m->step.name),
						BPF_CORE_READ(cgroup, kn, name));
		m->step.len = len > 0 ? len - 1 : 0;
		made_by_patterns(m);
	}
	if (!m->state.alive && !m->state.selector.session)
		return 0;
	err = state_insert(c, id, &m->state);
	if (err && err != -EEXIST) { /* that is: the walk came first */
		loss_count(LOSS_CGROUP);
		c->cgroups_lost = 1;
	}
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_mkdir, struct cgroup *cgroup)
{
	return cgroup_made(cgroup);
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_rmdir, struct cgroup *cgroup)
{
	__u64 id = BPF_CORE_READ(cgroup, kn, id);
	struct cgroup_state *state = bpf_map_lookup_elem(&cgroups, &id);
	struct control *c = control_get();
	bool by_others;

	if (!state || !c)
		return 0;
	by_others = state->by_others;
	if (!bpf_map_delete_elem(&cgroups, &id) && by_others)
		__sync_fetch_and_sub(&c->cgroups_of_others, 1);
	return 0;
}
