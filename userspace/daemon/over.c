/* SPDX-License-Identifier: Apache-2.0 */
/*
 * over: a session ends when the kernel has nobody in it, which the last exit that was heard of does
 * not say: the fork of a child that lives may be the event that was lost.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/pb.h"
#include "collect/decode.h"
#include "collect/hold.h"
#include "daemon/core.h"
#include "daemon/turn.h"

#define HELD_PAUSE_NS (CORE_SECOND_NS / 4) /* between two looks at one that has somebody */

/* ---- a session whose share found no room: all tags are looked at, beside the loop ---- */

#define ANSWER_NS CORE_SECOND_NS /* so long somebody may come for an answer */

struct asking {
	struct core *core;
	uint64_t key;
	bool held;
};

static int is_of(pid_t tgid, const struct tag *tag, void *session)
{
	(void)tgid;
	return tag->session == *(const uint64_t *)session;
}

static void ask(void *asking)
{
	struct asking *a = asking;

	/* What can't be asked is not known to be over. */
	a->held = source_each_tag(a->core->source, is_of, &a->key) != 0;
}

static void answered(void *asking, int err)
{
	const struct asking *a = asking;
	struct core_held *h = &a->core->held;

	h->asking = false;
	h->held = a->held || err;
	h->answered_ns = core_boottime_ns();
}

/* One session at a time: others are held until it is their turn. */
static bool has_any_tag(struct core *c, uint64_t key)
{
	struct core_held *h = &c->held;
	struct asking *a;
	struct aside_work work = {.wait_ns = ASIDE_ENDS, .run = ask, .done = answered, .free = free};

	if (h->asking || (h->answered_ns && h->key != key &&
			  core_boottime_ns() < h->answered_ns + ANSWER_NS))
		return true;
	if (!h->answered_ns || h->key != key) {
		work.data = a = malloc(sizeof(*a));
		if (!a)
			return true;
		*a = (struct asking){.core = c, .key = key};
		*h = (struct core_held){.key = key, .asking = true};
		if (aside_submit(c->aside, &work)) {
			free(a);
			h->asking = false;
		}
	}
	if (!h->answered_ns)
		return true;
	h->answered_ns = 0;
	return h->held;
}

bool session_is_held(struct core *c, uint64_t key)
{
	struct share share;

	/* It is counted before there is a tag, and after there is none. */
	if (source_share(c->source, key, &share) == 0)
		return (int32_t)share.tags > 0 ||
		       (share.flags & SHARE_UNTAGGED && source_any_untagged(c->source));
	/* It has no tag, or its share found no room. */
	return has_any_tag(c, key);
}

/* What happened before @s was found to be alone is known by now, and nobody came of it. */
static bool is_settled(const struct core *c, const struct session *s)
{
	return s->alone_ns && c->drained_ns > s->alone_ns;
}

static void look_at(struct core *c, struct session *s)
{
	Affiant__V1__NoteEnd m = AFFIANT__V1__NOTE_END__INIT;
	uint64_t now = core_boottime_ns();

	if (is_settled(c, s)) {
		SET(&m, key, s->key);
		(void)core_note(c, NOTE_OVER, &m.base); /* otherwise at the next turn */
		return;
	}
	if (s->alone_ns || now < s->held_ns + HELD_PAUSE_NS)
		return;
	if (session_is_held(c, s->key))
		s->held_ns = now;
	else
		s->alone_ns = now;
}

/* All of them, or those that a turn has time for; the next one goes on with the others. */
void sessions_over(struct core *c)
{
	struct table *t = &c->attribute->table;
	struct session *s;

	if (!t->vacant)
		return;
	if (!t->walks.vacant)
		t->walks.vacant = t->sessions;
	while (effort_goes_on() && (s = t->walks.vacant)) {
		effort_walk(1);
		t->walks.vacant = s->hh.next;
		if (s->vacancy.is && (s->ending || !hold_find(c->attribute, s->key)))
			look_at(c, s);
	}
}
