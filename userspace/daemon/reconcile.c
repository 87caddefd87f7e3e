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
#include "daemon/turn.h"

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

	effort.files++;
	/* Linux before 6.9: EINVAL for a thread; from then on ENOENT. */
	return fd >= 0 ? fd : errno == EINVAL || errno == ENOENT ? -ESRCH : -errno;
}

/* ---- over all tasks of the host, beside the loop ---- */

struct tagging {
	struct core *core;
	bool untagged, descendants;
	int err;
	uint64_t took_ns;
};

static void run_tagging(void *tagging)
{
	struct tagging *t = tagging;
	uint64_t began = core_boottime_ns();

	if (t->untagged)
		t->err = source_tag_untagged(t->core->source);
	if (t->descendants)
		t->err = source_tag_descendants(t->core->source) ?: t->err;
	t->took_ns = core_boottime_ns() - began;
}

/* It may take a twentieth of the time. */
#define UNTAGGED_PAUSE 20
#define UNTAGGED_PAUSE_MIN_NS (CORE_SECOND_NS / 20)

static void tagging_done(void *tagging, int err)
{
	const struct tagging *t = tagging;
	uint64_t pause = UNTAGGED_PAUSE * t->took_ns;

	(void)err;
	t->core->tagging = false;
	t->core->untagged_ns = t->core->tagging_ns +
			       (pause > UNTAGGED_PAUSE_MIN_NS ? pause : UNTAGGED_PAUSE_MIN_NS);
	if (t->err)
		log_error("processes without a tag can't be looked for: %s", strerror(-t->err));
}

/* One at a time: what is not begun now, the next look does. */
static void tag_all(struct core *c, bool untagged, bool descendants)
{
	struct tagging *t = c->tagging ? NULL : malloc(sizeof(*t));
	const struct aside_work work = {
		.wait_ns = ASIDE_ENDS,
		.run = run_tagging,
		.done = tagging_done,
		.free = free,
		.data = t,
	};

	if (!t)
		return;
	*t = (struct tagging){.core = c, .untagged = untagged, .descendants = descendants};
	c->tagging = true;
	if (!aside_submit(c->aside, &work))
		return;
	c->tagging = false;
	free(t);
}

/* ---- tags whose process is no more ---- */

#define STALE_LOOKS_MAX 4096 /* at once: each is a system call */

/*
 * The program at its exit was skipped. Of all tags so many are looked at each time; those whose pid
 * another process has by now go by source_tag_untagged().
 */
static int drop_stale(pid_t tgid, const struct tag *tag, void *core)
{
	struct core *c = core;
	struct reconciling *l = &c->reconciling;
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

static bool drop_all_stale(struct core *c, bool begins)
{
	struct reconciling *l = &c->reconciling;
	int more;

	if (begins) {
		l->walk = (struct source_walk){0};
		l->slices = c->stale_tags / STALE_LOOKS_MAX + 1;
		l->tags = 0;
		l->reused = false;
	}
	do
		more = source_walk_tags(c->source, &l->walk, drop_stale, c);
	while (more == 1 && effort_goes_on());
	if (more == 1)
		return true;
	if (l->tags)
		tag_all(c, true, l->reused);
	c->stale_tags = l->tags;
	c->stale_round++;
	return false;
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
	int alive = -EAGAIN; /* nor is known what can't be asked now: the next look does */

	if (is_waited_for(c, p) || !is_missed(c, p, now))
		return;
	pidfd = hold(p->key.tgid);
	if (pidfd >= 0)
		alive = alive_is(c->aside, p->actor->session->key,
				 &(struct alive_process){pidfd, p->key.tgid, p->key.start});
	if (pidfd == -ESRCH || !alive)
		tell_gone(c, p);
	else if (alive == 1 && !(p->untagged && source_any_untagged(c->source)))
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

static bool lost_any_end(const struct attribute *a)
{
	return a->losses[EVENT_CLOSE] || a->losses[EVENT_OUTCOME] || a->losses[LOSS_HOOK] ||
	       a->losses[LOSS_SLOT];
}

/*
 * Not met at once: those that are ended meanwhile go from the table. Returns whether there are
 * more.
 */
static bool mark_connections(struct core *c)
{
	struct connection **at = &c->attribute->table.walks.connections;

	for (; *at; *at = (*at)->hh.next) {
		if (!effort_goes_on())
			return true;
		effort_walk(1);
		(*at)->live = false;
	}
	return false;
}

static bool judge_connections(struct core *c, uint64_t now)
{
	struct table *t = &c->attribute->table;
	struct connection *found;

	while ((found = t->walks.connections)) {
		if (!effort_goes_on())
			return true;
		effort_walk(1);
		t->walks.connections = found->hh.next;
		if (is_over(c, found, now))
			connection_remove(t, found);
	}
	return false;
}

/*
 * Only a lost event leaves a connection in the table that has no socket. That it goes needs no
 * note: it makes no record, and when a journal is read again that still has it, it goes again.
 */
static bool forget_over(struct core *c, bool begins)
{
	struct reconciling *r = &c->reconciling;
	struct table *t = &c->attribute->table;
	int more = 1;

	if (begins && !lost_any_end(c->attribute))
		return false;
	if (begins) {
		r->iterator = -1;
		r->step = 0;
		r->sockets_ns = core_boottime_ns();
		t->walks.connections = t->connections;
	}
	if (r->step == 0) {
		if (mark_connections(c))
			return true;
		r->step = 1;
	}
	while (r->step == 1) {
		if (!effort_goes_on())
			return true;
		more = source_walk_connections(c->source, &r->iterator, meet, c);
		if (more < 0)
			return false;
		if (more)
			continue;
		r->step = 2;
		t->walks.connections = t->connections;
	}
	return judge_connections(c, r->sockets_ns);
}

/*
 * Opened, and then the daemon died before it could tag the process: nobody will ever be in it.
 * While somebody has its tag, only the word of it was lost.
 */
static bool end_unbegun(struct core *c, bool begins)
{
	struct table *t = &c->attribute->table;
	uint64_t now = core_boottime_ns();
	struct session *s;

	if (begins)
		t->walks.unbegun = t->sessions;
	while ((s = t->walks.unbegun)) {
		if (!effort_goes_on())
			return true;
		effort_walk(1);
		t->walks.unbegun = s->hh.next;
		if (!s->told && !s->live && !s->vacancy.is &&
		    now > s->started_ns + UNBEGUN_NS && !session_is_held(c, s->key))
			(void)session_end_note(c, s->key);
	}
	return false;
}

/* ---- processes that found no room among the tags ---- */

void reconcile_untagged(struct core *c, uint64_t now)
{
	if (now < c->untagged_ns || c->tagging || !source_any_untagged(c->source))
		return;
	c->tagging_ns = now;
	tag_all(c, true, false);
}

/* ---- flows of sockets that are no more ---- */

static void run_sweep(void *core)
{
	(void)source_sweep_flows(((struct core *)core)->source, core_boottime_ns());
}

static void swept(void *core, int err)
{
	(void)err;
	((struct core *)core)->sweeping = false;
}

static bool sweep_flows(struct core *c, bool begins)
{
	const struct aside_work work = {
		.wait_ns = ASIDE_ENDS, .run = run_sweep, .done = swept, .data = c};

	(void)begins;
	if (!c->sweeping) {
		c->sweeping = true;
		if (aside_submit(c->aside, &work))
			c->sweeping = false;
	}
	return false;
}

/* ---- all of it ---- */

static bool meet_strangers(struct core *c, bool begins)
{
	(void)begins;
	return strangers_meet(c);
}

static bool look_at_processes(struct core *c, bool begins)
{
	struct table *t = &c->attribute->table;
	uint64_t now = core_boottime_ns();
	struct process *p;

	if (begins)
		t->walks.processes = t->processes;
	while ((p = t->walks.processes)) {
		if (!effort_goes_on())
			return true;
		effort_walk(1);
		t->walks.processes = p->hh.next;
		look_at(c, p, now);
	}
	return false;
}

static bool look_at_shares(struct core *c, bool begins)
{
	(void)begins;
	return shares_look(c);
}

static bool sweep_unseen(struct core *c, bool begins)
{
	(void)begins;
	unseen_sweep(c);
	return false;
}

/* Each returns whether it is to be gone on with. */
static bool (*const stages[])(struct core *c, bool begins) = {
	drop_all_stale, meet_strangers, look_at_processes, forget_over,
	sweep_flows,	look_at_shares, end_unbegun,	   sweep_unseen,
};

void reconcile(struct core *c)
{
	struct reconciling *r = &c->reconciling;

	/* What was read has to be told before anything is missed. */
	while (!c->full && !c->events_len) {
		r->within = stages[r->stage](c, !r->within);
		if (r->within)
			return;
		r->stage = (r->stage + 1) % (sizeof(stages) / sizeof(stages[0]));
		if (!r->stage || !effort_goes_on())
			return;
	}
}

bool reconcile_goes_on(const struct core *c)
{
	return c->reconciling.stage || c->reconciling.within;
}
