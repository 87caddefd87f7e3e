/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session that never began here leaves its mark in the kernel's map, which has room for so many:
 * all its events were lost, or it ended before it was told of.
 */
#include <errno.h>
#include <stdlib.h>

#include "daemon/core.h"

#define SETTLED_NS (60 * CORE_SECOND_NS)

struct sweep {
	struct core *core;
	uint64_t *keys; /* of the sessions that tags name, in order; NULL: not asked yet */
	size_t count;
	bool failed;
};

static int by_key(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int add_key(pid_t tgid, const struct tag *tag, void *data)
{
	struct sweep *s = data;

	(void)tgid;
	if (s->count == source_tags_max(s->core->source))
		return -E2BIG;
	s->keys[s->count++] = tag->session;
	return 0;
}

/* A process can be in a session whose first event is the one that was lost: it will begin yet. */
static bool has_tag(struct sweep *s, uint64_t session)
{
	if (!s->keys) {
		s->keys = calloc(source_tags_max(s->core->source), sizeof(*s->keys));
		s->failed = !s->keys || source_each_tag(s->core->source, add_key, s);
		if (s->keys)
			qsort(s->keys, s->count, sizeof(*s->keys), by_key);
	}
	return s->failed || bsearch(&session, s->keys, s->count, sizeof(*s->keys), by_key);
}

static bool keep(uint64_t session, void *data)
{
	struct sweep *s = data;

	return session_find_any(&s->core->attribute->table, session) || has_tag(s, session);
}

void unseen_sweep(struct core *c)
{
	struct sweep s = {.core = c};

	/* What was told by then is known: no event is on its way that a session begins with. */
	if (c->drained_ns > SETTLED_NS)
		(void)source_sweep_unseen(c->source, c->drained_ns - SETTLED_NS, keep, &s);
	free(s.keys);
}
