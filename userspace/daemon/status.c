/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/effort.h"
#include "base/pb.h"
#include "collect/decode.h"
#include "collect/loss.h"
#include "collect/power.h"
#include "daemon/attester.h"
#include "daemon/core.h"
#include "daemon/evidence.h"
#include "daemon/executables.h"
#include "daemon/joining.h"
#include "daemon/limits.h"
#include "daemon/turn.h"

#define REFUSALS_MAX 16
#define BEHIND_MAX (BEHIND_HOOKS * BEHIND_PROGRAMS)

static uint64_t resident_bytes(void)
{
	_cleanup_fclose_ FILE *f = effort_fopen("/proc/self/statm");
	unsigned long total, resident;

	if (!f || fscanf(f, "%lu %lu", &total, &resident) != 2)
		return 0;
	return (uint64_t)resident * sysconf(_SC_PAGESIZE);
}

/* Of those that live: no digest of theirs is proven. */
static uint64_t count_unproven(const struct attribute *a)
{
	struct session *s, *next;
	uint64_t n = 0;

	effort_walk(HASH_COUNT(a->table.sessions)); /* limits.sessions */
	HASH_ITER (hh, a->table.sessions, s, next)
		n += power_had(a, s);
	return n;
}

/* @lost, @list: what @m borrows. Those that wait to be told are among them. */
static void set_losses(struct core *c, Affiant__V1__Status *m,
		       Affiant__V1__LostCount lost[static LOSS_ALL],
		       Affiant__V1__LostCount *list[static LOSS_ALL])
{
	uint64_t totals[LOSS_ALL] = {0}, untold = 0;

	(void)source_losses(c->source, totals, &totals[LOSS_HOOK]); /* else what was told remains */
	core_count_dropped(c);
	loss_now(c->attribute, totals, totals);
	for (unsigned int kind = 0; kind < LOSS_ALL; kind++) {
		uint64_t told = c->attribute->losses[kind];

		if (totals[kind] > told)
			untold += totals[kind] - told;
		else
			totals[kind] = told;
	}
	m->n_lost = loss_totals(totals, lost);
	for (size_t i = 0; i < m->n_lost; i++)
		list[i] = &lost[i];
	m->lost = list;
	SET(m, lost_untold, untold);
}

static void set_turns(Affiant__V1__Turns *m)
{
	const struct turn_most *most = turn_most();

	SET(m, files, most->effort.files);
	SET(m, bytes, most->effort.bytes);
	SET(m, entries, most->effort.entries);
	SET(m, cpu_us, most->cpu_ns / 1000);
	SET(m, wall_us, most->wall_ns / 1000);
	SET(m, beyond, most->beyond);
}

static size_t list_size(const char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n;
}

static void set_storage(struct core *c, Affiant__V1__Status *m)
{
	struct ledger_stats stats;

	ledger_stats(c->ledger, &stats);
	SET(m, segment_bytes, stats.bytes);
	SET(m, last_sequence, stats.next_sequence - 1);
	SET(m, oldest_sequence, stats.oldest_sequence);
	if (c->void_records)
		SET(m, void_records, c->void_records);
	SET(m, journal_bytes, journal_bytes(c->journal));
	if (c->full)
		m->unwritable = (char *)strerrordesc_np(-c->full);
	if (c->undurable || c->save_error)
		m->unsaved = (char *)strerrordesc_np(-(c->undurable ?: c->save_error));
	SET(m, ring_bytes, source_ring_size(c->source));
	SET(m, ring_used, source_ring_used(c->source));
	SET(m, tags_max, source_tags_max(c->source));
}

static size_t list_detached(const struct core *c, char *ret[static 64])
{
	size_t n = 0;

	for (size_t i = 0; source_hook(i); i++)
		if (c->detached >> i & 1)
			ret[n++] = (char *)source_hook(i);
	return n;
}

struct behind_list {
	size_t count;
	Affiant__V1__BehindProgram *list[BEHIND_MAX];
	Affiant__V1__BehindProgram programs[BEHIND_MAX];
	char names[BEHIND_MAX][sizeof(((struct behind *)0)->name) + 1];
};

static void add_behind(void *behind, enum behind_hook hook, uint32_t id, const char *name)
{
	struct behind_list *b = behind;
	Affiant__V1__BehindProgram *m;

	if (b->count == BEHIND_MAX)
		return;
	m = b->list[b->count] = &b->programs[b->count];
	affiant__v1__behind_program__init(m);
	m->hook = (char *)source_behind_word(hook);
	SET(m, id, id);
	m->name = b->names[b->count++];
	snprintf(m->name, sizeof(*b->names), "%s", name);
}

static void set_cache(struct core *c, Affiant__V1__HashCache *m)
{
	struct filehash_stats stats;

	filehash_stats(c->hash, &stats);
	SET(m, entries, stats.entries);
	SET(m, max, stats.max);
	SET(m, hits, stats.hits);
	SET(m, misses, stats.misses);
	SET(m, queued, stats.queued);
	SET(m, bytes_hashed, stats.bytes);
}

static const char *tpm_state_word(enum tpm_state state)
{
	static const char *const words[] = {"starting", "ready", "lost", "locked_out", "unusable"};

	return words[state];
}

/* @t, @identity: what @m borrows from. */
static void set_tpm(struct core *c, Affiant__V1__TpmStatus *m, struct tpm_status *t)
{
	struct attester *a = evidence_attester(c->evidence);
	const struct tpm_identity *identity;
	char why[256];

	tpm_worker_status(attester_tpm(a), t);
	(void)attester_ready(a, why, sizeof(why));
	identity = attester_identity(a);
	m->state = (char *)tpm_state_word(t->state);
	m->error = *t->error ? t->error : NULL;
	if (identity) {
		m->manufacturer = (char *)identity->manufacturer;
		m->vendor = (char *)identity->vendor;
		SET(m, ak_name, pb_bytes(identity->ak_name, identity->ak_name_len));
	}
	SET(m, enrolled, attester_ak_chain(a) != NULL);
	SET(m, commands, t->commands);
	SET(m, quotes, t->quotes);
	SET(m, failures, t->failures);
	SET(m, reconnects, t->reconnects);
}

static size_t set_refusals(const struct evidence_stats *stats, Affiant__V1__Counter *counters,
			   Affiant__V1__Counter **list)
{
	size_t n = 0;

	for (size_t i = 0; i < stats->codes_count && n < REFUSALS_MAX; i++) {
		if (!stats->by_code[i])
			continue;
		affiant__v1__counter__init(&counters[n]);
		counters[n].name = (char *)stats->codes[i];
		SET(&counters[n], count, stats->by_code[i]);
		list[n] = &counters[n];
		n++;
	}
	return n;
}

static void set_evidence(const struct core *c, Affiant__V1__Status *m,
			 Affiant__V1__Counter refused[static REFUSALS_MAX],
			 Affiant__V1__Counter *list[static REFUSALS_MAX])
{
	struct evidence_stats evidence;

	evidence_stats(c->evidence, &evidence);
	SET(m, evidence_given, evidence.given);
	SET(m, evidence_waiting, evidence.waiting);
	SET(m, evidence_batches, evidence.batches);
	m->n_evidence_refused = set_refusals(&evidence, refused, list);
	m->evidence_refused = list;
}

static void set_events(const struct core *c, Affiant__V1__Status *m,
		       Affiant__V1__Counter events[static EVENT_TYPES],
		       Affiant__V1__Counter *list[static EVENT_TYPES])
{
	for (unsigned int type = 1; type < EVENT_TYPES; type++) {
		affiant__v1__counter__init(&events[type]);
		events[type].name = (char *)event_type_name(type);
		SET(&events[type], count, c->attribute->counts.events[type]);
		list[m->n_events++] = &events[type];
	}
	m->events = list;
}

static void set_table(const struct attribute *a, Affiant__V1__Status *m)
{
	SET(m, sessions, HASH_COUNT(a->table.sessions));
	SET(m, sessions_unproven, count_unproven(a));
	SET(m, processes, HASH_COUNT(a->table.processes));
	SET(m, connections, HASH_COUNT(a->table.connections));
}

/* What agents past their budgets have. */
static void set_floods(struct core *c, Affiant__V1__Status *m)
{
	SET(m, events_folded, c->attribute->counts.folded);
	SET(m, sessions_folding, HASH_COUNT(c->attribute->folding));
	SET(m, opens_refused, c->opens_refused);
	SET(m, selectors_joined, joining_count(c));
}

/* @tags: NULL: they could not be counted. */
static void answer(struct core *c, struct server_call *call, const uint64_t *tags)
{
	const char *limits[LIMIT_ALL];
	Affiant__V1__Response r = AFFIANT__V1__RESPONSE__INIT;
	Affiant__V1__Status m = AFFIANT__V1__STATUS__INIT;
	Affiant__V1__HashCache cache = AFFIANT__V1__HASH_CACHE__INIT;
	Affiant__V1__Counter events[EVENT_TYPES], *event_list[EVENT_TYPES], records,
		*record_list[] = {&records};
	Affiant__V1__TpmStatus tpm = AFFIANT__V1__TPM_STATUS__INIT;
	Affiant__V1__Counter refused[REFUSALS_MAX], *refused_list[REFUSALS_MAX];
	struct tpm_status tpm_now;
	Affiant__V1__Turns turns = AFFIANT__V1__TURNS__INIT;
	Affiant__V1__LostCount lost[LOSS_ALL], *lost_list[LOSS_ALL];
	_cleanup_free_ Affiant__V1__SelectorGap **gaps = NULL;
	char *detached[64];
	_cleanup_free_ struct behind_list *behind = calloc(1, sizeof(*behind));

	core_drain(c);
	m.version = (char *)AFFIANT_VERSION;
	SET(&m, started_wall_ns, c->started_wall_ns);
	set_table(c->attribute, &m);
	set_events(c, &m, events, event_list);
	m.records = record_list;
	m.n_records = 1;
	affiant__v1__counter__init(&records);
	records.name = (char *)"records";
	SET(&records, count, c->attribute->counts.records);
	set_floods(c, &m);
	set_losses(c, &m, lost, lost_list);
	SET(&m, doubles, c->attribute->counts.doubles);
	set_storage(c, &m);
	if (tags)
		SET(&m, tags, *tags);
	set_cache(c, &cache);
	m.cache = &cache;
	if (attester_tpm(evidence_attester(c->evidence))) {
		set_tpm(c, &tpm, &tpm_now);
		m.tpm = &tpm;
	}
	set_evidence(c, &m, refused, refused_list);
	SET(&m, left_alone, selectors_left_alone(c->selectors));
	m.selector_gaps = gaps =
		executables_gaps(selectors_executables(c->selectors), &m.n_selector_gaps);
	if (behind && !source_behind(c->source, add_behind, behind)) {
		m.behind = behind->list;
		m.n_behind = behind->count;
	}
	set_turns(&turns);
	m.turns = &turns;
	m.n_limits = limits_list(core_boottime_ns(), limits);
	m.limits = (char **)limits;
	m.n_detached = list_detached(c, detached);
	m.detached = detached;
	SET(&m, resident_bytes, resident_bytes());
	m.features = (char **)source_features(c->source);
	m.n_features = list_size(source_features(c->source));
	m.missing = (char **)source_missing(c->source);
	m.n_missing = list_size(source_missing(c->source));

	r.answer_case = AFFIANT__V1__RESPONSE__ANSWER_STATUS;
	r.status = &m;
	server_answer(call, &r);
}

/* ---- all tags are counted beside the loop ---- */

struct counting {
	struct core *core;
	struct server_call *call;
	uint64_t tags;
	int err;
};

static int count_tag(pid_t tgid, const struct tag *tag, void *counting)
{
	(void)tgid, (void)tag;
	((struct counting *)counting)->tags++;
	return 0;
}

static void count_tags(void *counting)
{
	struct counting *n = counting;

	n->err = source_each_tag(n->core->source, count_tag, n);
}

static void counted(void *counting, int err)
{
	const struct counting *n = counting;

	answer(n->core, n->call, err || n->err ? NULL : &n->tags);
}

void core_get_status(void *core, struct server_call *call)
{
	struct core *c = core;
	struct counting *n = calloc(1, sizeof(*n));
	const struct aside_work work = {
		.wait_ns = ASIDE_ENDS, .run = count_tags, .done = counted, .free = free, .data = n};

	if (n) {
		n->core = c;
		n->call = call;
		if (!aside_submit(c->aside, &work))
			return;
	}
	free(n);
	answer(c, call, NULL);
}
