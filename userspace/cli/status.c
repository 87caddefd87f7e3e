/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/units.h"
#include "cli/answer.h"
#include "cli/cmd.h"

static const char usage[] =
	"Usage: affiant status [OPTION]...\n"
	"Shows what the daemon sees and keeps: sessions, rates, losses, cache, memory.\n"
	"\n"
	"  -o, --output WHAT  text (default), or json\n"
	"  --socket PATH      affiantd's socket, if not the usual one\n"
	"  -h, --help\n"
	"\n"
	"Exit code: 0, 1 when the daemon can't be asked, 64 for a wrong option.\n";

static json_t *counters(Affiant__V1__Counter *const *list, size_t n)
{
	json_t *o = json_object();

	for (size_t i = 0; i < n; i++)
		json_object_set_new(o, list[i]->name ?: "", json_integer(list[i]->count));
	return o;
}

static json_t *words(char *const *list, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(a, json_string(list[i]));
	return a;
}

static json_t *losses(const Affiant__V1__Status *s)
{
	json_t *a = json_array();

	for (size_t i = 0; i < s->n_lost; i++)
		json_array_append_new(a,
				      json_pack("{s:s, s:s, s:I}", "stage", s->lost[i]->stage ?: "",
						"kind", s->lost[i]->kind ?: "", "count",
						(json_int_t)s->lost[i]->count));
	return a;
}

/* In seconds since the boot; null: unknown. */
static json_t *boottime(bool has, uint64_t ns)
{
	return has ? json_real(ns / 1e9) : json_null();
}

static json_t *selector_gaps(const Affiant__V1__Status *s)
{
	json_t *a = json_array();

	for (size_t i = 0; i < s->n_selector_gaps; i++) {
		const Affiant__V1__SelectorGap *g = s->selector_gaps[i];

		json_array_append_new(
			a, json_pack("{s:s, s:I, s:o, s:o, s:s?, s:b}", "selector",
				     g->selector ?: "", "gaps", (json_int_t)g->gaps, "from_boottime",
				     boottime(g->has_from_boottime_ns, g->from_boottime_ns),
				     "to_boottime",
				     boottime(g->has_to_boottime_ns, g->to_boottime_ns), "error",
				     g->error, "leads_nowhere", (int)g->leads_nowhere));
	}
	return a;
}

static json_t *behind(const Affiant__V1__Status *s)
{
	json_t *a = json_array();

	for (size_t i = 0; i < s->n_behind; i++) {
		_cleanup_free_ char *name = answer_text(s->behind[i]->name, 0);

		json_array_append_new(
			a, json_pack("{s:s, s:I, s:s}", "hook", s->behind[i]->hook ?: "", "id",
				     (json_int_t)s->behind[i]->id, "name", name ?: ""));
	}
	return a;
}

static json_t *turns_json(const Affiant__V1__Turns *t)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "files", (json_int_t)t->files, "bytes",
			 (json_int_t)t->bytes, "entries", (json_int_t)t->entries, "cpu_us",
			 (json_int_t)t->cpu_us, "wall_us", (json_int_t)t->wall_us, "beyond",
			 (json_int_t)t->beyond);
}

static json_t *hex_json(const ProtobufCBinaryData *b)
{
	_cleanup_free_ char *hex = malloc(2 * b->len + 1);

	if (!hex)
		return NULL;
	hex_encode(b->data, b->len, hex);
	return json_string(hex);
}

/* Null: none is configured. */
static json_t *tpm_json(const Affiant__V1__TpmStatus *t)
{
	if (!t)
		return json_null();
	return json_pack(
		"{s:s, s:s?, s:s?, s:s?, s:o, s:b, s:I, s:I, s:I, s:I}", "state", t->state ?: "",
		"error", t->error, "manufacturer", t->manufacturer, "vendor", t->vendor, "ak_name",
		t->has_ak_name ? hex_json(&t->ak_name) : json_null(), "enrolled", (int)t->enrolled,
		"commands", (json_int_t)t->commands, "quotes", (json_int_t)t->quotes, "failures",
		(json_int_t)t->failures, "reconnects", (json_int_t)t->reconnects);
}

static json_t *status_json(const Affiant__V1__Status *s)
{
	char started[ANSWER_TIME_SIZE];
	json_t *o = json_object();
	const struct {
		const char *key;
		uint64_t value;
	} numbers[] = {
		{"sessions", s->sessions},           {"processes", s->processes},
		{"connections", s->connections},     {"tags", s->tags},
		{"tags_max", s->tags_max},           {"ring_bytes", s->ring_bytes},
		{"ring_used", s->ring_used},         {"journal_bytes", s->journal_bytes},
		{"segment_bytes", s->segment_bytes}, {"oldest_sequence", s->oldest_sequence},
		{"last_sequence", s->last_sequence}, {"resident_bytes", s->resident_bytes},
		{"left_alone", s->left_alone},       {"sessions_unproven", s->sessions_unproven},
		{"doubles", s->doubles},             {"lost_untold", s->lost_untold},
		{"events_folded", s->events_folded}, {"sessions_folding", s->sessions_folding},
		{"void_records", s->void_records},
		{"opens_refused", s->opens_refused}, {"selectors_joined", s->selectors_joined},
	};

	answer_time(s->started_wall_ns, started);
	json_object_set_new(o, "version", json_string(s->version ?: ""));
	json_object_set_new(o, "started", json_string(started));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		json_object_set_new(o, numbers[i].key, json_integer(numbers[i].value));
	json_object_set_new(o, "unwritable",
			    s->unwritable ? json_string(s->unwritable) : json_null());
	json_object_set_new(o, "unsaved", s->unsaved ? json_string(s->unsaved) : json_null());
	json_object_set_new(o, "events", counters(s->events, s->n_events));
	json_object_set_new(o, "records", counters(s->records, s->n_records));
	json_object_set_new(o, "lost", losses(s));
	json_object_set_new(o, "selector_gaps", selector_gaps(s));
	json_object_set_new(o, "behind", behind(s));
	json_object_set_new(o, "detached", words(s->detached, s->n_detached));
	json_object_set_new(o, "limits", words(s->limits, s->n_limits));
	if (s->turns)
		json_object_set_new(o, "turns", turns_json(s->turns));
	if (s->cache)
		json_object_set_new(o, "cache",
				    json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "entries",
					      (json_int_t)s->cache->entries, "max",
					      (json_int_t)s->cache->max, "hits",
					      (json_int_t)s->cache->hits, "misses",
					      (json_int_t)s->cache->misses, "queued",
					      (json_int_t)s->cache->queued, "bytes_hashed",
					      (json_int_t)s->cache->bytes_hashed));
	json_object_set_new(o, "tpm", tpm_json(s->tpm));
	json_object_set_new(o, "evidence",
			    json_pack("{s:I, s:I, s:I, s:o}", "given",
				      (json_int_t)s->evidence_given, "waiting",
				      (json_int_t)s->evidence_waiting, "batches",
				      (json_int_t)s->evidence_batches, "refused",
				      counters(s->evidence_refused, s->n_evidence_refused)));
	json_object_set_new(o, "features", words(s->features, s->n_features));
	json_object_set_new(o, "missing", words(s->missing, s->n_missing));
	return o;
}

static double seconds_since(uint64_t wall_ns)
{
	struct timespec now;
	double s;

	clock_gettime(CLOCK_REALTIME, &now);
	s = now.tv_sec + now.tv_nsec / 1e9 - wall_ns / 1e9;
	return s > 0.001 ? s : 0.001;
}

static void print_words(const char *label, char *const *list, size_t n)
{
	printf("%-12s", label);
	for (size_t i = 0; i < n; i++)
		printf(" %s", list[i]);
	puts(n ? "" : " none");
}

static void print_selectors(const Affiant__V1__Status *s)
{
	if (s->left_alone)
		printf("%-12s %" PRIu64 " processes that ran already are left alone (adopt: no)\n",
		       "selectors", s->left_alone);
	for (size_t i = 0; i < s->n_selector_gaps; i++) {
		const Affiant__V1__SelectorGap *g = s->selector_gaps[i];
		_cleanup_free_ char *selector = answer_text(g->selector, 0);

		printf("%-12s %s: %" PRIu64 " gaps", s->left_alone || i ? "" : "selectors",
		       selector ?: "?", g->gaps);
		if (g->error)
			printf("; %s: %s", g->leads_nowhere ? "leads nowhere"
							    : "looked for every 5 seconds only",
			       g->error);
		puts("");
	}
}

static void print_limits(const Affiant__V1__Status *s)
{
	for (size_t i = 0; i < s->n_limits; i++) {
		_cleanup_free_ char *text = answer_text(s->limits[i], 0);

		printf("%-12s %s\n", i ? "" : "limits", text ?: "");
	}
}

static void print_behind(const Affiant__V1__Status *s)
{
	for (size_t i = 0; i < s->n_detached; i++)
		printf("%-12s %s: somebody detached it, what it sees is not recorded: start "
		       "affiantd anew\n",
		       i ? "" : "detached", s->detached[i]);
	for (size_t i = 0; i < s->n_behind; i++) {
		_cleanup_free_ char *name = answer_text(s->behind[i]->name, 0);

		printf("%-12s %s: program %u (%s) runs after ours: what it rewrites or refuses is not seen\n",
		       i ? "" : "behind", s->behind[i]->hook ?: "?", s->behind[i]->id, name ?: "?");
	}
}

static void print_evidence(const Affiant__V1__Status *s)
{
	const Affiant__V1__TpmStatus *t = s->tpm;
	_cleanup_free_ char *error = answer_text(t ? t->error : NULL, 0);

	printf("%-12s", "TPM");
	if (!t)
		puts(" none is configured: there is no evidence");
	else
		printf(" %s, %s %s, %s, %" PRIu64 " quotes, %" PRIu64 " failures, %" PRIu64
		       " reconnects%s%s\n",
		       t->state ?: "?", t->manufacturer ?: "?", t->vendor ?: "",
		       t->enrolled ? "enrolled" : "not enrolled", t->quotes, t->failures,
		       t->reconnects, t->error ? "; last error: " : "", t->error ? error : "");
	printf("%-12s %" PRIu64 " given in %" PRIu64 " batches, %" PRIu64 " waiting; refused:",
	       "evidence", s->evidence_given, s->evidence_batches, s->evidence_waiting);
	for (size_t i = 0; i < s->n_evidence_refused; i++)
		printf(" %s %" PRIu64, s->evidence_refused[i]->name ?: "?",
		       s->evidence_refused[i]->count);
	puts(s->n_evidence_refused ? "" : " none");
}

static void print_sessions(const Affiant__V1__Status *s)
{
	printf("%-12s %" PRIu64 " live, %" PRIu64 " processes, %" PRIu64
	       " connections open or pending\n",
	       "sessions", s->sessions, s->processes, s->connections);
	if (s->sessions_unproven)
		printf("%-12s %" PRIu64 " sessions had root's power: none of their digests is proven\n",
		       "unproven", s->sessions_unproven);
	if (s->events_folded || s->sessions_folding)
		printf("%-12s %" PRIu64 " events are counted, not told one by one; %" PRIu64
		       " sessions are past their agent's budget\n",
		       "folded", s->events_folded, s->sessions_folding);
	if (s->opens_refused || s->selectors_joined)
		printf("%-12s %" PRIu64 " sessions were not opened; %" PRIu64
		       " selectors take all into one session each: their agents are far past their "
		       "budgets\n",
		       "floods", s->opens_refused, s->selectors_joined);
}

static void print_counts(const Affiant__V1__Status *s)
{
	double seconds = seconds_since(s->started_wall_ns);

	printf("%-12s", "events");
	for (size_t i = 0; i < s->n_events; i++)
		if (s->events[i]->count)
			printf(" %s %" PRIu64 " (%.1f/s)", s->events[i]->name ?: "?",
			       s->events[i]->count, s->events[i]->count / seconds);
	puts("");
	printf("%-12s", "lost");
	for (size_t i = 0; i < s->n_lost; i++)
		printf(" %s/%s %" PRIu64, s->lost[i]->stage ?: "?", s->lost[i]->kind ?: "?",
		       s->lost[i]->count);
	if (s->lost_untold)
		printf("; %" PRIu64 " of it in no record yet", s->lost_untold);
	puts(s->n_lost ? "" : " nothing");
	if (s->doubles)
		printf("%-12s %" PRIu64 " events were read twice, and dropped\n", "doubles",
		       s->doubles);
}

static void print_storage(const Affiant__V1__Status *s)
{
	char a[UNITS_TEXT_SIZE], b[UNITS_TEXT_SIZE];

	size_format(s->ring_used, a);
	size_format(s->ring_bytes, b);
	printf("%-12s %s of %s used\n", "ring", a, b);
	size_format(s->segment_bytes, a);
	size_format(s->journal_bytes, b);
	printf("%-12s records %" PRIu64 " to %" PRIu64 ", %s; journal %s\n", "ledger",
	       s->oldest_sequence, s->last_sequence, a, b);
	if (s->void_records)
		printf("%-12s %" PRIu64 " records are gone: their files were removed or cut by others\n",
		       "", s->void_records);
	if (s->unwritable)
		printf("%-12s cannot be written: %s; events wait in the ring\n", "", s->unwritable);
	if (s->unsaved)
		printf("%-12s cannot be made durable: %s; a power cut may take what is new\n", "",
		       s->unsaved);
}

/* Said only when there is something to know. */
static void print_turns(const Affiant__V1__Status *s)
{
	const Affiant__V1__Turns *t = s->turns;

	if (!t || !t->beyond)
		return;
	printf("%-12s %" PRIu64 " turns of the daemon's loop did more than they may: at most %" PRIu64
	       " files, %" PRIu64 " bytes, %" PRIu64 " entries, %.1f ms of CPU time\n",
	       "turns", t->beyond, t->files, t->bytes, t->entries, t->cpu_us / 1000.0);
}

static void print_text(const Affiant__V1__Status *s)
{
	char started[ANSWER_TIME_SIZE], a[UNITS_TEXT_SIZE], b[UNITS_TEXT_SIZE];

	answer_time(s->started_wall_ns, started);
	printf("%-12s affiantd %s since %s\n", "daemon", s->version ?: "?", started);
	print_sessions(s);
	printf("%-12s %" PRIu64 " of %" PRIu64 "\n", "tags", s->tags, s->tags_max);
	print_counts(s);
	print_storage(s);
	if (s->cache) {
		size_format(s->cache->bytes_hashed, a);
		printf("%-12s %" PRIu64 " of %" PRIu64 " entries, %" PRIu64 " hits, %" PRIu64
		       " misses, %" PRIu64 " queued, %s hashed\n",
		       "digests", s->cache->entries, s->cache->max, s->cache->hits,
		       s->cache->misses, s->cache->queued, a);
	}
	print_selectors(s);
	print_behind(s);
	print_limits(s);
	print_evidence(s);
	print_turns(s);
	size_format(s->resident_bytes, a);
	size_format(s->ring_bytes, b);
	printf("%-12s %s, the ring's %s among them\n", "memory", a, b);
	print_words("features", s->features, s->n_features);
	print_words("missing", s->missing, s->n_missing);
}

int cmd_status(int argc, char **argv)
{
	Affiant__V1__Request request = AFFIANT__V1__REQUEST__INIT;
	Affiant__V1__GetStatus body = AFFIANT__V1__GET_STATUS__INIT;
	struct answer_options o = {0};
	Affiant__V1__Response *r;
	int code = answer_options(argc, argv, usage, &o);

	if (code >= 0)
		return code;
	if (optind < argc) {
		log_error("'%s': no arguments are taken; affiant status --help tells the options",
			  argv[optind]);
		return EXIT_USAGE;
	}
	request.call_case = AFFIANT__V1__REQUEST__CALL_GET_STATUS;
	request.get_status = &body;
	r = answer_get(o.socket, &request, AFFIANT__V1__RESPONSE__ANSWER_STATUS);
	if (!r)
		return EXIT_FAILURE;
	code = EXIT_SUCCESS;
	if (o.json)
		code = answer_json(status_json(r->status));
	else
		print_text(r->status);
	affiant__v1__response__free_unpacked(r, NULL);
	return code;
}
