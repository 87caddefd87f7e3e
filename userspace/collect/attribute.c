/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/attribute.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/effort.h"
#include "collect/decode.h"
#include "collect/hold.h"
#include "collect/loss.h"
#include "collect/note.h"
#include "collect/untagged.h"

int attribute_new(const struct attribute_config *config, struct attribute **ret)
{
	struct attribute *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->config = *config;
	a->clock = config->clock;
	a->seen.missing = loss_gap;
	a->seen.data = a;
	*ret = a;
	return 0;
}

void attribute_free(struct attribute *a)
{
	if (!a)
		return;
	fold_clear(a);
	holds_clear(a);
	table_clear(&a->table);
	seen_clear(&a->seen);
	free(a->gaps);
	free(a->untagged);
	free(a);
}

void attribute_image_ready(struct attribute *a, struct image *i)
{
	if (!i->draft)
		return;
	image_finish(i);
	tell_held(a, i);
	if (i->queued) {
		i->queued = false;
		DL_DELETE(a->table.drafts, i);
		image_unref(i);
	}
}

/* ---- events ---- */

void attribute_set_clock(struct attribute *a, const Affiant__V1__NoteClock *m)
{
	bool stepped = m->state == AFFIANT__V1__CLOCK_STATE__CLOCK_STEPPED;

	if (!m->has_offset_ns)
		return;
	/* The next record says so, whenever it comes; by then more may be known of the clock. */
	a->stepped |= stepped || m->stepped;
	a->clock.offset_ns = m->offset_ns;
	a->clock.state = stepped ? AFFIANT__V1__CLOCK_STATE__CLOCK_UNKNOWN : m->state;
}

static void set_clock(struct attribute *a, const uint8_t *note, size_t len)
{
	Affiant__V1__NoteClock *m = affiant__v1__note_clock__unpack(NULL, len, note);

	if (!m)
		return;
	attribute_set_clock(a, m);
	affiant__v1__note_clock__free_unpacked(m, NULL);
}

static void daemon_noted(struct attribute *a, const struct event_header *h, const uint8_t *note,
			 size_t len)
{
	Affiant__V1__NoteDaemon *m = affiant__v1__note_daemon__unpack(NULL, len, note);
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;

	if (m && m->gap) {
		r.body_case = AFFIANT__V1__RECORD__BODY_GAP;
		r.gap = m->gap;
		(void)tell(a, event_source(h), PART_MAIN, h->boottime_ns, &r, NULL, NULL);
	}
	if (m)
		affiant__v1__note_daemon__free_unpacked(m, NULL);
}

static int on_note(struct attribute *a, const struct event_header *h)
{
	size_t len;
	const uint8_t *note = note_message(h, &len);

	if (!note)
		return 0;
	switch (h->type) {
	case NOTE_SESSION:
		return session_noted(a, h, note, len);
	case NOTE_END:
		session_end_noted(a, h, note, len);
		return 0;
	case NOTE_OVER:
		session_over_noted(a, h, note, len);
		return 0;
	case NOTE_GONE:
		process_gone(a, h, note, len);
		return 0;
	case NOTE_MET:
		process_met(a, h, note, len);
		return 0;
	case NOTE_LOST:
		loss_told(a, h, note, len);
		return 0;
	case NOTE_CLOCK:
		set_clock(a, note, len);
		return 0;
	case NOTE_EPOCH:
		epoch_noted(a, h, note, len);
		return 0;
	case NOTE_FOLD:
		fold_noted(a, h, note, len);
		return 0;
	case NOTE_UNTAGGED:
		untagged_noted(a, note, len);
		return 0;
	case NOTE_HOLD:
		hold_noted(a, h, note, len);
		return 0;
	case NOTE_DAEMON:
		daemon_noted(a, h, note, len);
		return 0;
	}
	return 0;
}

static int on_event(struct attribute *a, const struct event_header *h)
{
	if (seen_mark(&a->seen, h->cpu, h->sequence, h->boottime_ns) == 0) {
		a->counts.doubles++;
		return 0;
	}
	a->counts.events[h->type]++;

	switch (h->type) {
	case EVENT_FORK:
		return process_fork(a, (const struct event_fork *)h);
	case EVENT_EXEC:
		return process_exec(a, (const struct event_exec *)h);
	case EVENT_EXIT:
		return process_exit(a, (const struct event_exit *)h);
	case EVENT_ADOPT:
		return process_adopt(a, (const struct event_exec *)h);
	case EVENT_CONNECT:
		return flow_connect(a, (const struct event_connect *)h);
	case EVENT_UNIX:
		return flow_unix(a, (const struct event_unix *)h);
	case EVENT_OUTCOME:
		return flow_outcome(a, (const struct event_outcome *)h);
	case EVENT_CLOSE:
		return flow_close(a, (const struct event_close *)h);
	case EVENT_UNTRACKED:
		return flow_untracked(a, (const struct event_untracked *)h);
	case EVENT_LISTEN:
		return flow_listen(a, (const struct event_listen *)h);
	case EVENT_TAG_LOST:
		return process_untagged(a, (const struct event_untagged *)h);
	}
	return 0;
}

int attribute_event(struct attribute *a, const struct event_header *h)
{
	int err = event_is_note(h) ? on_note(a, h) : on_event(a, h);

	if (h->boottime_ns > a->newest_ns)
		a->newest_ns = h->boottime_ns;
	return err;
}

void attribute_unknown(struct attribute *a, const struct event_header *h)
{
	if (!event_is_note(h) && seen_mark(&a->seen, h->cpu, h->sequence, h->boottime_ns) == 0)
		a->counts.doubles++;
	else
		a->dropped[LOSS_EVENT]++;
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t connection_deadline(const struct connection *first)
{
	return first ? first->deadline_ns : UINT64_MAX;
}

uint64_t attribute_tick(struct attribute *a, uint64_t now_ns)
{
	struct table *t = &a->table;

	a->now_ns = now_ns;
	/* What a turn of the loop has no time for is due in the next one. */
	while (effort_goes_on() && t->drafts && t->drafts->deadline_ns <= now_ns) {
		effort_walk(1);
		attribute_image_ready(a, t->drafts);
	}
	flow_due(a, now_ns);

	return earliest(t->drafts ? t->drafts->deadline_ns : UINT64_MAX,
			earliest(connection_deadline(t->awaiting),
				 connection_deadline(t->awaiting_datagrams)));
}

static bool ended_before(const struct attribute *a, const struct session *s)
{
	return a->config.ended && a->config.ended(a->config.data, &s->id);
}

void attribute_finish(struct attribute *a, bool reboot)
{
	struct session *s, *next;
	struct fold *f, *next_f;

	attribute_tick(a, UINT64_MAX);
	if (!reboot)
		return;
	HASH_ITER (hh, a->folding, f, next_f)
		fold_end(a, f->session, a->seen.now_ns ?: f->window->to_ns);
	/* It ended with the last that was heard of that boot. */
	HASH_ITER (hh, a->table.sessions, s, next)
		if (!ended_before(a, s))
			session_tell_end(a, s, s->source, a->seen.now_ns ?: s->started_ns, NULL,
					 AFFIANT__V1__SESSION_END_REASON__END_REBOOT);
}
