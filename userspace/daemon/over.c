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

#define HELD_PAUSE_NS (CORE_SECOND_NS / 4) /* between two looks at one that has somebody */

static int is_of(pid_t tgid, const struct tag *tag, void *session)
{
	(void)tgid;
	return tag->session == *(const uint64_t *)session;
}

bool session_is_held(const struct core *c, uint64_t key)
{
	struct share share;

	/* It is counted before there is a tag, and after there is none. */
	if (source_share(c->source, key, &share) == 0)
		return (int32_t)share.tags > 0 ||
		       (share.flags & SHARE_UNTAGGED && source_any_untagged(c->source));
	/* It has no tag, or its share found no room; what can't be asked is not known to be over. */
	return source_each_tag(c->source, is_of, &key) != 0;
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

void sessions_over(struct core *c)
{
	struct session *s, *next;

	if (!c->attribute->table.vacant)
		return;
	HASH_ITER (hh, c->attribute->table.sessions, s, next)
		if (s->vacancy.is && (s->ending || !hold_find(c->attribute, s->key)))
			look_at(c, s);
}
