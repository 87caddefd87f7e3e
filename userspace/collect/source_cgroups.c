// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>

#include "affiant.skel.h"
#include "base/clock.h"
#include "collect/source_impl.h"

uint64_t source_patterns(const struct source *s)
{
	return s->control->walked;
}

/*
 * While it is 0 no cgroup gets a state, and what has one counts as having none: never is one
 * derived from patterns that are half the old and half the new.
 */
int source_patterns_set(struct source *s, const struct pattern *const *patterns, uint32_t count,
			uint64_t generation)
{
	struct control *c = s->control;
	int fd = bpf_map__fd(s->skeleton->maps.patterns);

	if (count > PATTERNS_MAX)
		return -E2BIG;
	if (c->generation == generation && generation) /* and the walk was not completed */
		return 0;
	if (c->patterns && !c->unwatched_since)
		c->unwatched_since = clock_ns(CLOCK_BOOTTIME);
	__atomic_store_n(&c->walked, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&c->generation, 0, __ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < count; i++)
		if (bpf_map_update_elem(fd, &i, patterns[i], BPF_ANY))
			return -errno;
	c->patterns = count;
	__atomic_store_n(&c->generation, generation, __ATOMIC_SEQ_CST);
	if (count)
		__atomic_fetch_or(&c->selectors, SELECT_CGROUP, __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(&c->selectors, ~SELECT_CGROUP, __ATOMIC_SEQ_CST);
	return 0;
}

/*
 * What earlier patterns left takes room. And the count of what others made, which may have drifted
 * where ownership changed, is taken anew. The next key is asked for before this one goes: walking
 * starts over at a key that is not there.
 */
static void sweep(struct source *s)
{
	int fd = bpf_map__fd(s->skeleton->maps.cgroups);
	uint64_t generation = s->control->generation, id, next;
	struct cgroup_state state;
	uint32_t of_others = 0;
	int end = bpf_map_get_next_key(fd, NULL, &next);

	while (!end) {
		id = next;
		end = bpf_map_get_next_key(fd, &id, &next);
		if (bpf_map_lookup_elem(fd, &id, &state))
			continue;
		if (state.generation != generation)
			(void)bpf_map_delete_elem(fd, &id);
		else
			of_others += state.by_others;
	}
	s->control->cgroups_of_others = of_others;
}

uint64_t source_patterns_walked(struct source *s)
{
	struct control *c = s->control;
	uint64_t since = c->unwatched_since;

	sweep(s);
	__atomic_store_n(&c->walked, c->generation, __ATOMIC_SEQ_CST);
	c->unwatched_since = 0;
	return since;
}

int source_cgroup_get(struct source *s, uint64_t id, struct cgroup_state *ret)
{
	return bpf_map_lookup_elem(bpf_map__fd(s->skeleton->maps.cgroups), &id, ret) ? -errno : 0;
}

int source_cgroup_put(struct source *s, uint64_t id, const struct cgroup_state *state, bool replace)
{
	int fd = bpf_map__fd(s->skeleton->maps.cgroups);
	uint32_t *of_others = &s->control->cgroups_of_others;

	if (state->by_others && !replace && *of_others >= CGROUPS_OF_OTHERS_MAX)
		return -E2BIG;
	if (bpf_map_update_elem(fd, &id, state, replace ? BPF_EXIST : BPF_NOEXIST))
		return -errno;
	if (state->by_others && !replace)
		__atomic_fetch_add(of_others, 1, __ATOMIC_SEQ_CST);
	return 0;
}

int source_cgroup_drop(struct source *s, uint64_t id)
{
	struct cgroup_state state;
	int err = source_cgroup_get(s, id, &state);

	if (err)
		return err;
	if (bpf_map_delete_elem(bpf_map__fd(s->skeleton->maps.cgroups), &id))
		return -errno;
	if (state.by_others)
		__atomic_fetch_sub(&s->control->cgroups_of_others, 1, __ATOMIC_SEQ_CST);
	return 0;
}

/*
 * The kernel tells the id of a link's cgroup (bpf_cgroup_link_fill_link_info()) under the lock that
 * a mkdir in any cgroup holds from before its tracepoint until the directory shows.
 */
int source_cgroup_barrier(struct source *s)
{
	struct bpf_link_info info = {};
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(s->barrier, &info, &len) ? -errno : 0;
}

bool source_cgroups_lost(struct source *s)
{
	return __atomic_exchange_n(&s->control->cgroups_lost, 0, __ATOMIC_SEQ_CST);
}
