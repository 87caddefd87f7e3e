/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/fold.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/pb.h"
#include "collect/attribute.h"
#include "collect/loss.h"
#include "collect/price.h"

#define GROUP_FRAMING 6      /* bytes around a group in the record, at most */
#define GROUP_ESTIMATE 48    /* of one without a path */
#define OTHERS_MAX (FOLD_KINDS * 64)
#define HEAD_MAX 512 /* ids and times, and what is not counted below */
#define LEAST 1024   /* bytes for names, however far it is beyond its budget */

/* A group, and what it points to. */
struct telling {
	Affiant__V1__FoldedGroup m;
	Affiant__V1__Endpoint endpoint;
};

/* The record while it is made. */
struct record {
	struct fold *fold;
	struct window *window;
	struct telling *groups; /* one for each entry, in use or not */
	bool *listed;           /* by entry */
	Affiant__V1__FoldedGroup **first, **busiest;
	size_t first_count, busiest_count;
	size_t left; /* bytes */
};

static Affiant__V1__Endpoint *endpoint_of(const struct fold_key *key, const struct fold_entry *e,
					  Affiant__V1__Endpoint *to)
{
	const unsigned int form = key_form(key);

	affiant__v1__endpoint__init(to);
	switch (form) {
	case FORM_IPV4:
	case FORM_IPV6:
		SET(to, address, pb_bytes(key->address, form == FORM_IPV4 ? 4 : 16));
		SET(to, port, key->port);
		if (key->scope)
			SET(to, scope_id, key->scope);
		return to;
	case FORM_PATH:
		SET(to, path, pb_bytes(e->path, e->len));
		return to;
	default:
		return NULL;
	}
}

static void set_untracked(Affiant__V1__FoldedGroup *m, const struct fold_key *key)
{
	uint16_t family;

	memcpy(&family, key->address, sizeof(family));
	SET(m, family, family);
	SET(m, type, key->port);
	SET(m, protocol_number, key->scope);
}

/* Its bytes in the record, framing included. */
static size_t make_group(struct telling *t, const struct fold_key *key, const struct fold_entry *e)
{
	const unsigned int kind = key_kind(key);
	Affiant__V1__FoldedGroup *m = &t->m;

	affiant__v1__folded_group__init(m);
	SET(m, kind, (Affiant__V1__FoldedKind)kind);
	SET(m, count, e->n.count);
	if (e->n.again)
		SET(m, again, e->n.again);
	if (key_protocol(key))
		SET(m, protocol, (Affiant__V1__Protocol)key_protocol(key));
	if (key_outcome(key))
		SET(m, outcome, (Affiant__V1__Outcome)key_outcome(key));
	if (kind == FOLD_KIND(EXEC) || kind == FOLD_KIND(EXIT)) {
		if (e->len)
			SET(m, path, pb_bytes(e->path, e->len));
	} else if (kind == FOLD_KIND(UNTRACKED_SOCKET)) {
		set_untracked(m, key);
	} else {
		m->destination = endpoint_of(key, e, &t->endpoint);
	}
	if (e->n.bytes_sent)
		SET(m, bytes_sent, e->n.bytes_sent);
	if (e->n.bytes_received)
		SET(m, bytes_received, e->n.bytes_received);
	if (e->n.excess)
		SET(m, excess_datagrams, e->n.excess);
	return affiant__v1__folded_group__get_packed_size(m) + GROUP_FRAMING;
}

/* False: there is no room for it in the record. */
static bool list(struct record *r, uint32_t at, Affiant__V1__FoldedGroup **to, size_t *count,
		 size_t *room)
{
	const size_t bytes =
		make_group(&r->groups[at], &r->window->keys.keys[at], &r->window->entries[at]);

	if (bytes > *room)
		return false;
	*room -= bytes;
	r->listed[at] = true;
	to[(*count)++] = &r->groups[at].m;
	return true;
}

/* ---- what no record has named ---- */

/* A destination counts once, whatever became of it there. */
static struct fold_key name_of(const struct fold_key *key)
{
	return key_kind(key) == FOLD_KIND(CONNECT) ? fold_destination(key) : *key;
}

/* What would be told on credit is named while there is room. */
static bool is_news(const struct record *r, uint32_t at)
{
	const struct fold_key *key = &r->window->keys.keys[at], name = name_of(key);

	switch (key_kind(key)) {
	case FOLD_KIND(CONNECT):
		return keyset_find(&r->fold->named, &name) < 0;
	case FOLD_KIND(EXEC):
	case FOLD_KIND(LISTENING):
		return r->window->entries[at].news;
	default:
		return false;
	}
}

/* Destinations alone: fold_destination() leaves them no kind. */
static void remember(struct record *r, const struct keyset *names)
{
	for (uint32_t i = 0; i < names->count; i++)
		if (!key_kind(&names->keys[i]) &&
		    !fold_remember(r->fold, &r->fold->named, &names->keys[i]))
			r->fold->named_full = true;
}

static void list_first(struct record *r)
{
	const struct keyset *keys = &r->window->keys;
	size_t room = r->left / 3 * 2, before = room;
	struct keyset names = {0};
	bool new;

	for (uint32_t i = 0; i < keys->count; i++) {
		const struct fold_key name = name_of(&keys->keys[i]);

		if (!r->window->entries[i].n.count || !is_news(r, i) ||
		    (names.count == FOLD_FIRST_MAX && keyset_find(&names, &name) < 0))
			continue;
		if (!list(r, i, r->first, &r->first_count, &room) ||
		    keyset_add(&names, &name, &new) < 0)
			break;
	}
	r->left -= before - room;
	remember(r, &names);
	keyset_clear(&names);
}

/* ---- the busiest ---- */

/* The highest counts first; of equal ones those that came first. */
static size_t find_busiest(const struct record *r, uint32_t top[static FOLD_BUSIEST_MAX])
{
	const struct fold_entry *entries = r->window->entries;
	size_t n = 0;

	for (uint32_t i = 0; i < r->window->keys.count; i++) {
		const uint64_t count = r->listed[i] ? 0 : entries[i].n.count;
		size_t at = n;

		if (!count || (n == FOLD_BUSIEST_MAX && count <= entries[top[n - 1]].n.count))
			continue;
		while (at && entries[top[at - 1]].n.count < count)
			at--;
		n += n < FOLD_BUSIEST_MAX;
		memmove(&top[at + 1], &top[at], (n - at - 1) * sizeof(*top));
		top[at] = i;
	}
	return n;
}

static void list_busiest(struct record *r)
{
	uint32_t top[FOLD_BUSIEST_MAX];
	size_t n = find_busiest(r, top);

	for (size_t i = 0; i < n; i++)
		(void)list(r, top[i], r->busiest, &r->busiest_count, &r->left);
}

/* ---- the rest ---- */

static void add_others(Affiant__V1__FoldedOthers *to, const struct fold_count *n)
{
	SET(to, count, to->count + n->count);
	if (n->again)
		SET(to, again, to->again + n->again);
	if (n->bytes_sent)
		SET(to, bytes_sent, to->bytes_sent + n->bytes_sent);
	if (n->bytes_received)
		SET(to, bytes_received, to->bytes_received + n->bytes_received);
	if (n->excess)
		SET(to, excess_datagrams, to->excess_datagrams + n->excess);
}

static size_t make_others(const struct record *r,
			  Affiant__V1__FoldedOthers others[static FOLD_KINDS],
			  Affiant__V1__FoldedOthers *list[static FOLD_KINDS])
{
	const struct window *w = r->window;
	size_t n = 0;

	for (unsigned int kind = 0; kind < FOLD_KINDS; kind++) {
		affiant__v1__folded_others__init(&others[kind]);
		SET(&others[kind], kind, (Affiant__V1__FoldedKind)kind);
		add_others(&others[kind], &w->beyond[kind]);
		if (w->beyond[kind].count)
			SET(&others[kind], distinct_at_least, true);
	}
	for (uint32_t i = 0; i < w->keys.count; i++) {
		Affiant__V1__FoldedOthers *of = &others[key_kind(&w->keys.keys[i])];

		if (r->listed[i] || !w->entries[i].n.count)
			continue;
		add_others(of, &w->entries[i].n);
		SET(of, distinct, of->distinct + 1);
	}
	for (unsigned int kind = 0; kind < FOLD_KINDS; kind++)
		if (others[kind].count)
			list[n++] = &others[kind];
	return n;
}

/* ---- the record ---- */

uint64_t fold_estimate(const struct fold *f)
{
	const struct window *w = f->window;
	const uint64_t groups = w->keys.count < FOLD_FIRST_MAX ? w->keys.count : FOLD_FIRST_MAX;
	const uint64_t paths = w->bytes < TELL_RECORD_MAX / 2 ? w->bytes : TELL_RECORD_MAX / 2;

	return price_session(f->session) + PRICE_FOLDED +
	       (paths < groups * GROUP_ESTIMATE ? paths : groups * GROUP_ESTIMATE);
}

static void send(struct attribute *a, struct session *s, struct record *r, uint64_t boottime_ns)
{
	Affiant__V1__FoldedOthers others[FOLD_KINDS], *others_list[FOLD_KINDS];
	Affiant__V1__Record record = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__Folded m = AFFIANT__V1__FOLDED__INIT;

	SET(&m, from_boottime_ns, r->window->from_ns);
	SET(&m, to_boottime_ns, r->window->to_ns);
	m.first = r->first;
	m.n_first = r->first_count;
	m.busiest = r->busiest;
	m.n_busiest = r->busiest_count;
	m.others = others_list;
	m.n_others = make_others(r, others, others_list);
	if (s->fold->named_full && r->first_count)
		SET(&m, first_unsure, true);
	record.body_case = AFFIANT__V1__RECORD__BODY_FOLDED;
	record.folded = &m;
	if (m.n_first || m.n_busiest || m.n_others) {
		budget_charge(&a->budgets, s->fold->agent, &s->fold->bucket,
			      price_session(s) + PRICE_FOLDED +
				      affiant__v1__folded__get_packed_size(&m),
			      boottime_ns);
		(void)tell(a, s->source, PART_FOLDED + s->fold->number, boottime_ns, &record, NULL,
			   s);
	}
	s->fold->number++;
}

/*
 * Bytes for what is named. Of an agent far beyond its budget, what ran in meanwhile: its sessions
 * share that.
 */
static size_t room_of(const struct attribute *a, const struct session *s, uint64_t boottime_ns)
{
	const size_t most = TELL_RECORD_MAX - HEAD_MAX - OTHERS_MAX;
	const struct fold *f = s->fold;
	size_t room = s->packed_len < most ? most - s->packed_len : 0;
	unsigned __int128 ran_in;

	if (!budget_deep(&a->budgets, f->agent, &f->bucket))
		return room;
	ran_in = boottime_ns > f->window->from_ns ? boottime_ns - f->window->from_ns : 0;
	ran_in = ran_in * bucket_size_of_agent(a->budgets.state_bytes).per_day /
		 (86400 * FOLD_SECOND_NS) / (f->agent->windows ?: 1);
	if (ran_in < LEAST)
		ran_in = LEAST;
	return ran_in < room ? (size_t)ran_in : room;
}

void fold_tell(struct attribute *a, struct session *s, uint64_t boottime_ns)
{
	struct window *w = s->fold->window;
	const size_t n = w->keys.count;
	struct record r = {.fold = s->fold, .window = w};
	_cleanup_free_ struct telling *groups = calloc(n + 1, sizeof(*groups));
	_cleanup_free_ bool *listed = calloc(n + 1, sizeof(*listed));
	_cleanup_free_ Affiant__V1__FoldedGroup **first = calloc(n + 1, sizeof(*first));
	Affiant__V1__FoldedGroup *busiest[FOLD_BUSIEST_MAX];

	r.left = room_of(a, s, boottime_ns);
	r.groups = groups;
	r.listed = listed;
	r.first = first;
	r.busiest = busiest;
	if (!groups || !listed || !first) {
		a->dropped[LOSS_RECORD]++;
		s->fold->number++;
		return;
	}
	list_first(&r);
	list_busiest(&r);
	send(a, s, &r, boottime_ns);
}
