/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session that never began here leaves its mark in the kernel's map, which has room for so many:
 * all its events were lost, or it ended before it was told of. Both maps are walked beside the
 * loop; in between it asks its own table.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/effort.h"
#include "daemon/core.h"

#define SETTLED_NS (60 * CORE_SECOND_NS)
#define MARKS_MAX 4096 /* in one sweep */

struct sweep {
	struct core *core;
	uint64_t before_ns;
	uint64_t *keys; /* of sessions that nobody knows */
	size_t count;
	uint64_t *tagged; /* sessions that tags name, in order */
	size_t tagged_count;
	bool failed;
};

static void sweep_free(void *sweep)
{
	struct sweep *s = sweep;

	free(s->keys);
	free(s->tagged);
	free(s);
}

static int by_key(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static bool is_known(const struct sweep *s, uint64_t session)
{
	return session_find_any(&s->core->attribute->table, session);
}

/* ---- beside the loop ---- */

static bool note_mark(uint64_t session, void *sweep)
{
	struct sweep *s = sweep;

	if (s->count < MARKS_MAX)
		s->keys[s->count++] = session;
	return true;
}

static void find_marks(void *sweep)
{
	struct sweep *s = sweep;

	if (source_sweep_unseen(s->core->source, s->before_ns, note_mark, s))
		s->failed = true;
}

static int add_key(pid_t tgid, const struct tag *tag, void *sweep)
{
	struct sweep *s = sweep;

	(void)tgid;
	if (s->tagged_count == source_tags_max(s->core->source))
		return -E2BIG;
	s->tagged[s->tagged_count++] = tag->session;
	return 0;
}

static void find_tagged(void *sweep)
{
	struct sweep *s = sweep;

	s->tagged = calloc(source_tags_max(s->core->source), sizeof(*s->tagged));
	s->failed = !s->tagged || source_each_tag(s->core->source, add_key, s);
	if (s->tagged)
		qsort(s->tagged, s->tagged_count, sizeof(*s->tagged), by_key);
}

/* ---- in the loop ---- */

/* A process can be in a session whose first event is the one that was lost: it will begin yet. */
static bool has_tag(const struct sweep *s, uint64_t session)
{
	return bsearch(&session, s->tagged, s->tagged_count, sizeof(*s->tagged), by_key);
}

/*
 * Those that are known by now stay; the kernel's mark may be younger than the one that was found.
 */
static void forget(void *sweep, int err)
{
	struct sweep *s = sweep;

	s->core->looking = false;
	if (err || s->failed)
		return;
	effort_walk(s->count);
	for (size_t i = 0; i < s->count; i++)
		if (!is_known(s, s->keys[i]) && !has_tag(s, s->keys[i]))
			source_forget_unseen(s->core->source, s->keys[i], s->before_ns);
}

static void ask_for_tags(void *sweep, int err)
{
	struct sweep *s = sweep, *more;
	struct aside_work work = {
		.wait_ns = ASIDE_ENDS, .run = find_tagged, .done = forget, .free = sweep_free};
	size_t kept = 0;

	s->core->looking = false;
	if (err || s->failed)
		return;
	effort_walk(s->count);
	for (size_t i = 0; i < s->count; i++)
		if (!is_known(s, s->keys[i]))
			s->keys[kept++] = s->keys[i];
	s->count = kept;
	more = kept ? malloc(sizeof(*more)) : NULL;
	if (!more)
		return;
	*more = *s;
	s->keys = NULL;
	work.data = more;
	more->core->looking = true;
	if (!aside_submit(more->core->aside, &work))
		return;
	more->core->looking = false;
	sweep_free(more);
}

void unseen_sweep(struct core *c)
{
	struct aside_work work = {
		.wait_ns = ASIDE_ENDS, .run = find_marks, .done = ask_for_tags, .free = sweep_free};
	struct sweep *s;

	/* What was told by then is known: no event is on its way that a session begins with. */
	if (c->looking || c->drained_ns <= SETTLED_NS)
		return;
	s = calloc(1, sizeof(*s));
	if (!s)
		return;
	*s = (struct sweep){.core = c,
			    .before_ns = c->drained_ns - SETTLED_NS,
			    .keys = calloc(MARKS_MAX, sizeof(*s->keys))};
	work.data = s;
	c->looking = s->keys != NULL;
	if (s->keys && !aside_submit(c->aside, &work))
		return;
	c->looking = false;
	sweep_free(s);
}
