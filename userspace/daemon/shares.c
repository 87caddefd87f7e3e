/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shares: what the kernel counts that sessions hold, compared with the tags that there are. A hook
 * that the kernel skips, or two that meet at a tag which outlived its process, can leave the count
 * wrong for good. The hooks go on counting meanwhile, so that a difference counts only if two looks
 * find the same, and nothing of the session changed during either; and it is added, never set.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/pb.h"
#include "collect/decode.h"
#include "daemon/core.h"
#include "daemon/turn.h"

struct tally {
	UT_hash_handle hh; /* shares.all */
	uint64_t session;
	uint64_t round;     /* of the look that met it last */
	struct share share; /* as it was when that look began; zero: it has none */
	uint32_t tags;      /* that there are */
	int32_t excess;     /* counted beyond, at the last look; 0: none, or it was not at rest */
	bool idle;          /* likewise, it held nothing and was over */
};

enum stage { SHARES, TAGS, JUDGE }; /* in this order */

struct shares {
	struct tally *all;
	uint64_t round;
	enum stage stage; /* of a look that a turn left off at */
	struct source_walk walk;
	struct tally *at; /* to be judged next */
};

static struct tally *tally_of(struct shares *s, uint64_t session)
{
	struct tally *t;

	HASH_FIND(hh, s->all, &session, sizeof(session), t);
	if (!t) {
		t = calloc(1, sizeof(*t));
		if (!t)
			return NULL;
		t->session = session;
		HASH_ADD(hh, s->all, session, sizeof(t->session), t);
	}
	if (t->round == s->round)
		return t;
	t->round = s->round;
	t->tags = 0;
	memset(&t->share, 0, sizeof(t->share));
	return t;
}

static int meet_share(uint64_t session, const struct share *share, void *shares)
{
	struct tally *t = tally_of(shares, session);

	if (!t)
		return -ENOMEM;
	t->share = *share;
	return 0;
}

static int meet_tag(pid_t tgid, const struct tag *tag, void *shares)
{
	struct tally *t = tally_of(shares, tag->session);

	(void)tgid;
	if (!t)
		return -ENOMEM;
	t->tags++;
	return 0;
}

/* Of @s a process had no tag, as the kernel says: the event that would tell it was lost. */
static void mark(struct core *c, const struct session *s)
{
	Affiant__V1__NoteUntagged m = AFFIANT__V1__NOTE_UNTAGGED__INIT;
	int err;

	if (!s || s->untagged)
		return;
	SET(&m, key, s->key);
	err = core_note(c, NOTE_UNTAGGED, &m.base);
	if (err)
		log_error("that processes of a session have no tag can't be told yet: %s",
			  strerror(-err));
}

static void correct(struct core *c, struct tally *t, int32_t excess)
{
	if (excess && excess == t->excess && !source_share_adjust(c->source, t->session, -excess))
		excess = 0;
	t->excess = excess;
}

static void judge(struct core *c, struct tally *t)
{
	struct session *s = session_find(&c->attribute->table, t->session);
	struct share now = {};
	bool idle;

	(void)source_share(c->source, t->session, &now);
	if (now.flags & SHARE_UNTAGGED)
		mark(c, s);
	if (now.changes != t->share.changes || now.tags != t->share.tags) {
		t->excess = 0;
		t->idle = false;
		return;
	}
	correct(c, t, (int32_t)(now.tags - t->tags));
	idle = !s && !t->tags && !now.tags && !now.flows;
	if (idle && t->idle)
		(void)source_share_forget(c->source, t->session);
	t->idle = idle;
}

/*
 * Whose it was can't be told: any of those that there are. What could not be written, the next look
 * does.
 */
static void mark_all(struct core *c)
{
	struct session **at = &c->attribute->table.walks.untagged, *s;
	bool all = true;

	for (*at = c->attribute->table.sessions; (s = *at);) {
		if (!effort_goes_on())
			return;
		*at = s->hh.next;
		effort_walk(!s->untagged);
		session_ref(s);
		mark(c, s);
		all &= s->untagged;
		session_unref(s);
	}
	if (all)
		source_untagged_known(c->source);
}

/* Returns whether there are more. */
static bool judge_all(struct core *c, struct shares *s)
{
	struct tally *t;

	while ((t = s->at)) {
		if (!effort_goes_on())
			return true;
		effort_walk(1);
		s->at = t->hh.next;
		if (t->round == s->round) {
			judge(c, t);
			continue;
		}
		HASH_DEL(s->all, t);
		free(t);
	}
	return false;
}

/* 1: there are more. */
static int meet_all(struct core *c, struct shares *s)
{
	int err = 0;

	while (!err && s->stage != JUDGE) {
		if (!effort_goes_on())
			return 1;
		err = s->stage == SHARES
			      ? source_walk_shares(c->source, &s->walk, meet_share, s)
			      : source_walk_tags(c->source, &s->walk, meet_tag, s);
		if (err == 1) {
			err = 0;
			continue;
		}
		s->walk = (struct source_walk){0};
		s->stage++;
		s->at = s->all;
	}
	return err;
}

bool shares_look(struct core *c)
{
	struct shares *s = c->shares ?: (c->shares = calloc(1, sizeof(*s)));
	int err;

	if (!s)
		return false;
	if (s->stage == SHARES && !s->walk.on) {
		if (source_untagged_unknown(c->source))
			mark_all(c);
		s->round++;
	}
	err = meet_all(c, s);
	if (err == 1)
		return true;
	if (!err && judge_all(c, s))
		return true;
	s->stage = SHARES; /* on a failure it is looked again in five seconds */
	s->walk = (struct source_walk){0};
	return false;
}

void shares_free(struct shares *s)
{
	struct tally *t, *next;

	if (!s)
		return;
	HASH_ITER (hh, s->all, t, next) {
		HASH_DEL(s->all, t);
		free(t);
	}
	free(s);
}
