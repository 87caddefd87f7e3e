/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/fold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/pb.h"
#include "collect/attribute.h"
#include "collect/loss.h"
#include "record/segment.h"

#define DEBT_MIN (64 << 10) /* bytes: less is not worth a note */

/* ---- what there is of a session ---- */

static void room_unref(struct fold_room *r)
{
	if (r && !--r->refs)
		free(r);
}

static struct fold_room *room_of(struct attribute *a)
{
	if (!a->fold_room) {
		a->fold_room = calloc(1, sizeof(*a->fold_room));
		if (!a->fold_room)
			return NULL;
		a->fold_room->refs = 1;
	}
	a->fold_room->refs++;
	return a->fold_room;
}

static void window_free(struct fold *f)
{
	struct window *w = f->window;

	if (!w)
		return;
	for (uint32_t i = 0; i < w->keys.count; i++)
		free(w->entries[i].path);
	f->room->bytes -= w->bytes;
	keyset_clear(&w->keys);
	free(w->entries);
	free(w);
	f->window = NULL;
}

void fold_free(struct fold *f)
{
	if (!f)
		return;
	window_free(f);
	f->room->keys -= f->named.count + f->ran.count;
	keyset_clear(&f->named);
	keyset_clear(&f->ran);
	budget_unref(f->agent);
	room_unref(f->room);
	free(f);
}

static const char *agent_of(const struct session *s)
{
	return s->head && s->head->agent && s->head->agent->name ? s->head->agent->name
								 : ATTRIBUTE_UNKNOWN_AGENT;
}

struct fold *fold_of(struct attribute *a, struct session *s, uint64_t now_ns)
{
	struct fold *f = s->fold;

	if (f)
		return f;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->id = s->id;
	f->room = room_of(a);
	f->agent = f->room ? budget_get(&a->budgets, agent_of(s), now_ns) : NULL;
	if (!f->agent) {
		room_unref(f->room);
		free(f);
		return NULL;
	}
	s->fold = f;
	return f;
}

bool fold_remember(struct fold *f, struct keyset *to, const struct fold_key *key)
{
	bool new;

	if (keyset_find(to, key) >= 0)
		return true;
	if (to->count == FOLD_KEYS_MAX || f->room->keys == FOLD_KEYS_TOTAL ||
	    keyset_add(to, key, &new) < 0)
		return false;
	f->room->keys++;
	return true;
}

struct fold_key fold_destination(const struct fold_key *key)
{
	struct fold_key d = *key;

	d.what &= 0x0f;
	d.how &= 0xf0;
	return d;
}

/* ---- windows ---- */

int window_open(struct attribute *a, struct session *s, uint64_t from_ns)
{
	struct fold *f = s->fold;

	f->window = calloc(1, sizeof(*f->window));
	if (!f->window)
		return -ENOMEM;
	f->window->from_ns = f->window->to_ns = from_ns;
	f->session = session_ref(s);
	f->agent->windows++;
	HASH_ADD(hh, a->folding, id, sizeof(f->id), f);
	return 0;
}

static void window_close(struct attribute *a, struct session *s)
{
	window_free(s->fold);
	HASH_DEL(a->folding, s->fold);
	s->fold->session = NULL;
	s->fold->agent->windows--;
	session_unref(s);
}

void fold_clear(struct attribute *a)
{
	struct fold *f, *next;

	HASH_ITER (hh, a->folding, f, next)
		window_close(a, f->session);
	budgets_clear(&a->budgets);
	room_unref(a->fold_room);
	a->fold_room = NULL;
}

static bool make_entry(struct window *w, const struct fold_key *key, const void *path, size_t len)
{
	struct fold_entry *more, entry = {.len = path ? len : 0};
	bool new;

	if (w->keys.count == w->room) {
		more = reallocarray(w->entries, w->room ? 2 * w->room : 8, sizeof(*more));
		if (!more)
			return false;
		w->entries = more;
		w->room = w->room ? 2 * w->room : 8;
	}
	if (entry.len) {
		entry.path = malloc(entry.len);
		if (!entry.path)
			return false;
		memcpy(entry.path, path, entry.len);
	}
	if (keyset_add(&w->keys, key, &new) < 0) {
		free(entry.path);
		return false;
	}
	w->entries[w->keys.count - 1] = entry;
	return true;
}

struct fold_entry *window_entry(struct fold *f, const struct fold_key *key, const void *path,
				size_t len)
{
	const size_t bytes = 2 * sizeof(*key) + sizeof(struct fold_entry) + (path ? len : 0);
	struct window *w = f->window;
	ssize_t at = keyset_find(&w->keys, key);

	if (at >= 0)
		return &w->entries[at];
	if (w->bytes + bytes > FOLD_WINDOW_MAX || f->room->bytes + bytes > FOLD_WINDOWS_TOTAL ||
	    !make_entry(w, key, path, len))
		return NULL;
	w->bytes += bytes;
	f->room->bytes += bytes;
	return &w->entries[w->keys.count - 1];
}

static void add(struct fold_count *to, const struct fold_count *n)
{
	to->count += n->count;
	to->again += n->again;
	to->bytes_sent += n->bytes_sent;
	to->bytes_received += n->bytes_received;
	to->excess += n->excess;
}

/* All records of the session say from here on that they are not all there is. */
static void mark(struct session *s)
{
	if (!s->head || !s->head->session || s->head->session->folded)
		return;
	SET(s->head->session, folded, true);
	if (session_pack(s))
		s->packed_len = 0;
}

void fold_count(struct attribute *a, struct session *s, const struct fold_event *e,
		const struct fold_key *before)
{
	struct fold *f = fold_of(a, s, e->boottime_ns);
	struct fold_count n = e->n;
	struct fold_entry *to;
	ssize_t at;

	mark(s);
	if (!f || (!f->window && window_open(a, s, e->boottime_ns))) {
		a->dropped[LOSS_EVENT]++;
		return;
	}
	a->counts.folded++;
	if (e->boottime_ns < f->window->from_ns)
		f->window->from_ns = e->boottime_ns;
	if (e->boottime_ns > f->window->to_ns)
		f->window->to_ns = e->boottime_ns;
	if (before) {
		at = keyset_find(&f->window->keys, before);
		/* An attempt that found no room stays among the rest, whatever becomes of it. */
		if (at < 0 || !f->window->entries[at].n.count)
			return;
		f->window->entries[at].n.count--;
		n.again = 0;
	}
	to = window_entry(f, &e->key, e->path, e->len);
	add(to ? &to->n : &f->window->beyond[key_kind(&e->key)], &n);
	if (to && e->rank == RANK_NOTABLE)
		to->news = true;
}

/* ---- decisions ---- */

static void remember(struct fold *f, const struct fold_event *e)
{
	struct fold_key destination;

	if (e->ran.what)
		(void)fold_remember(f, &f->ran, &e->ran);
	if (key_kind(&e->key) != FOLD_KIND(CONNECT))
		return;
	destination = fold_destination(&e->key);
	if (!fold_remember(f, &f->named, &destination))
		f->named_full = true;
}

bool fold_takes(struct attribute *a, struct session *s, const struct fold_event *e)
{
	struct fold *f = a->budgets.state_bytes ? fold_of(a, s, e->boottime_ns) : NULL;

	if (!f)
		return false;
	if (budget_spend(&a->budgets, f->agent, &f->bucket, e->rank, e->price, e->boottime_ns)) {
		remember(f, e);
		return false;
	}
	fold_count(a, s, e, NULL);
	return true;
}

void fold_emitted(struct attribute *a, struct session *s, size_t len)
{
	struct fold *f = s && a->budgets.state_bytes ? fold_of(a, s, a->seen.now_ns) : NULL;

	if (f)
		f->agent->owed += len + SEGMENT_FRAME_HEADER_SIZE;
}

/* ---- ends of windows ---- */

void fold_end(struct attribute *a, struct session *s, uint64_t boottime_ns)
{
	if (!s->fold || !s->fold->window)
		return;
	fold_tell(a, s, boottime_ns);
	window_close(a, s);
}

void fold_noted(struct attribute *a, const struct event_header *h, const uint8_t *note, size_t len)
{
	Affiant__V1__NoteFold *m = affiant__v1__note_fold__unpack(NULL, len, note);
	struct budget *b;
	struct fold *f;

	if (!m)
		return;
	if (m->has_state_bytes && m->state_bytes <= BUDGET_STATE_MAX)
		a->budgets.state_bytes = m->state_bytes;
	for (size_t i = 0; i < m->n_debts; i++) {
		b = m->debts[i]->agent ? budget_find(&a->budgets, m->debts[i]->agent) : NULL;
		if (b)
			budget_charge(&a->budgets, b, NULL, m->debts[i]->bytes, h->boottime_ns);
	}
	for (size_t i = 0; i < m->n_sessions; i++) {
		f = NULL;
		if (m->sessions[i].len == UUID_SIZE)
			HASH_FIND(hh, a->folding, m->sessions[i].data, UUID_SIZE, f);
		if (f)
			fold_end(a, f->session, h->boottime_ns);
	}
	affiant__v1__note_fold__free_unpacked(m, NULL);
}

/*
 * After a second. An agent that has gone far beyond its budget waits longer, until what runs in
 * pays for the records of its windows.
 */
static bool is_due(const struct attribute *a, const struct fold *f, uint64_t now_ns)
{
	const uint64_t per_day = bucket_size_of_agent(a->budgets.state_bytes).per_day ?: 1;
	unsigned __int128 longest = FOLD_SECOND_NS;

	if (budget_deep(&a->budgets, f->agent, &f->bucket))
		longest = (unsigned __int128)fold_estimate(f) * f->agent->windows * 86400 *
			  FOLD_SECOND_NS / per_day;
	if (longest < FOLD_SECOND_NS)
		longest = FOLD_SECOND_NS;
	if (longest > FOLD_LONGEST_NS)
		longest = FOLD_LONGEST_NS;
	return now_ns >= f->window->from_ns && now_ns - f->window->from_ns >= longest;
}

static void add_sessions(struct attribute *a, uint64_t now_ns, Affiant__V1__NoteFold *m)
{
	struct fold *f, *next;

	HASH_ITER (hh, a->folding, f, next)
		if (m->n_sessions < FOLD_NOTE_MAX && is_due(a, f, now_ns))
			m->sessions[m->n_sessions++] = pb_copy(f->id.bytes, UUID_SIZE);
}

static void add_debts(struct attribute *a, Affiant__V1__NoteFold *m)
{
	struct budget *b, *next;

	HASH_ITER (hh, a->budgets.agents, b, next) {
		Affiant__V1__NoteDebt *d;

		/* Prices that were too high give credit, but not without bound. */
		if (b->owed < -DEBT_MIN)
			b->owed = -DEBT_MIN;
		if (b->owed < DEBT_MIN || m->n_debts == FOLD_NOTE_MAX)
			continue;
		d = malloc(sizeof(*d));
		if (!d)
			return;
		affiant__v1__note_debt__init(d);
		d->agent = strdup(b->agent);
		SET(d, bytes, b->owed);
		m->debts[m->n_debts++] = d;
	}
}

Affiant__V1__NoteFold *fold_due(struct attribute *a, uint64_t now_ns)
{
	Affiant__V1__NoteFold *m;

	if (!a->budgets.agents)
		return NULL;
	m = malloc(sizeof(*m));
	if (!m)
		return NULL;
	affiant__v1__note_fold__init(m);
	m->sessions = calloc(FOLD_NOTE_MAX, sizeof(*m->sessions));
	m->debts = calloc(FOLD_NOTE_MAX, sizeof(*m->debts));
	if (m->sessions && m->debts) {
		add_sessions(a, now_ns, m);
		add_debts(a, m);
	}
	if (m->n_sessions || m->n_debts)
		return m;
	affiant__v1__note_fold__free_unpacked(m, NULL);
	return NULL;
}
