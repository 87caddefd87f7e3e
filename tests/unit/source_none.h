/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_none: what of collect/source.h a test does not care for, so that the kernel's programs are
 * not linked. The test makes the rest: all of ring and tags, or what SOURCE_NO_RING and
 * SOURCE_NO_TAGS leave; with SOURCE_CGROUPS also what is about cgroups, with SOURCE_EPOCH which
 * maps they are, with SOURCE_UNSEEN the marks and how many tags there can be, with SOURCE_SHARES
 * what is about shares, with SOURCE_UNTAGGED what is about who has no tag.
 */
#pragma once

#include <errno.h>

#include "collect/source.h"

#define NOTHING(name, parameters, result)                                                          \
	name parameters                                                                            \
	{                                                                                          \
		return result;                                                                     \
	}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"

static const char *const source_no_words[] = {NULL};

#ifndef SOURCE_DESCENDANTS
NOTHING(int source_tag_descendants, (struct source * s), 0)
#endif
NOTHING(bool source_continued, (const struct source *s), true)
NOTHING(int source_attach, (struct source * s, uint64_t past, char *why, size_t why_size), 0)
NOTHING(int source_boottime, (const struct source *s, uint64_t *ret_ns), (*ret_ns = 0, 0))
#ifndef SOURCE_UNSEEN
NOTHING(int source_sweep_unseen,
	(struct source * s, uint64_t before_ns, bool (*keep)(uint64_t session, void *data),
	 void *data),
	0)
NOTHING(uint32_t source_tags_max, (const struct source *s), 1)
#endif
#ifndef SOURCE_EPOCH
NOTHING(void source_get_epoch, (const struct source *s, struct source_epoch *ret),
	(void)(*ret = (struct source_epoch){0}))
#endif
NOTHING(const char *const *source_features, (const struct source *s), source_no_words)
NOTHING(const char *const *source_missing, (const struct source *s), source_no_words)
NOTHING(const void *source_object, (const struct source *s, size_t *ret_size),
	(*ret_size = 0, NULL))
NOTHING(void source_sleep, (struct source * s, bool asleep), )
NOTHING(uint64_t source_written, (const struct source *s), 0)
NOTHING(uint64_t source_taken, (const struct source *s), 0)
NOTHING(size_t source_ring_size, (const struct source *s), 1 << 20)
#ifndef SOURCE_CGROUPS
NOTHING(int source_cgroup_fd, (const struct source *s), -1)
NOTHING(uint64_t source_patterns, (const struct source *s), 0)
NOTHING(int source_patterns_set,
	(struct source * s, const struct pattern *const *patterns, uint32_t count,
	 uint64_t generation),
	0)
NOTHING(uint64_t source_patterns_walked, (struct source * s), 0)
NOTHING(int source_cgroup_get, (struct source * s, uint64_t id, struct cgroup_state *ret), -ENOENT)
NOTHING(int source_cgroup_put,
	(struct source * s, uint64_t id, const struct cgroup_state *state, bool replace), 0)
NOTHING(int source_cgroup_drop, (struct source * s, uint64_t id), 0)
NOTHING(int source_cgroup_barrier, (struct source * s), 0)
NOTHING(bool source_cgroups_lost, (struct source * s), false)
#endif
NOTHING(int source_select_exe,
	(struct source * s, const struct selector_exe_key *key, const struct selector *selector), 0)
NOTHING(int source_select_uid, (struct source * s, uint32_t uid, const struct selector *selector),
	0)
NOTHING(int source_select_only, (struct source * s, source_keep_fn keep, void *data), 0)
#ifndef SOURCE_UNTAGGED
NOTHING(bool source_any_untagged, (const struct source *s), false)
NOTHING(int source_tag_untagged, (struct source * s), 0)
#endif
#ifndef SOURCE_SHARES
NOTHING(bool source_untagged, (const struct source *s, uint64_t session), false)
NOTHING(bool source_untagged_unknown, (const struct source *s), false)
NOTHING(void source_untagged_known, (struct source * s), )
NOTHING(int source_share, (const struct source *s, uint64_t session, struct share *ret), -ENOENT)
NOTHING(int source_walk_shares,
	(struct source * s, struct source_walk *w,
	 int (*each)(uint64_t session, const struct share *share, void *data), void *data),
	0)
NOTHING(int source_share_adjust, (struct source * s, uint64_t session, int32_t tags), 0)
NOTHING(int source_share_forget, (struct source * s, uint64_t session), 0)
#endif
NOTHING(bool source_unseen, (const struct source *s, uint64_t session), false)
#ifndef SOURCE_UNSEEN
NOTHING(void source_forget_unseen, (struct source * s, uint64_t session, uint64_t before_ns), )
#endif
NOTHING(void source_set_disk_groups, (struct source * s, const struct disk_groups *groups), )
NOTHING(bool source_learn_overlay, (struct source * s), false)
NOTHING(int source_object_facts, (struct source * s, int fd, struct object_facts *ret), -EPERM)
NOTHING(int source_exe_told,
	(struct source * s, const struct selector_exe_key *key, uint32_t id), -ENOENT)
NOTHING(uint64_t source_places_ns, (const struct source *s), 0)
NOTHING(void source_set_places_ns, (struct source * s, uint64_t boottime_ns), )
NOTHING(int source_select_running, (struct source * s, uint32_t *ret_left_alone),
	(ret_left_alone ? *ret_left_alone = 0 : 0, 0))
NOTHING(int source_place, (struct source * s, int fd, struct selector_exe_key *ret), -EPERM)
NOTHING(int source_object_id, (struct source * s, int fd, struct object_id *ret), -EPERM)

#ifdef SOURCE_NO_RING
NOTHING(int source_open,
	(const struct source_config *config, struct source **ret, char *why, size_t why_size),
	-ENOTSUP)
NOTHING(void source_close, (struct source * s), )
NOTHING(int source_fd, (const struct source *s), -1)
NOTHING(int source_read, (struct source * s, void *buffer, size_t size, size_t *ret_len),
	(*ret_len = 0, 0))
NOTHING(void source_release, (struct source * s), )
NOTHING(int source_losses,
	(struct source * s, uint64_t ret[static LOSS_KINDS], uint64_t *ret_missed), -ENOTSUP)
#endif

#ifdef SOURCE_NO_TAGS
NOTHING(int source_tag, (struct source * s, int pidfd, const struct tag *tag), -ESRCH)
NOTHING(int source_tag_of, (struct source * s, pid_t tgid, struct tag *ret), -ENOENT)
NOTHING(int source_untag, (struct source * s, pid_t tgid, uint64_t start_boottime), 0)
NOTHING(uint64_t source_detached, (const struct source *s), 0)
NOTHING(const char *source_hook, (size_t i), NULL)
NOTHING(int source_sweep_flows, (struct source * s, uint64_t now_ns), 0)
#ifndef SOURCE_EACH_TAG
NOTHING(int source_each_tag,
	(struct source * s, int (*each)(pid_t tgid, const struct tag *tag, void *data), void *data),
	0)
#endif
#endif

/* All at once. */
static inline int source_walk_all(struct source_walk *w, int err)
{
	w->on = false;
	return err;
}

NOTHING(int source_walk_tags,
	(struct source * s, struct source_walk *w,
	 int (*each)(pid_t tgid, const struct tag *tag, void *data), void *data),
	source_walk_all(w, source_each_tag(s, each, data)))
#ifndef SOURCE_WALK_CONNECTIONS
NOTHING(int source_walk_connections,
	(struct source * s, int *iter, void (*each)(uint64_t number, void *data), void *data), 0)
#endif

#pragma GCC diagnostic pop
