/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/pb.h"
#include "collect/attribute.h"
#include "collect/decode.h"
#include "collect/loss.h"
#include "collect/power.h"

bool epoch_is(const struct attribute *a, const uint8_t id[static 16])
{
	return a->epoch.known && !memcmp(a->epoch.id, id, sizeof(a->epoch.id));
}

uint64_t epoch_highest(const struct attribute *a)
{
	uint64_t seen = seen_highest(&a->seen);

	return seen > a->epoch.past ? seen : a->epoch.past;
}

/* Their outcomes and ends will not come: what is pending is told so. */
static void drop_connections(struct attribute *a)
{
	struct connection *c, *next;

	flow_due(a, UINT64_MAX);
	HASH_ITER (hh, a->table.connections, c, next)
		connection_remove(&a->table, c);
}

/*
 * A record is named by its source, and the note is one source for all: so each end is named by its
 * session's own beginning. Whether an exec went unseen only the maps knew that are gone.
 */
static void end_sessions(struct attribute *a, const struct event_header *h)
{
	struct session *s, *next_s;
	struct process *p, *next_p;

	HASH_ITER (hh, a->table.processes, p, next_p)
		process_remove(&a->table, p);
	HASH_ITER (hh, a->table.sessions, s, next_s) {
		session_tell_end(a, s, s->source, h->boottime_ns, NULL,
				 AFFIANT__V1__SESSION_END_REASON__END_TRACING_REMOVED);
		power_missed(s);
		power_ended(a, s, h->boottime_ns);
		session_end(&a->table, s, h->boottime_ns + a->clock.offset_ns);
	}
}

/*
 * The kernel counts from 0 again; what was told of this boot stays part of its totals. More than
 * was told is what user space dropped itself.
 */
static void begin_losses(struct attribute *a)
{
	for (unsigned int kind = 0; kind <= LOSS_HOOK; kind++)
		if (a->losses[kind] > a->dropped[kind])
			a->dropped[kind] = a->losses[kind];
}

static void tell_gap(struct attribute *a, const struct event_header *h,
		     const Affiant__V1__NoteEpoch *m)
{
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__Gap gap = AFFIANT__V1__GAP__INIT;

	SET(&gap, reason, AFFIANT__V1__GAP_REASON__GAP_TRACING_REMOVED);
	if (a->newest_ns)
		SET(&gap, from_boottime_ns, a->newest_ns);
	SET(&gap, to_boottime_ns, m->has_to_boottime_ns ? m->to_boottime_ns : h->boottime_ns);
	SET(&gap, untracked_processes, m->untracked);
	r.body_case = AFFIANT__V1__RECORD__BODY_GAP;
	r.gap = &gap;
	(void)tell(a, event_source(h), PART_MAIN, h->boottime_ns, &r, NULL, NULL);
}

static void begin(struct attribute *a, const struct event_header *h,
		  const Affiant__V1__NoteEpoch *m)
{
	/* A state of a version that knew no epochs has seen events, too. */
	bool before = a->epoch.known || seen_highest(&a->seen);

	drop_connections(a);
	end_sessions(a, h);
	a->epoch.past = epoch_highest(a);
	if (m->first > a->epoch.past + 1)
		a->epoch.past = m->first - 1;
	seen_begin(&a->seen, m->first);
	begin_losses(a);
	if (before)
		tell_gap(a, h, m);
}

void epoch_noted(struct attribute *a, const struct event_header *h, const uint8_t *note, size_t len)
{
	Affiant__V1__NoteEpoch *m = affiant__v1__note_epoch__unpack(NULL, len, note);

	if (m && m->id.len == sizeof(a->epoch.id) && m->first >> 48 == 0 &&
	    !epoch_is(a, m->id.data)) {
		/*
		 * Else it is said again, at a journal's beginning, and the state before that was
		 * lost: nothing ends.
		 */
		if (m->has_to_boottime_ns || a->epoch.known)
			begin(a, h, m);
		a->epoch.known = true;
		memcpy(a->epoch.id, m->id.data, sizeof(a->epoch.id));
	}
	if (m)
		affiant__v1__note_epoch__free_unpacked(m, NULL);
}
