/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/core.h"

#include "base/log.h"
#include "collect/decode.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define MARGIN_NS CORE_SECOND_NS /* between a look at the tags and an event that is read */
#define UNBEGUN_NS (60 * CORE_SECOND_NS)

static bool has_tag(const struct core *c, const struct process *p)
{
	struct tag tag;

	return source_tag_of(c->source, p->key.tgid, &tag) == 0 &&
	       tag.start_boottime == p->key.start;
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
		log_error("the lost exit of process %u can't be told yet: %s", p->key.tgid,
			  strerror(-err));
}

/* A tag whose process is no more: the program at its exit was skipped. */
static int drop_stale(pid_t tgid, const struct tag *tag, void *core)
{
	struct core *c = core;

	if (kill(tgid, 0) < 0 && errno == ESRCH)
		(void)source_untag(c->source, tgid, tag->start_boottime);
	return 0;
}

/*
 * A process that is in the table and has no tag: its exit is on its way, or was lost. It was lost
 * when what the kernel told well after the tag was gone has been read: either the ring was empty
 * since, or newer events came out of it.
 */
static bool is_missed(const struct core *c, struct process *p, uint64_t now)
{
	if (has_tag(c, p)) {
		p->missed_ns = 0;
		return false;
	}
	if (!p->missed_ns) {
		p->missed_ns = now;
		return false;
	}
	return !source_ring_used(c->source) || c->attribute->seen.now_ns > p->missed_ns + MARGIN_NS;
}

/* Opened, and then the daemon died before it could tag the process: nobody will ever be in it. */
static void end_unbegun(struct core *c, uint64_t now)
{
	struct session *s, *next;

	HASH_ITER (hh, c->attribute->table.sessions, s, next)
		if (!s->told && !s->live && now > s->started_ns + UNBEGUN_NS)
			(void)session_end_note(c, s->key);
}

void reconcile(struct core *c)
{
	uint64_t now = core_boottime_ns();
	struct process *p, *next;

	/* What was read has to be told before anything is missed. */
	if (c->full || c->events_len)
		return;
	(void)source_each_tag(c->source, drop_stale, c);
	HASH_ITER (hh, c->attribute->table.processes, p, next)
		if (is_missed(c, p, now))
			tell_gone(c, p);
	end_unbegun(c, now);
}
