/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
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

/*
 * A descriptor of the process, or -ESRCH: none has that pid, or a thread of another one has it. Not
 * kill(2): what the sandbox refuses says nothing of the process.
 */
static int hold(pid_t tgid)
{
	int fd = syscall(SYS_pidfd_open, tgid, 0);

	/* Linux before 6.9: EINVAL for a thread; from then on ENOENT. */
	return fd >= 0 ? fd : errno == EINVAL || errno == ENOENT ? -ESRCH : -errno;
}

/* ---- tags whose process is no more ---- */

#define STALE_LOOKS_MAX 4096 /* at once: each is a system call */

struct stale_look {
	struct core *core;
	uint32_t slices, tags;
	bool reused; /* a pid was given again while its tag went */
};

/*
 * The program at its exit was skipped. Of all tags so many are looked at each time; those whose pid
 * another process has by now go by source_tag_untagged().
 */
static int drop_stale(pid_t tgid, const struct tag *tag, void *look)
{
	struct stale_look *l = look;
	struct core *c = l->core;
	int fd;

	l->tags++;
	if (tgid % l->slices != c->stale_round % l->slices)
		return 0;
	fd = hold(tgid);
	if (fd == -ESRCH && !source_untag(c->source, tgid, tag->start_boottime)) {
		/* The kernel looks at a tag and then removes it, which can be the next owner's. */
		fd = hold(tgid);
		l->reused |= fd >= 0;
	}
	if (fd >= 0)
		close(fd);
	return 0;
}

static void drop_all_stale(struct core *c)
{
	struct stale_look l = {.core = c, .slices = c->stale_tags / STALE_LOOKS_MAX + 1};

	(void)source_each_tag(c->source, drop_stale, &l);
	if (l.tags)
		(void)source_tag_untagged(c->source);
	if (l.reused)
		(void)source_tag_descendants(c->source);
	c->stale_tags = l.tags;
	c->stale_round++;
}

/* ---- processes without a tag ---- */

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

/*
 * It lives, and lost its tag, or the kernel found no memory to remember that it had none: it is of
 * its session again from now on, and late.
 */
static void tag_again(struct core *c, struct process *p, int pidfd)
{
	const struct tag tag = {.session = p->actor->session->key};
	int err = source_tag(c->source, pidfd, &tag);

	if (err && err != -ENOSPC && err != -ESRCH && err != -EEXIST)
		log_error("process %u can't be tagged again: %s", p->key.tgid, strerror(-err));
}

/* One that found no room is waited for, while the kernel has it in mind and exits are told. */
static bool is_waited_for(const struct core *c, const struct process *p)
{
	const uint64_t *losses = c->attribute->losses;

	return p->untagged && source_any_untagged(c->source) && !losses[EVENT_EXIT] &&
	       !losses[LOSS_HOOK] && !losses[LOSS_SLOT];
}

static void look_at(struct core *c, struct process *p, uint64_t now)
{
	_cleanup_close_ int pidfd = -1;

	if (is_waited_for(c, p) || !is_missed(c, p, now))
		return;
	pidfd = hold(p->key.tgid);
	if (pidfd == -ESRCH || (pidfd >= 0 && !alive_is(pidfd, p->key.tgid, p->key.start)))
		tell_gone(c, p);
	else if (pidfd >= 0 && !(p->untagged && source_any_untagged(c->source)))
		tag_again(c, p, pidfd);
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
	return a->losses[EVENT_CLOSE] || a->losses[EVENT_OUTCOME] || a->losses[LOSS_HOOK] ||
	       a->losses[LOSS_SLOT];
}

/*
 * Opened, and then the daemon died before it could tag the process: nobody will ever be in it. While
 * somebody has its tag, only the word of it was lost.
 */
static void end_unbegun(struct core *c, uint64_t now)
{
	struct session *s, *next;

	HASH_ITER (hh, c->attribute->table.sessions, s, next)
		if (!s->told && !s->live && !s->vacancy.is &&
		    now > s->started_ns + UNBEGUN_NS && !session_is_held(c, s->key))
			(void)session_end_note(c, s->key);
}

/* ---- processes that found no room among the tags ---- */

/* Each look goes over all tasks of the host: it may take a twentieth of the time. */
#define UNTAGGED_PAUSE 20
#define UNTAGGED_PAUSE_MIN_NS (CORE_SECOND_NS / 20)

void reconcile_untagged(struct core *c, uint64_t now)
{
	uint64_t began = core_boottime_ns(), pause;
	int err;

	if (now < c->untagged_ns || !source_any_untagged(c->source))
		return;
	err = source_tag_untagged(c->source);
	if (err)
		log_error("processes without a tag can't be looked for: %s", strerror(-err));
	pause = UNTAGGED_PAUSE * (core_boottime_ns() - began);
	c->untagged_ns = now + (pause > UNTAGGED_PAUSE_MIN_NS ? pause : UNTAGGED_PAUSE_MIN_NS);
}

void reconcile(struct core *c)
{
	uint64_t now = core_boottime_ns();
	struct process *p, *next;

	/* What was read has to be told before anything is missed. */
	if (c->full || c->events_len)
		return;
	drop_all_stale(c);
	strangers_meet(c);
	HASH_ITER (hh, c->attribute->table.processes, p, next)
		look_at(c, p, now);
	if (lost_any_end(c->attribute))
		forget_over(c, now);
	(void)source_sweep_flows(c->source, now);
	shares_look(c);
	end_unbegun(c, now);
	unseen_sweep(c);
}
