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

struct tally {
	UT_hash_handle hh; /* shares.all */
	uint64_t session;
	uint64_t round;     /* of the look that met it last */
	struct share share; /* as it was when that look began; zero: it has none */
	uint32_t tags;      /* that there are */
	int32_t excess;     /* counted beyond, at the last look; 0: none, or it was not at rest */
	bool idle;          /* likewise, it held nothing and was over */
};

struct shares {
	struct tally *all;
	uint64_t round;
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

/* Whose it was can't be told: any of those that there are. */
static void mark_all(struct core *c)
{
	struct session *s, *next;

	HASH_ITER (hh, c->attribute->table.sessions, s, next)
		mark(c, s);
	HASH_ITER (hh, c->attribute->table.sessions, s, next)
		if (!s->untagged)
			return; /* it could not be written: the next look does it */
	source_untagged_known(c->source);
}

void shares_look(struct core *c)
{
	struct tally *t, *next;

	if (!c->shares)
		c->shares = calloc(1, sizeof(*c->shares));
	if (!c->shares)
		return;
	if (source_untagged_unknown(c->source))
		mark_all(c);
	c->shares->round++;
	if (source_each_share(c->source, meet_share, c->shares) ||
	    source_each_tag(c->source, meet_tag, c->shares))
		return; /* otherwise in five seconds */
	HASH_ITER (hh, c->shares->all, t, next) {
		if (t->round == c->shares->round) {
			judge(c, t);
			continue;
		}
		HASH_DEL(c->shares->all, t);
		free(t);
	}
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
