/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/loss.h"

#include <stdlib.h>
#include <string.h>

#include "base/pb.h"
#include "collect/decode.h"
#include "collect/untagged.h"

#define GAPS_MAX 64 /* ranges in one Lost record: LOSS_NUMBER counts the others, too */

static const struct {
	const char *stage, *kind;
} names[LOSS_ALL] = {
	[EVENT_FORK] = {"ring", "fork"},
	[EVENT_EXEC] = {"ring", "exec"},
	[EVENT_EXIT] = {"ring", "exit"},
	[EVENT_ADOPT] = {"ring", "adopt"},
	[EVENT_CONNECT] = {"ring", "connect"},
	[EVENT_OUTCOME] = {"ring", "outcome"},
	[EVENT_CLOSE] = {"ring", "close"},
	[EVENT_UNIX] = {"ring", "connect_unix"},
	[EVENT_UNTRACKED] = {"ring", "untracked_socket"},
	[EVENT_TAG_LOST] = {"ring", "tag_lost"},
	[EVENT_LISTEN] = {"ring", "listen"},
	[LOSS_STORAGE] = {"storage", "outcome"},
	[LOSS_TAG] = {"tag", "process"},
	[LOSS_CGROUP] = {"cgroup", "cgroup"},
	[LOSS_SLOT] = {"hook", "slot"},
	[LOSS_HOOK] = {"hook", "run"},
	[LOSS_CHAIN] = {"chain", "open"},
	[LOSS_TABLE] = {"table", "connection"},
	[LOSS_JOURNAL] = {"journal", "byte"},
	[LOSS_RECORD] = {"ledger", "record"},
	[LOSS_EVENT] = {"decode", "event"},
	[LOSS_NUMBER] = {"sequence", "number"},
};
_Static_assert(LOSS_ALL <= LOSS_SLOTS, "struct attribute has room for each");

static Affiant__V1__LostCount *count_new(unsigned int kind, uint64_t count)
{
	Affiant__V1__LostCount *c = malloc(sizeof(*c));

	if (!c)
		return NULL;
	affiant__v1__lost_count__init(c);
	c->stage = strdup(names[kind].stage);
	c->kind = strdup(names[kind].kind);
	c->has_count = true;
	c->count = count;
	return c;
}

static void copy_gaps(struct attribute *a, Affiant__V1__Lost *m)
{
	m->ranges = calloc(a->gaps_count + 1, sizeof(*m->ranges));
	for (size_t i = 0; m->ranges && i < a->gaps_count; i++) {
		m->ranges[i] = malloc(sizeof(a->gaps[i]));
		if (!m->ranges[i])
			break;
		*m->ranges[i] = a->gaps[i];
		m->n_ranges++;
	}
}

void loss_now(const struct attribute *a, const uint64_t kernel[static LOSS_ALL],
	      uint64_t ret[static LOSS_ALL])
{
	for (unsigned int kind = 0; kind < LOSS_ALL; kind++)
		ret[kind] = kernel[kind] + a->dropped[kind];
}

Affiant__V1__Lost *loss_since(struct attribute *a, const uint64_t kernel[static LOSS_ALL])
{
	uint64_t totals[LOSS_ALL];
	Affiant__V1__Lost *m;
	bool any;

	/* A gap that no counter explains is told too. */
	seen_ripen(&a->seen);
	loss_now(a, kernel, totals);
	any = a->gaps_count > 0 || untagged_ready(a);
	for (unsigned int kind = 0; kind < LOSS_ALL; kind++)
		any |= names[kind].stage && totals[kind] > a->losses[kind];
	if (!any)
		return NULL;

	m = malloc(sizeof(*m));
	if (!m)
		return NULL;
	affiant__v1__lost__init(m);
	if (a->lost_ns)
		SET(m, from_boottime_ns, a->lost_ns);
	m->counts = calloc(LOSS_ALL, sizeof(*m->counts));
	m->totals = calloc(LOSS_ALL, sizeof(*m->totals));
	for (unsigned int kind = 0; m->counts && m->totals && kind < LOSS_ALL; kind++) {
		if (!totals[kind] || !names[kind].stage)
			continue;
		m->totals[m->n_totals] = count_new(kind, totals[kind]);
		m->n_totals += !!m->totals[m->n_totals];
		if (totals[kind] <= a->losses[kind])
			continue;
		m->counts[m->n_counts] = count_new(kind, totals[kind] - a->losses[kind]);
		m->n_counts += !!m->counts[m->n_counts];
	}
	copy_gaps(a, m);
	untagged_name(a, m);
	return m;
}

void loss_set_totals(uint64_t totals[static LOSS_ALL], Affiant__V1__LostCount *const *counts,
		     size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (unsigned int kind = 0; kind < LOSS_ALL; kind++)
			if (names[kind].stage && counts[i]->stage && counts[i]->kind &&
			    !strcmp(names[kind].stage, counts[i]->stage) &&
			    !strcmp(names[kind].kind, counts[i]->kind))
				totals[kind] = counts[i]->count;
}

size_t loss_totals(const uint64_t totals[static LOSS_ALL],
		   Affiant__V1__LostCount ret[static LOSS_ALL])
{
	size_t n = 0;

	for (unsigned int kind = 0; kind < LOSS_ALL; kind++) {
		if (!totals[kind] || !names[kind].stage)
			continue;
		affiant__v1__lost_count__init(&ret[n]);
		ret[n].stage = (char *)names[kind].stage;
		ret[n].kind = (char *)names[kind].kind;
		ret[n].has_count = true;
		ret[n++].count = totals[kind];
	}
	return n;
}

/*
 * Gaps are found at slightly other moments when a journal is read again: what was told is not told
 * once more.
 */
static void forget_gap(struct attribute *a, const Affiant__V1__LostRange *told)
{
	seen_forgive(&a->seen, told->cpu, told->first, told->last);
	for (size_t i = 0; i < a->gaps_count; i++) {
		if (a->gaps[i].cpu != told->cpu || a->gaps[i].first != told->first ||
		    a->gaps[i].last != told->last)
			continue;
		a->gaps_count--;
		memmove(&a->gaps[i], &a->gaps[i + 1], (a->gaps_count - i) * sizeof(a->gaps[i]));
		return;
	}
}

/* Those that are not found again were told, and of those that are found some were not. */
static void restore_numbers(struct attribute *a)
{
	uint64_t numbers = a->losses[LOSS_NUMBER];

	for (size_t i = 0; i < a->gaps_count; i++)
		numbers += a->gaps[i].last - a->gaps[i].first + 1;
	if (a->gaps_count < GAPS_MAX || a->dropped[LOSS_NUMBER] < numbers)
		a->dropped[LOSS_NUMBER] = numbers;
}

/*
 * A saved state knows less of what user space dropped than was told behind it. What was damaged of a
 * journal is counted anew whenever that is read, and of LOSS_CGROUP a part is the kernel's.
 */
static void restore_dropped(struct attribute *a)
{
	static const unsigned int kinds[] = {LOSS_CHAIN, LOSS_TABLE, LOSS_RECORD, LOSS_EVENT};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (a->dropped[kinds[i]] < a->losses[kinds[i]])
			a->dropped[kinds[i]] = a->losses[kinds[i]];
	restore_numbers(a);
}

void loss_resume(struct attribute *a, const Affiant__V1__Lost *lost,
		 const Affiant__V1__Lost *before)
{
	uint64_t told[LOSS_ALL] = {0}, others[LOSS_ALL] = {0};

	if (lost)
		loss_set_totals(told, lost->totals, lost->n_totals);
	if (before)
		loss_set_totals(others, before->totals, before->n_totals);
	for (unsigned int kind = 0; kind < LOSS_ALL; kind++) {
		/* The kernel counts its own; of those of user space nobody has kept the count. */
		uint64_t dropped = kind <= LOSS_HOOK ? others[kind] : told[kind];

		if (a->losses[kind] < told[kind])
			a->losses[kind] = told[kind];
		if (a->dropped[kind] < dropped)
			a->dropped[kind] = dropped;
	}
	restore_numbers(a);
}

void loss_told(struct attribute *a, const struct event_header *h, const uint8_t *note, size_t len)
{
	Affiant__V1__Lost *m = affiant__v1__lost__unpack(NULL, len, note);
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;

	if (!m)
		return;
	loss_set_totals(a->losses, m->totals, m->n_totals);
	seen_ripen(&a->seen);
	for (size_t i = 0; i < m->n_ranges; i++)
		forget_gap(a, m->ranges[i]);
	restore_dropped(a);
	a->lost_ns = h->boottime_ns;
	untagged_named(a, m);
	r.body_case = AFFIANT__V1__RECORD__BODY_LOST;
	r.lost = m;
	if (m->n_counts || m->n_ranges || m->n_processes)
		(void)tell(a, event_source(h), PART_MAIN, h->boottime_ns, &r, NULL, NULL);
	affiant__v1__lost__free_unpacked(m, NULL);
}

void loss_gap(void *attribute, uint32_t cpu, uint64_t first, uint64_t last)
{
	struct attribute *a = attribute;
	Affiant__V1__LostRange *r;

	a->dropped[LOSS_NUMBER] += last - first + 1;
	if (a->gaps_count == GAPS_MAX)
		return;
	if (!a->gaps)
		a->gaps = calloc(GAPS_MAX, sizeof(*a->gaps));
	if (!a->gaps)
		return;
	r = &a->gaps[a->gaps_count++];
	affiant__v1__lost_range__init(r);
	r->has_cpu = r->has_first = r->has_last = true;
	r->cpu = cpu;
	r->first = first;
	r->last = last;
}
