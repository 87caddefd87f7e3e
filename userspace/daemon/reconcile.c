/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "collect/decode.h"
#include "collect/loss.h"
#include "daemon/alive.h"
#include "daemon/core.h"

#define MARGIN_NS CORE_SECOND_NS /* between a look at the tags and an event that is read */
#define UNBEGUN_NS (60 * CORE_SECOND_NS)
#define UNTAGGED_MAX 4096

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

/* ---- connections whose end was lost ---- */

static void meet(uint64_t number, void *core)
{
	struct connection *found =
		connection_find(&((struct core *)core)->attribute->table, number);

	if (found)
		found->live = true;
}

/* What is waiting for an outcome has something to be told yet. As is_missed(). */
static bool is_over(const struct core *c, struct connection *found, uint64_t now)
{
	if (found->live || found->waiting) {
		found->missed_ns = 0;
		return false;
	}
	if (!found->missed_ns) {
		found->missed_ns = now;
		return false;
	}
	return !source_ring_used(c->source) ||
	       c->attribute->seen.now_ns > found->missed_ns + MARGIN_NS;
}

/*
 * Only a lost event leaves a connection in the table that has no socket. That it goes needs no
 * note: it makes no record, and when a journal is read again that still has it, it goes again.
 */
static void forget_over(struct core *c, uint64_t now)
{
	struct table *t = &c->attribute->table;
	struct connection *found, *next;

	HASH_ITER (hh, t->connections, found, next)
		found->live = false;
	if (source_each_connection(c->source, meet, c) < 0)
		return;
	HASH_ITER (hh, t->connections, found, next)
		if (is_over(c, found, now))
			connection_remove(t, found);
}

static bool lost_any_end(const struct attribute *a)
{
	return a->losses[EVENT_CLOSE] || a->losses[EVENT_OUTCOME] || a->losses[LOSS_HOOK];
}

/* Opened, and then the daemon died before it could tag the process: nobody will ever be in it. */
static void end_unbegun(struct core *c, uint64_t now)
{
	struct session *s, *next;

	HASH_ITER (hh, c->attribute->table.sessions, s, next)
		if (!s->told && !s->live && now > s->started_ns + UNBEGUN_NS)
			(void)session_end_note(c, s->key);
}

/* ---- children that found no room among the tags ---- */

void reconcile_untagged(void *core, const struct event_fork *e)
{
	struct core *c = core;

	if (!c->untagged)
		c->untagged = calloc(UNTAGGED_MAX, sizeof(*c->untagged));
	/* Counted as lost in any case (LOSS_TAG): this is the attempt to lose no more. */
	if (c->untagged && c->untagged_count < UNTAGGED_MAX)
		c->untagged[c->untagged_count++] = e->header.actor;
}

/* -ENOSPC: still no room. */
static int tag_again(struct core *c, const struct event_actor *a)
{
	_cleanup_close_ int pidfd = syscall(SYS_pidfd_open, a->tgid, 0);
	const struct tag tag = {.session = a->session, .task = a->task, .flags = a->flags};

	if (pidfd < 0 || !alive_is(pidfd, a->tgid, a->start_boottime) ||
	    !session_find(&c->attribute->table, a->session))
		return -ESRCH;
	return source_tag(c->source, pidfd, &tag);
}

/* The process, and what it has forked since, is of its session again from now on, and late. */
static void tag_untagged(struct core *c)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->untagged_count; i++)
		if (tag_again(c, &c->untagged[i]) == -ENOSPC)
			c->untagged[kept++] = c->untagged[i];
	c->untagged_count = kept;
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
	if (lost_any_end(c->attribute))
		forget_over(c, now);
	(void)source_sweep_flows(c->source, now);
	tag_untagged(c);
	end_unbegun(c, now);
	unseen_sweep(c);
}
