/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world: a random but causally possible stream of events and notes: sessions that begin by the API
 * and by selectors, processes that fork, execute and exit, connections of every kind, and what the
 * kernel had to drop.
 */
#pragma once

#include "affiant/v1/state.pb-c.h"
#include "pipeline.h"

struct item {
	bool note; /* the daemon writes it, it does not come through the ring */
	uint16_t size;
	uint8_t *bytes; /* 8-aligned */
};

#define WORLD_PROCS 24
#define WORLD_CONNECTIONS 24
#define WORLD_EPOCHS 16
#define WORLD_NOTES 1000000 /* numbers of these notes: the daemon's own are below */

struct world {
	bool ring_only; /* no notes */
	bool renews;    /* at times the kernel's maps are removed, and made anew */
	unsigned int epochs;
	uint32_t first_pid;
	/* borrowed for its time, numbers and event makers; no event is given to it */
	struct pipeline *clock;
	unsigned int seed;
	struct item *items;
	size_t count, room;
	struct proc procs[WORLD_PROCS];
	bool alive[WORLD_PROCS];
	struct event_connect connections[WORLD_CONNECTIONS];
	bool open[WORLD_CONNECTIONS], established[WORLD_CONNECTIONS];
	uint32_t pids;
	uint64_t keys;
	uint64_t lost[LOSS_ALL];                  /* by the kernel */
	uint64_t lost_in[WORLD_EPOCHS][LOSS_ALL]; /* of these, by the maps that count them */
	uint64_t lost_sources[256];
	size_t lost_count;
};

static inline unsigned int dice(struct world *w, unsigned int sides)
{
	return rand_r(&w->seed) % sides;
}

static inline void world_add(struct world *w, const void *event, bool note)
{
	const struct event_header *h = event;
	struct item *i;

	if (!note && dice(w, 40) == 0) { /* no room in the ring: its number is gone */
		w->lost[h->type]++;
		w->lost_in[w->epochs][h->type]++;
		if (w->lost_count < 256)
			w->lost_sources[w->lost_count++] = event_source(h);
		return;
	}
	if (w->count == w->room) {
		w->room = w->room ? 2 * w->room : 256;
		w->items = realloc(w->items, w->room * sizeof(*w->items));
	}
	i = &w->items[w->count++];
	*i = (struct item){.note = note, .size = h->size, .bytes = malloc(h->size)};
	memcpy(i->bytes, event, h->size);
}

static inline void world_note(struct world *w, struct event_header *h)
{
	h->sequence += WORLD_NOTES;
	world_add(w, h, true);
	free(h);
}

static inline struct proc *some_proc(struct world *w, bool alive)
{
	unsigned int from = dice(w, WORLD_PROCS);

	for (unsigned int i = 0; i < WORLD_PROCS; i++)
		if (w->alive[(from + i) % WORLD_PROCS] == alive)
			return &w->procs[(from + i) % WORLD_PROCS];
	return NULL;
}

static inline struct proc *new_proc(struct world *w, uint64_t session, uint32_t flags)
{
	struct proc *p = some_proc(w, false);

	if (!p)
		return NULL;
	/* Pids are given again. */
	*p = (struct proc){.session = session,
			   .tgid = w->first_pid + w->pids++ % 40,
			   .start = w->clock->now,
			   .flags = flags,
			   .exec_seq = 1 + dice(w, 3)};
	w->alive[p - w->procs] = true;
	return p;
}

static inline void world_exec(struct world *w, struct proc *p, uint16_t type, uint32_t flags)
{
	static const char *const exes[] = {"/usr/bin/agent", "/bin/sh", "/usr/bin/git",
					   "/opt/a/b/c/tool", "/init"};
	const struct proc *parent = dice(w, 3) ? some_proc(w, true) : NULL;
	union exec_buffer b;

	if (type == EVENT_EXEC && !flags)
		p->exec_seq++;
	exec_fill(w->clock, &b, type, p, parent, exes[dice(w, 5)]);
	b.e.flags = flags;
	b.e.selector = 77 + dice(w, 3);
	world_add(w, &b, false);
}

static inline void world_begin(struct world *w)
{
	struct proc *p;

	if (!w->ring_only && dice(w, 2)) {
		uint64_t key = ++w->keys + 1000;

		p = new_proc(w, key, 0);
		if (!p)
			return;
		world_note(w, session_event(w->clock, key, "research"));
		if (dice(w, 8) == 0) { /* gone before it was tagged */
			w->alive[p - w->procs] = false;
			return;
		}
		if (dice(w, 4) == 0) { /* it acts between its tag and the word of it */
			struct event_connect e = connect_event(w->clock, p, IPPROTO_TCP, 7);

			world_add(w, &e, false);
		}
		world_exec(w, p, EVENT_ADOPT, 0);
		return;
	}
	/* Instances of a few cgroups: keys come again. */
	p = new_proc(w, 1 + dice(w, 4), TAG_SELECTED);
	if (p)
		world_exec(w, p, dice(w, 4) ? EVENT_EXEC : EVENT_ADOPT, EXEC_SELECTED);
}

static inline void world_fork(struct world *w)
{
	struct proc *parent = some_proc(w, true), *child;
	struct event_untagged u;
	struct event_fork e;

	child = parent ? new_proc(w, parent->session, parent->flags) : NULL;
	if (!child)
		return;
	child->exec_seq = parent->exec_seq;
	if (dice(w, 15) == 0) { /* it has a tag a little later, of which the word may be lost */
		u = untagged_event(w->clock, parent, child);
		world_add(w, &u, false);
		child->exec_seq += dice(w, 2);
		if (dice(w, 2))
			world_exec(w, child, EVENT_ADOPT, 0);
		return;
	}
	e = fork_event(w->clock, parent, child);
	world_add(w, &e, false);
}

static inline void world_exit(struct world *w)
{
	struct proc *p = some_proc(w, true);
	size_t before = w->count;
	struct event_exit e = {.status = dice(w, 3)};

	if (!p)
		return;
	w->alive[p - w->procs] = false;
	head_fill(w->clock, &e.header, dice(w, 2), EVENT_EXIT, sizeof(e), p);
	world_add(w, &e, false);
	if (w->count == before && !w->ring_only &&
	    dice(w, 2)) { /* lost: it is missed, or not yet */
		Affiant__V1__NoteGone m = AFFIANT__V1__NOTE_GONE__INIT;

		SET(&m, tgid, p->tgid);
		SET(&m, start_boottime_ns, p->start);
		world_note(w, note_event(w->clock, NOTE_GONE, &m.base));
	}
}

static inline int free_connection(struct world *w)
{
	for (int i = 0; i < WORLD_CONNECTIONS; i++)
		if (!w->open[i])
			return i;
	return -1;
}

static inline void world_connect(struct world *w)
{
	uint16_t protocol = dice(w, 3) ? IPPROTO_TCP : IPPROTO_UDP;
	struct proc *p = some_proc(w, true);
	int i = free_connection(w);
	struct event_connect e;

	if (!p || i < 0)
		return;
	e = connect_event(w->clock, p, protocol, 1 + dice(w, 1000));
	switch (dice(w, 12)) {
	case 0:
		e.flags |= CONNECT_DENIED;
		break;
	case 1:
		e.flags |= CONNECT_NO_STORAGE;
		break;
	case 2:
		e.flags &= ~CONNECT_OPENER;
		break;
	case 3:
		if (protocol != IPPROTO_TCP)
			break;
		/* The opener's, who may be dead by now. */
		e.opener.session = w->procs[dice(w, WORLD_PROCS)].session ?: 1;
		e.flags = CONNECT_FOREIGN | CONNECT_OPENER;
		e.header.actor =
			(struct event_actor){.tgid = 7, .start_boottime = 7, .exec_seq = 7};
		break;
	}
	if (protocol == IPPROTO_UDP && dice(w, 2)) {
		/* A further flow of some socket. */
		int other = dice(w, WORLD_CONNECTIONS);

		if (w->open[other] && w->connections[other].protocol == IPPROTO_UDP)
			e.cookie = w->connections[other].cookie;
		if (dice(w, 2))
			e.flags |= CONNECT_SENDMSG;
	}
	if (!(e.flags & (CONNECT_SENDMSG | CONNECT_DENIED | CONNECT_FOREIGN)) && dice(w, 8) == 0)
		e.flags |= CONNECT_SEND; /* over the connection of another process */
	world_add(w, &e, false);
	if (e.flags & (CONNECT_DENIED | CONNECT_NO_STORAGE) ||
	    (e.flags & CONNECT_SEND && protocol == IPPROTO_TCP))
		return;
	w->connections[i] = e;
	w->open[i] = true;
	w->established[i] = protocol == IPPROTO_UDP;
}

static inline void world_outcome(struct world *w)
{
	int i = dice(w, WORLD_CONNECTIONS);
	struct event_outcome e;

	if (!w->open[i] || (w->established[i] && w->connections[i].protocol == IPPROTO_TCP))
		return;
	e = outcome_event(w->clock, &w->connections[i],
			  w->established[i] || dice(w, 2) ? ECONNREFUSED : 0);
	if (w->established[i]) {
		e.from = e.to = 0;
		e.flags = OUTCOME_REPORT;
		if (!(w->connections[i].flags & (CONNECT_SENDMSG | CONNECT_SEND)) && dice(w, 2)) {
			e.flags = OUTCOME_NOT_SENT | OUTCOME_REUSED;
			e.error = 0;
		}
	} else if (e.error) {
		w->open[i] = false;
	}
	w->established[i] = true;
	world_add(w, &e, false);
}

static inline void world_close(struct world *w)
{
	int i = dice(w, WORLD_CONNECTIONS);
	struct event_close e;

	if (!w->open[i] || !w->established[i])
		return;
	w->open[i] = false;
	e = close_event(w->clock, &w->connections[i]);
	world_add(w, &e, false);
}

static inline void world_other(struct world *w)
{
	struct proc *p = some_proc(w, true);
	struct event_untracked u = {.family = AF_INET, .sock_type = SOCK_RAW};
	struct event_unix x = {.path_len = 4, .path = "/run", .flags = CONNECT_OPENER};
	struct event_listen l = {.local = {.family = AF_INET, .port = 8080},
				 .sock_type = SOCK_STREAM,
				 .protocol = IPPROTO_TCP};

	if (!p)
		return;
	if (!dice(w, 3)) {
		head_fill(w->clock, &l.header, dice(w, 4), EVENT_LISTEN, sizeof(l), p);
		world_add(w, &l, false);
		return;
	}
	if (dice(w, 2)) {
		head_fill(w->clock, &u.header, dice(w, 4), EVENT_UNTRACKED, sizeof(u), p);
		world_add(w, &u, false);
		return;
	}
	head_fill(w->clock, &x.header, dice(w, 4), EVENT_UNIX, sizeof(x), p);
	x.connection = event_source(&x.header);
	x.opener = x.header.actor;
	world_add(w, &x, false);
}

static inline void world_notice(struct world *w)
{
	Affiant__V1__NoteClock clock = AFFIANT__V1__NOTE_CLOCK__INIT;
	Affiant__V1__NoteEnd end = AFFIANT__V1__NOTE_END__INIT;
	Affiant__V1__NoteUntagged untagged = AFFIANT__V1__NOTE_UNTAGGED__INIT;
	struct proc *p = some_proc(w, true);

	if (w->ring_only)
		return;
	if (dice(w, 2)) {
		SET(&clock, offset_ns, WALL_OFFSET + (int64_t)(dice(w, 4000) * MS));
		SET(&clock, state, 1 + dice(w, 3));
		world_note(w, note_event(w->clock, NOTE_CLOCK, &clock.base));
	} else if (p && dice(w, 4) == 0) {
		SET(&untagged, key, p->session);
		world_note(w, note_event(w->clock, NOTE_UNTAGGED, &untagged.base));
	} else if (p) {
		SET(&end, key, p->session);
		world_note(w, note_event(w->clock, NOTE_END, &end.base));
	}
}

/* Nothing that was is heard of again, and all numbers are above those of before: the first one. */
static inline uint64_t world_begin_anew(struct world *w)
{
	uint64_t first = 1;

	w->epochs++;
	for (unsigned int cpu = 0; cpu < 8; cpu++)
		if (w->clock->sequence[cpu] >= first)
			first = w->clock->sequence[cpu] + 1;
	first += dice(w, 1000);
	for (unsigned int cpu = 0; cpu < 8; cpu++)
		w->clock->sequence[cpu] = first - 1;
	memset(w->alive, 0, sizeof(w->alive));
	memset(w->open, 0, sizeof(w->open));
	return first;
}

static inline void world_renew(struct world *w)
{
	Affiant__V1__NoteEpoch m = AFFIANT__V1__NOTE_EPOCH__INIT;
	uint8_t id[16] = {0xe9};
	uint64_t first;

	if (w->epochs + 1 == WORLD_EPOCHS)
		return;
	first = world_begin_anew(w);
	id[1] = w->epochs;
	SET(&m, id, pb_bytes(id, sizeof(id)));
	SET(&m, first, first);
	SET(&m, to_boottime_ns, w->clock->now);
	SET(&m, untracked, dice(w, 5));
	world_note(w, note_event(w->clock, NOTE_EPOCH, &m.base));
}

/*
 * A number is taken before the place in the ring: two neighbours of a CPU change places. @from: the
 * first that can.
 */
static inline void world_invert(struct world *w, size_t from)
{
	for (size_t i = from + 1; i < w->count; i++) {
		struct event_header *a = (void *)w->items[i - 1].bytes,
				    *b = (void *)w->items[i].bytes;
		uint64_t n = a->sequence;

		if (w->items[i].note || w->items[i - 1].note || a->cpu != b->cpu ||
		    a->type == EVENT_CONNECT || b->type == EVENT_CONNECT || a->type == EVENT_UNIX ||
		    b->type == EVENT_UNIX || dice(w, 10))
			continue;
		/* Nobody takes that long from the one to the other. */
		if (b->boottime_ns - a->boottime_ns >= SEEN_FINAL_NS)
			continue;
		a->sequence = b->sequence;
		b->sequence = n;
	}
}

static inline void world_fill(struct world *w, size_t count)
{
	static void (*const acts[])(struct world *) = {
		world_fork,    world_fork,    world_fork,    world_exit,    world_exit,
		world_connect, world_connect, world_connect, world_connect, world_outcome,
		world_outcome, world_outcome, world_outcome, world_close,   world_close,
		world_other,   world_notice,  world_begin,
	};

	const size_t from = w->count;

	while (w->count < count) {
		struct proc *p;
		unsigned int act = dice(w, sizeof(acts) / sizeof(acts[0]) + 4);

		/* Long enough for what is awaited to be overdue. */
		if (dice(w, 30) == 0)
			w->clock->now += S + dice(w, 1000) * MS;
		if (w->renews && dice(w, 80) == 0)
			world_renew(w);
		if (act < sizeof(acts) / sizeof(acts[0]))
			acts[act](w);
		else if ((p = some_proc(w, true)))
			world_exec(w, p, EVENT_EXEC, 0);
	}
	world_invert(w, from);
}

/* @first_pid: where it is not to meet a process of this machine. */
static inline void world_make(struct world *w, unsigned int seed, size_t count, bool ring_only,
			      uint32_t first_pid)
{
	*w = (struct world){.clock = pipeline_new(),
			    .seed = seed,
			    .ring_only = ring_only,
			    .first_pid = first_pid};
	world_fill(w, count);
}

/* With notes, and with maps that are removed. */
static inline void world_make_renewed(struct world *w, unsigned int seed, size_t count)
{
	*w = (struct world){
		.clock = pipeline_new(), .seed = seed, .renews = true, .first_pid = 100};
	world_fill(w, count);
}

static inline void world_free(struct world *w)
{
	for (size_t i = 0; i < w->count; i++)
		free(w->items[i].bytes);
	free(w->items);
	pipeline_free(w->clock);
}

/* ---- records that are told by a timer, not by an event ---- */

static inline bool is_pending(const Affiant__V1__Record *r)
{
	return r->body_case == AFFIANT__V1__RECORD__BODY_CONNECT &&
	       r->connect->outcome == AFFIANT__V1__OUTCOME__PENDING;
}

/* A datagram socket's connect, told when it had not failed by then. */
static inline bool is_attempt(const Affiant__V1__Record *r)
{
	return r->body_case == AFFIANT__V1__RECORD__BODY_CONNECT &&
	       r->connect->outcome == AFFIANT__V1__OUTCOME__ATTEMPTED &&
	       r->connect->protocol == AFFIANT__V1__PROTOCOL__PROTOCOL_UDP &&
	       !r->connect->by_datagram && !r->connect->by_send;
}

/*
 * Their clock, and what they say of their session, is of the moment of looking: another one when the
 * events are cut otherwise.
 */
static inline bool told_when_looked_at(const Affiant__V1__Record *r)
{
	return is_pending(r) || is_attempt(r) ||
	       r->body_case == AFFIANT__V1__RECORD__BODY_SESSION_ENDED;
}
