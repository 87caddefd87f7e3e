/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/core.h"

#include "base/log.h"
#include "collect/decode.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/*
 * A process that is in the table and has no tag: its exit is on its way, or was lost. Two looks in a row, with the ring
 * empty in between, tell which.
 */
#define MISSED_ROUNDS 2

static bool has_tag(struct core *c, const struct process *p)
{
	struct tag tag;

	return source_tag_of(c->source, p->key.tgid, &tag) == 0 && tag.start_boottime == p->key.start;
}

static void tell_gone(struct core *c, const struct process *p)
{
	Affiant__V1__NoteGone m = AFFIANT__V1__NOTE_GONE__INIT;
	int err;

	m.has_tgid = m.has_start_boottime_ns = true;
	m.tgid = p->key.tgid;
	m.start_boottime_ns = p->key.start;
	err = core_note(c, NOTE_GONE, &m.base);
	if (err)
		log_error("the lost exit of process %u can't be told yet: %s", p->key.tgid, strerror(-err));
}

/* A tag whose process is no more: the program at its exit was skipped. */
static int drop_stale(pid_t tgid, const struct tag *tag, void *core)
{
	struct core *c = core;

	if (kill(tgid, 0) < 0 && errno == ESRCH)
		(void)source_untag(c->source, tgid, tag->start_boottime);
	return 0;
}

void reconcile(struct core *c)
{
	struct process *p, *next;

	if (c->full || source_ring_used(c->source))
		return;
	(void)source_each_tag(c->source, drop_stale, c);
	HASH_ITER (hh, c->attribute->table.processes, p, next) {
		if (has_tag(c, p))
			p->missed = 0;
		else if (++p->missed >= MISSED_ROUNDS)
			tell_gone(c, p);
	}
}
