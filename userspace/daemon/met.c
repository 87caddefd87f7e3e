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

void strangers_meet(struct core *c)
{
	struct strangers *s = c->strangers ?: (c->strangers = calloc(1, sizeof(*s)));
	struct stranger *found, *next;
	unsigned int entered = 0;
	int err = 0;

	if (!s)
		return;
	s->round++;
	s->now_ns = core_boottime_ns();
	s->table = &c->attribute->table;
	if (source_each_tag(c->source, meet, s))
		return; /* otherwise in five seconds */
	HASH_ITER (hh, s->all, found, next) {
		if (found->round == s->round && !err && found->met_ns < c->drained_ns) {
			if (entered++ == ENTERED_MAX)
				return;
			err = enter(c, found);
			if (err)
				log_error("process %u, whose fork was lost, can't be told yet: %s",
					  found->key.tgid, strerror(-err));
		}
		if (found->round == s->round && found->met_ns >= c->drained_ns)
			continue;
		HASH_DEL(s->all, found);
		free(found);
	}
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
