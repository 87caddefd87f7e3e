/* SPDX-License-Identifier: Apache-2.0 */
/*
 * met: processes that have a tag and are not in the table. As a rule the event of their fork is on
 * its way; when what was told by then is known, it was lost. They are entered by what their tag
 * says: the session and the agent are theirs all the same.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/pb.h"
#include "collect/decode.h"
#include "daemon/core.h"
#include "daemon/turn.h"

#define ENTERED_MAX 1024 /* in one look: each is a note */

struct stranger {
	UT_hash_handle hh;      /* strangers.all, by key but for its exec_seq */
	struct process_key key;
	uint64_t met_ns; /* at first */
	uint64_t round;  /* of the look that met it last */
	struct tag tag;  /* as it was then */
};

#define KEY_SIZE offsetof(struct process_key, exec_seq)

struct strangers {
	struct stranger *all;
	uint64_t round, now_ns;
	struct table *table;
	struct source_walk walk;
	bool walking, entering; /* what a turn left off at */
};

static int meet(pid_t tgid, const struct tag *tag, void *strangers)
{
	struct process_key key = {.tgid = tgid, .start = tag->start_boottime};
	struct strangers *s = strangers;
	struct stranger *found;

	if (process_find(s->table, tgid, tag->start_boottime))
		return 0;
	HASH_FIND(hh, s->all, &key, KEY_SIZE, found);
	if (!found) {
		found = calloc(1, sizeof(*found));
		if (!found)
			return -ENOMEM;
		found->key = key;
		found->met_ns = s->now_ns;
		HASH_ADD(hh, s->all, key, KEY_SIZE, found);
	}
	found->tag = *tag;
	found->round = s->round;
	return 0;
}

static int enter(struct core *c, const struct stranger *found)
{
	Affiant__V1__NoteMet m = AFFIANT__V1__NOTE_MET__INIT;

	SET(&m, tgid, found->key.tgid);
	SET(&m, start_boottime_ns, found->key.start);
	SET(&m, exec_seq, found->tag.exec_seq);
	SET(&m, session, found->tag.session);
	SET(&m, task, found->tag.task);
	SET(&m, flags, found->tag.flags);
	SET(&m, selector, found->tag.selector);
	return core_note(c, NOTE_MET, &m.base);
}

static void begin(struct core *c, struct strangers *s)
{
	if (s->walking)
		return;
	s->walking = true;
	s->walk = (struct source_walk){0};
	s->round++;
	s->now_ns = core_boottime_ns();
	s->table = &c->attribute->table;
}

/* Entered meanwhile: the event of its fork came. */
static bool is_known(const struct strangers *s, const struct stranger *found)
{
	return process_find(s->table, found->key.tgid, found->key.start);
}

/* 1: there are more to be met. */
static int walk(struct core *c, struct strangers *s)
{
	int err = 1;

	while (err == 1 && s->walking && effort_goes_on())
		err = source_walk_tags(c->source, &s->walk, meet, s);
	return s->walking ? err : 0;
}

/* Those that are still strange, of the look before. Returns whether there are more. */
static bool enter_all(struct core *c, struct strangers *s)
{
	struct stranger *found, *next;
	unsigned int entered = 0;
	int err = 0;

	HASH_ITER (hh, s->all, found, next) {
		bool strange = found->round == s->round && !is_known(s, found);

		if (!effort_goes_on())
			return true;
		effort_walk(1);
		if (strange && found->met_ns >= c->drained_ns)
			continue;
		if (strange && !err) {
			if (entered++ == ENTERED_MAX)
				return false;
			err = enter(c, found);
			if (err)
				log_error("process %u, whose fork was lost, can't be told yet: %s",
					  found->key.tgid, strerror(-err));
		}
		HASH_DEL(s->all, found);
		free(found);
	}
	return false;
}

bool strangers_meet(struct core *c)
{
	struct strangers *s = c->strangers ?: (c->strangers = calloc(1, sizeof(*s)));
	int err;

	if (!s)
		return false;
	if (!s->entering)
		begin(c, s);
	err = walk(c, s);
	if (err == 1)
		return true;
	s->walking = false;
	s->entering = !err && enter_all(c, s); /* otherwise in five seconds */
	return s->entering;
}

void strangers_free(struct strangers *s)
{
	struct stranger *found, *next;

	if (!s)
		return;
	HASH_ITER (hh, s->all, found, next) {
		HASH_DEL(s->all, found);
		free(found);
	}
	free(s);
}
