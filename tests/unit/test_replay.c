/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon that is killed at any moment, and one that is not, tell the same (P6).
 *
 * What a machine keeps is modelled: the ring with its position, the journal, the saved state, the
 * ledger. What a daemon has in memory is lost with it, but for a prefix of the records that it had
 * handed to the ledger's writer. It dies between any two of the steps that change one of these,
 * while it starts, too, and again and again.
 *
 * The same means, where a record is named by its (source, part):
 * - no name comes twice in the ledger;
 * - every name that the undisturbed daemon told is there, and no other; but that a connection was
 * PENDING depends on when somebody looked, and may be told in one and not in the other. If it was,
 * it comes before the outcome, which says that it completes it; if it wasn't, the outcome doesn't
 * say so;
 * - what is told is equal, ids of records and sessions and times included. A digest that was
 * awaited may be TOO_LATE, never another one; and which record is the first to say that the clock
 * stepped, depends on the order;
 * - Lost records are made when somebody looks: their counts add up to the same, and their ranges
 * are what is missing.
 */
#include "world.h"

#include "affiant/v1/state.pb-c.h"
#include "collect/fold.h"
#include "record/folded.h"

/* ---- what is left when a daemon dies ---- */

struct stored {
	uint64_t source;
	uint32_t part;
	uint8_t *bytes;
	size_t len;
};

struct list {
	struct stored *at;
	size_t count, room;
};

static void list_add(struct list *l, uint64_t source, uint32_t part, const uint8_t *bytes,
		     size_t len)
{
	if (l->count == l->room) {
		l->room = l->room ? 2 * l->room : 256;
		l->at = realloc(l->at, l->room * sizeof(*l->at));
	}
	l->at[l->count] = (struct stored){source, part, malloc(len ?: 1), len};
	memcpy(l->at[l->count++].bytes, bytes, len);
}

static void list_clear(struct list *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->at[i].bytes);
	free(l->at);
	*l = (struct list){0};
}

static Affiant__V1__Record *unpack(const struct stored *s)
{
	Affiant__V1__Record *r = NULL;
	uint8_t *bytes = malloc(s->len + 2);

	memcpy(bytes, s->bytes, s->len);
	memcpy(bytes + s->len, "\x10\x01", 2);
	assert_int_equal(record_unpack(bytes, s->len + 2, &r), 0);
	free(bytes);
	return r;
}

struct machine {
	const struct world *world;
	const struct attribute_config *config;
	unsigned int seed;
	bool rebooted; /* what runs now tells what is left of the boot */
	bool calm;     /* never dies, looks at the clock at the end alone, digests come at once */
	size_t end;    /* of a calm one that sees no more */
	long fuse;     /* steps until it dies; negative: never */
	uint64_t budgeted; /* bytes that budgets follow from; 0: no word of them */
	long steps;

	size_t position;     /* of the ring and of who calls: what comes next */
	size_t journaled;    /* so many items are in the journal, or in what a state contains */
	struct list journal; /* source: index of the file */
	uint64_t file;
	struct list whole; /* all that ever was in the journal, in order */
	uint8_t *state;
	size_t state_len;
	struct list ledger;
	uint64_t now;

	/* Of the daemon that runs: */
	struct attribute *attribute;
	struct enrich enrich;
	struct list buffer; /* handed to the ledger's writer */
	size_t told_from;
	bool told; /* while it starts: what the ledger holds matters */
	uint64_t notes;
};

static void journal_add(struct machine *m, const uint8_t *bytes, size_t len)
{
	list_add(&m->journal, m->file, 0, bytes, len);
	if (m->budgeted)
		list_add(&m->whole, 0, 0, bytes, len);
}

static unsigned int roll(struct machine *m, unsigned int sides)
{
	return rand_r(&m->seed) % sides;
}

/* A moment at which it may die: true when it does. */
static bool dies(struct machine *m)
{
	m->steps++;
	return !m->fuse--;
}

static void emit(void *data, uint64_t source, uint32_t part, const uint8_t *record, size_t len)
{
	struct machine *m = data;

	list_add(&m->buffer, source, part, record, len);
}

static bool was_told(void *data, uint64_t source, uint32_t part)
{
	const struct machine *m = data;

	for (size_t i = m->told_from; m->told && i < m->ledger.count; i++)
		if (m->ledger.at[i].source == source && m->ledger.at[i].part == part)
			return true;
	return false;
}

static bool was_ended(void *data, const struct uuid *session)
{
	const struct machine *m = data;
	bool ended = false;

	for (size_t i = 0; !ended && i < m->ledger.count; i++) {
		Affiant__V1__Record *r = m->ledger.at[i].part == PART_SESSION_ENDED
						 ? unpack(&m->ledger.at[i])
						 : NULL;

		if (!r)
			continue;
		ended = !memcmp(r->session->id.data, session->bytes, UUID_SIZE);
		record_free(r);
	}
	return ended;
}

/* The first @n records of the buffer are on the disk. */
static void flush(struct machine *m, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct stored *s = &m->buffer.at[i];

		list_add(&m->ledger, s->source, s->part, s->bytes, s->len);
	}
	for (size_t i = 0; i < n; i++)
		free(m->buffer.at[i].bytes);
	m->buffer.count -= n;
	if (!n)
		return;
	memmove(m->buffer.at, m->buffer.at + n, m->buffer.count * sizeof(*m->buffer.at));
}

static void die(struct machine *m)
{
	flush(m, roll(m, m->buffer.count + 1));
	list_clear(&m->buffer);
	attribute_free(m->attribute);
	m->attribute = NULL;
	enrich_drop(&m->enrich);
}

/* ---- what a daemon does ---- */

static void apply(struct machine *m, const void *event)
{
	const struct event_header *h;

	assert_int_equal(event_decode(event, ((const struct event_header *)event)->size, &h), 0);
	assert_int_equal(attribute_event(m->attribute, h), 0);
}

static bool save(struct machine *m)
{
	Affiant__V1__State *s;
	uint64_t file = m->file + 1;
	uint8_t *packed;
	size_t kept = 0;

	flush(m, m->buffer.count);
	if (dies(m))
		return false;
	m->file = file;
	if (dies(m))
		return false;
	s = state_save(m->attribute);
	assert_non_null(s);
	SET(s, journal_index, file);
	SET(s, ledger_sequence, m->ledger.count);
	SET(s, note_sequence, m->notes);
	packed = malloc(affiant__v1__state__get_packed_size(s));
	m->state_len = affiant__v1__state__pack(s, packed);
	affiant__v1__state__free_unpacked(s, NULL);
	free(m->state);
	m->state = packed;
	if (dies(m))
		return false;
	for (size_t i = 0; i < m->journal.count; i++) {
		if (m->journal.at[i].source < file)
			free(m->journal.at[i].bytes);
		else
			m->journal.at[kept++] = m->journal.at[i];
	}
	m->journal.count = kept;
	return true;
}

static bool start(struct machine *m)
{
	struct attribute_config config = *m->config;
	Affiant__V1__State *s = NULL;
	uint64_t from = 0;

	config.emit = emit;
	config.told = was_told;
	config.ends_by_note = true;
	config.data = m;
	m->enrich = (struct enrich){.context.argv_max = 2048, .slow = !m->calm};
	config.enrich = m->rebooted ? NULL : &m->enrich;
	config.ended = m->rebooted ? was_ended : NULL;
	assert_int_equal(attribute_new(&config, &m->attribute), 0);
	attribute_tick(m->attribute, m->now);
	m->notes = 0;
	m->told = true;
	m->told_from = 0;
	if (m->state) {
		s = affiant__v1__state__unpack(NULL, m->state_len, m->state);
		m->told_from = s->ledger_sequence;
		m->notes = s->note_sequence;
		from = s->journal_index;
		assert_int_equal(state_load(m->attribute, s), 0);
		affiant__v1__state__free_unpacked(s, NULL);
	}
	if (dies(m))
		return false;
	for (size_t i = 0; i < m->journal.count; i++) {
		const struct event_header *h = (void *)m->journal.at[i].bytes;

		if (m->journal.at[i].source < from)
			continue;
		if (event_is_note(h) && h->sequence < WORLD_NOTES && h->sequence >= m->notes)
			m->notes = h->sequence + 1;
		apply(m, h);
		if (roll(m, 4) == 0 && dies(m))
			return false;
	}
	m->file++;
	m->told = false; /* from here on all is new */
	return true;
}

static bool note(struct machine *m, const struct event_header *h);

static bool note_fold(struct machine *m, const Affiant__V1__NoteFold *fold)
{
	struct event_header *h;
	bool lives;

	assert_int_equal(note_new(NOTE_FOLD, m->notes, m->now, &fold->base, &h), 0);
	m->notes++;
	lives = note(m, h);
	free(h);
	return lives;
}

/* What is folded is told at times of the daemon's own. */
static bool tell_folded(struct machine *m, uint64_t after)
{
	Affiant__V1__NoteFold *due = fold_due(m->attribute, m->now + after);
	bool lives = !due || note_fold(m, due);

	if (due)
		affiant__v1__note_fold__free_unpacked(due, NULL);
	return lives;
}

/* Somebody has that session's tag as long as something of it is still to come, heard of or not. */
static bool is_held(const struct machine *m, uint64_t session)
{
	for (size_t i = m->position; i < m->world->count; i++) {
		const struct event_connect *e = (const void *)m->world->items[i].bytes;

		if (!m->world->items[i].note &&
		    (e->header.actor.session == session ||
		     (e->header.type == EVENT_CONNECT && e->opener.session == session)))
			return true;
	}
	return false;
}

static bool tell_over(struct machine *m)
{
	struct session *s, *next;

	if (!m->attribute->table.vacant)
		return true;
	HASH_ITER (hh, m->attribute->table.sessions, s, next) {
		Affiant__V1__NoteEnd over = AFFIANT__V1__NOTE_END__INIT;
		struct event_header *h;
		bool lives;

		if (!s->vacancy.is || is_held(m, s->key))
			continue;
		SET(&over, key, s->key);
		assert_int_equal(note_new(NOTE_OVER, m->notes, m->now, &over.base, &h), 0);
		m->notes++;
		lives = note(m, h);
		free(h);
		if (!lives)
			return false;
	}
	return true;
}

/* As in each start. */
static bool set_budgets(struct machine *m)
{
	Affiant__V1__NoteFold size = AFFIANT__V1__NOTE_FOLD__INIT;

	SET(&size, state_bytes, m->budgeted);
	return !m->budgeted || note_fold(m, &size);
}

static bool note(struct machine *m, const struct event_header *h)
{
	journal_add(m, (const void *)h, h->size);
	if (dies(m))
		return false;
	apply(m, h);
	return true;
}

/*
 * The kernel's losses as of what was read so far: all that its maps count, since when does not
 * matter.
 */
static bool tell_losses(struct machine *m)
{
	unsigned int epoch = m->attribute->epoch.known ? m->attribute->epoch.id[1] : 0;
	Affiant__V1__Lost *lost = loss_since(m->attribute, m->world->lost_in[epoch]);
	struct event_header *h;
	bool lives;

	if (!lost)
		return true;
	assert_int_equal(note_new(NOTE_LOST, m->notes, m->now, &lost->base, &h), 0);
	affiant__v1__lost__free_unpacked(lost, NULL);
	journal_add(m, (const void *)h, h->size);
	lives = !dies(m);
	if (lives) {
		m->notes++;
		apply(m, h);
	}
	free(h);
	return lives;
}

static bool drain(struct machine *m)
{
	const struct item *items = m->world->items;
	size_t n = 0, most = m->calm ? 1 : 1 + roll(m, 6); /* events of a batch */

	if (items[m->position].note) {
		const struct item *i = &items[m->position];

		/* What the maps that go count, and nobody asked for, nobody will know. */
		if (((const struct event_header *)i->bytes)->type == NOTE_EPOCH && !tell_losses(m))
			return false;
		m->position++;
		m->journaled = m->position;
		return note(m, (const void *)i->bytes);
	}
	while (n < most && m->position + n < m->world->count && !items[m->position + n].note)
		n++;
	for (size_t i = 0; i < n; i++)
		journal_add(m, items[m->position + i].bytes,
			 items[m->position + i].size);
	m->journaled = m->position + n;
	/* It dies with the batch in the journal and in the ring. */
	if (dies(m))
		return false;
	m->position += n;
	if (dies(m))
		return false;
	for (size_t i = m->position - n; i < m->position; i++) {
		const struct event_header *h = (const void *)items[i].bytes;

		m->now = h->boottime_ns > m->now ? h->boottime_ns : m->now;
		apply(m, h);
	}
	return true;
}

static bool look(struct machine *m)
{
	if ((m->calm || roll(m, 3) == 0) && !tell_over(m))
		return false;
	if (m->calm)
		return true;
	while (roll(m, 2) && digest_ready(m->attribute, &m->enrich))
		;
	if (roll(m, 3) == 0)
		attribute_tick(m->attribute, m->now);
	if (roll(m, 2))
		flush(m, roll(m, m->buffer.count + 1));
	if (roll(m, 10) == 0 && !tell_losses(m))
		return false;
	if (m->budgeted && roll(m, 4) == 0 && !tell_folded(m, roll(m, 3) * S))
		return false;
	return roll(m, 25) || save(m);
}

static bool live(struct machine *m)
{
	if (!set_budgets(m))
		return false;
	while (m->position < m->world->count)
		if (!drain(m) || !look(m))
			return false;
	while (digest_ready(m->attribute, &m->enrich))
		;
	attribute_tick(m->attribute, m->now + 100 * S);
	if (!tell_losses(m) || !tell_over(m) || (m->budgeted && !tell_folded(m, 4000 * S)))
		return false;
	flush(m, m->buffer.count);
	return true;
}

/* The first daemon of the next boot: what the last one left is told. False when it dies of it. */
static bool end_boot(struct machine *m)
{
	m->rebooted = true;
	if (!start(m))
		return false;
	m->told = true;
	attribute_finish(m->attribute, true);
	if (dies(m))
		return false;
	flush(m, m->buffer.count);
	return true;
}

/* Daemons live and die until one meets its end by the @fuse'th step, and the machine with it. */
static void run_to_reboot(struct machine *m, long fuse, size_t cut)
{
	m->fuse = fuse;
	m->now = 1000 * S;
	if (start(m) && live(m))
		flush(m, m->buffer.count);
	die(m);
	while (cut-- && m->journal.count)
		free(m->journal.at[--m->journal.count].bytes);
	do
		m->fuse = roll(m, 40);
	while (!end_boot(m) && (die(m), true));
	die(m);
}

/* Until the world's end, with as many daemons as it takes. */
static void run(struct machine *m, long fuse, long next)
{
	m->fuse = fuse;
	m->now = 1000 * S;
	while (!start(m) || !live(m)) {
		die(m);
		m->fuse = next < 0 ? -1 : (long)roll(m, next);
	}
	die(m);
}

static void machine_clear(struct machine *m)
{
	list_clear(&m->journal);
	list_clear(&m->whole);
	list_clear(&m->ledger);
	free(m->state);
}

/* ---- whether it is the same ---- */

static int by_name(const void *a, const void *b)
{
	const struct stored *x = *(const struct stored *const *)a,
			    *y = *(const struct stored *const *)b;

	if (x->source != y->source)
		return x->source < y->source ? -1 : 1;
	return x->part < y->part ? -1 : x->part > y->part;
}

static const struct stored **sorted(const struct list *l)
{
	const struct stored **s = calloc(l->count + 1, sizeof(*s));

	for (size_t i = 0; i < l->count; i++)
		s[i] = &l->at[i];
	qsort(s, l->count, sizeof(*s), by_name);
	return s;
}

/* Takes out of both what may differ, after a look at whether it may differ so. */
static void level(Affiant__V1__Record *want, Affiant__V1__Record *got)
{
	Affiant__V1__Executable *w = want->process ? want->process->executable : NULL;
	Affiant__V1__Executable *g = got->process ? got->process->executable : NULL;

	if (w && g && w->digest && g->digest &&
	    g->digest->state == AFFIANT__V1__HASH_STATE__HASH_TOO_LATE) {
		assert_false(g->digest->has_sha256);
		affiant__v1__digest__free_unpacked(w->digest, NULL);
		affiant__v1__digest__free_unpacked(g->digest, NULL);
		w->digest = g->digest = NULL;
	}
	if (want->clock_state == AFFIANT__V1__CLOCK_STATE__CLOCK_STEPPED ||
	    got->clock_state == AFFIANT__V1__CLOCK_STATE__CLOCK_STEPPED)
		want->clock_state = got->clock_state = AFFIANT__V1__CLOCK_STATE__CLOCK_UNKNOWN;
	if (want->body_case == AFFIANT__V1__RECORD__BODY_CONNECT)
		want->connect->has_completes_pending = got->connect->has_completes_pending = false;
	/* What was heard of last may be a word of the daemon's own. */
	if (want->body_case == AFFIANT__V1__RECORD__BODY_GAP) {
		assert_true(want->gap->from_boottime_ns <= want->boottime_ns);
		assert_true(got->gap->from_boottime_ns <= got->boottime_ns);
		want->gap->has_from_boottime_ns = got->gap->has_from_boottime_ns = false;
	}
	if (told_when_looked_at(want)) {
		/* The clock is that of the moment of looking, and what is known of the session. */
		want->session->has_untagged_children = got->session->has_untagged_children = false;
		want->has_wall_ns = got->has_wall_ns = want->has_id = got->has_id = false;
		want->has_clock_state = got->has_clock_state = false;
		want->session->has_folded = got->session->has_folded = false;
	}
}

static void assert_equal(const struct stored *want, const struct stored *got)
{
	Affiant__V1__Record *w = unpack(want), *g = unpack(got);
	size_t w_len, g_len;
	uint8_t *a, *b;

	assert_int_equal(w->body_case, g->body_case);
	level(w, g);
	w_len = affiant__v1__record__get_packed_size(w);
	g_len = affiant__v1__record__get_packed_size(g);
	a = malloc(w_len);
	b = malloc(g_len);
	affiant__v1__record__pack(w, a);
	affiant__v1__record__pack(g, b);
	assert_int_equal(w_len, g_len);
	assert_memory_equal(a, b, w_len);
	free(a);
	free(b);
	record_free(w);
	record_free(g);
}

static bool is_lost(const struct stored *s)
{
	return s->source >> 48 == NOTE_CPU && (s->source & 0xffffffffffff) < WORLD_NOTES;
}

/* In the ledger's order: PENDING, then what completes it. */
static void assert_pending_completed(const struct list *l)
{
	for (size_t i = 0; i < l->count; i++) {
		Affiant__V1__Record *r = unpack(&l->at[i]);
		bool pending = false;

		if (r->body_case == AFFIANT__V1__RECORD__BODY_CONNECT &&
		    l->at[i].part == PART_OUTCOME &&
		    r->connect->protocol == AFFIANT__V1__PROTOCOL__PROTOCOL_TCP) {
			for (size_t k = 0; k < l->count; k++)
				if (l->at[k].source == l->at[i].source &&
				    l->at[k].part == PART_MAIN) {
					assert_true(k < i);
					pending = true;
				}
			assert_int_equal(r->connect->completes_pending, pending);
		}
		record_free(r);
	}
}

/* Each number in a range is one that the kernel dropped, and is told once. */
static void assert_range(const struct world *w, const Affiant__V1__LostRange *range,
			 bool told[static 256])
{
	for (uint64_t n = range->first; n <= range->last; n++) {
		size_t i = 0;

		while (i < w->lost_count && w->lost_sources[i] != ((uint64_t)range->cpu << 48 | n))
			i++;
		assert_true(i < w->lost_count);
		assert_false(told[i]);
		told[i] = true;
	}
}

/* Counts by kind; in each record the totals are what was counted so far. */
static void sum_losses(const struct world *w, const struct list *l, uint64_t sums[static LOSS_ALL])
{
	uint64_t totals[LOSS_ALL] = {0};
	bool told[256] = {false};
	uint64_t numbers = 0;

	memset(sums, 0, LOSS_ALL * sizeof(*sums));
	for (size_t i = 0; i < l->count; i++) {
		Affiant__V1__Record *r = is_lost(&l->at[i]) ? unpack(&l->at[i]) : NULL;

		if (!r)
			continue;
		assert_int_equal(r->body_case, AFFIANT__V1__RECORD__BODY_LOST);
		for (size_t k = 0; k < r->lost->n_counts; k++) {
			uint64_t one[LOSS_ALL] = {0};

			loss_set_totals(one, &r->lost->counts[k], 1);
			for (unsigned int kind = 0; kind < LOSS_ALL; kind++)
				sums[kind] += one[kind];
		}
		loss_set_totals(totals, r->lost->totals, r->lost->n_totals);
		assert_memory_equal(sums, totals, sizeof(totals));
		for (size_t k = 0; k < r->lost->n_ranges; k++) {
			assert_range(w, r->lost->ranges[k], told);
			numbers += r->lost->ranges[k]->last - r->lost->ranges[k]->first + 1;
		}
		record_free(r);
	}
	/* What is missing at the end may be found, or not yet. */
	assert_int_equal(sums[LOSS_NUMBER], numbers);
	sums[LOSS_NUMBER] = 0;
}

static void assert_same_losses(const struct world *w, const struct list *want,
			       const struct list *got)
{
	uint64_t want_sums[LOSS_ALL], got_sums[LOSS_ALL];

	sum_losses(w, want, want_sums);
	sum_losses(w, got, got_sums);
	assert_memory_equal(want_sums, got_sums, sizeof(want_sums));
	for (unsigned int type = 0; type < EVENT_TYPES; type++)
		assert_int_equal(got_sums[type], w->lost[type]);
}

static void assert_no_doubles(const struct list *l)
{
	const struct stored **s = sorted(l);

	for (size_t n = 1; n < l->count; n++)
		if (by_name(&s[n - 1], &s[n]) == 0)
			fail_msg("told twice: source %llx, part %u",
				 (unsigned long long)s[n]->source, s[n]->part);
	free(s);
}

static void assert_one_end(const struct list *l)
{
	for (size_t i = 0; i < l->count; i++) {
		Affiant__V1__Record *r =
			l->at[i].part == PART_SESSION_ENDED ? unpack(&l->at[i]) : NULL;

		for (size_t k = 0; r && k < i; k++) {
			Affiant__V1__Record *other =
				l->at[k].part == PART_SESSION_ENDED ? unpack(&l->at[k]) : NULL;

			if (other)
				assert_memory_not_equal(r->session->id.data,
							other->session->id.data, UUID_SIZE);
			if (other)
				record_free(other);
		}
		if (r)
			record_free(r);
	}
}

static bool has_outcome(const struct list *l, uint64_t source)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->at[i].source == source && l->at[i].part == PART_OUTCOME)
			return true;
	return false;
}

/* One is in one of the two alone: not in @other. */
static void assert_may_be_missing(const struct stored *s, const struct list *other, const char *why)
{
	Affiant__V1__Record *r = unpack(s);

	if (!is_pending(r) && !(is_attempt(r) && has_outcome(other, s->source)))
		fail_msg("%s: source %llx, part %u, body %d", why, (unsigned long long)s->source,
			 s->part, r->body_case);
	record_free(r);
}

/* All but losses. */
static void assert_same_records(const struct list *want, const struct list *got)
{
	const struct stored **w = sorted(want), **g = sorted(got);
	size_t i = 0, k = 0;

	assert_no_doubles(got);
	while (i < want->count || k < got->count) {
		int order = i == want->count ? 1 : k == got->count ? -1 : by_name(&w[i], &g[k]);

		if (!is_lost(order <= 0 ? w[i] : g[k])) {
			if (order < 0)
				assert_may_be_missing(w[i], got, "missing");
			else if (order > 0)
				assert_may_be_missing(g[k], want, "never told");
			else
				assert_equal(w[i], g[k]);
		}
		i += order <= 0;
		k += order >= 0;
	}
	free(w);
	free(g);
	assert_pending_completed(got);
	assert_one_end(got);
}

static void assert_same(const struct world *world, const struct list *want, const struct list *got)
{
	assert_same_records(want, got);
	assert_same_losses(world, want, got);
}

/* ---- the tests ---- */

struct fixture {
	struct world world;
	struct machine calm;
	struct attribute_config config;
};

static void prepare(struct fixture *f, unsigned int seed, size_t count)
{
	if (seed % 2)
		world_make_renewed(&f->world, seed, count);
	else
		world_make(&f->world, seed, count, false, 100);
	f->config = f->world.clock->config;
	f->config.began = NULL;
	f->config.entered = NULL;
	f->config.connections_max = 14; /* small enough to be met */
	f->config.held_max = 40;
	f->calm =
		(struct machine){.world = &f->world, .config = &f->config, .seed = 1, .calm = true};
	run(&f->calm, -1, -1);
	assert_pending_completed(&f->calm.ledger);
}

static void finish(struct fixture *f)
{
	machine_clear(&f->calm);
	world_free(&f->world);
}

static long try(struct fixture *f, unsigned int seed, long fuse, long next)
{
	struct machine m = {.world = &f->world, .config = &f->config, .seed = seed};
	long steps;

	run(&m, fuse, next);
	assert_same(&f->world, &f->calm.ledger, &m.ledger);
	steps = m.steps;
	machine_clear(&m);
	return steps;
}

/* What the worlds consist of: a test of nothing would pass, too. */
static void makes_worlds_that_have_everything(void **state)
{
	uint64_t bodies[64] = {0}, outcomes[16] = {0}, flags[5] = {0}, sums[LOSS_ALL];
	uint64_t lost = 0, unknown = 0, dropped = 0, removed = 0;

	(void)state;
	for (unsigned int seed = 1; seed <= 6; seed++) {
		struct fixture f;

		prepare(&f, seed, 400);
		for (size_t i = 0; i < f.calm.ledger.count; i++) {
			Affiant__V1__Record *r = unpack(&f.calm.ledger.at[i]);

			bodies[r->body_case]++;
			if (r->body_case == AFFIANT__V1__RECORD__BODY_CONNECT) {
				outcomes[r->connect->outcome]++;
				flags[0] += r->connect->foreign;
				flags[1] += r->connect->outcome_untracked;
				flags[2] += r->connect->opener != NULL;
				flags[3] += r->connect->by_datagram;
				flags[4] += r->connect->by_send;
			}
			removed += r->body_case == AFFIANT__V1__RECORD__BODY_SESSION_ENDED &&
				   r->session_ended->reason ==
					   AFFIANT__V1__SESSION_END_REASON__END_TRACING_REMOVED;
			unknown += r->process && !r->process->executable;
			record_free(r);
		}
		for (unsigned int kind = 0; kind < LOSS_ALL; kind++)
			lost += f.world.lost[kind];
		sum_losses(&f.world, &f.calm.ledger, sums);
		dropped += sums[LOSS_TABLE];
		finish(&f);
	}
	for (int body = AFFIANT__V1__RECORD__BODY_SESSION_STARTED;
	     body <= AFFIANT__V1__RECORD__BODY_LOST; body++)
		assert_true(bodies[body] > 0);
	assert_true(outcomes[AFFIANT__V1__OUTCOME__ESTABLISHED] &&
		    outcomes[AFFIANT__V1__OUTCOME__REFUSED] &&
		    outcomes[AFFIANT__V1__OUTCOME__DENIED] &&
		    outcomes[AFFIANT__V1__OUTCOME__ATTEMPTED] &&
		    outcomes[AFFIANT__V1__OUTCOME__PENDING] &&
		    outcomes[AFFIANT__V1__OUTCOME__NOT_SENT]);
	assert_true(flags[0] && flags[1] && flags[2] && flags[3] && flags[4]);
	assert_true(lost && unknown && dropped);
	assert_true(removed && bodies[AFFIANT__V1__RECORD__BODY_GAP]);
}

/* Restarts and waits, but no death: the harness itself tells the same. */
static void tells_the_same_in_haste(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= 30; seed++) {
		struct fixture f;

		prepare(&f, seed, 300);
		try(&f, seed + 1000, -1, -1);
		finish(&f);
	}
}

/* Once, at every step. */
static void tells_the_same_when_killed_anywhere(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= 3; seed++) {
		struct fixture f;
		long steps;

		prepare(&f, seed, 200);
		steps = try(&f, seed + 2000, -1, -1);
		assert_true(steps > 100);
		for (long fuse = 0; fuse < steps; fuse++)
			try(&f, seed + 2000, fuse, -1);
		finish(&f);
	}
}

/* Again and again, in its starts too. */
static void tells_the_same_when_killed_all_the_time(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= 150; seed++) {
		struct fixture f;

		prepare(&f, 5000 + seed, 100 + seed);
		try(&f, seed, seed % 40, 30 + seed);
		try(&f, seed + 1, seed % 90, 100);
		finish(&f);
	}
}

/*
 * The machine goes down with the daemon, and the first daemon of the next boot dies a few times,
 * too.
 */
static void ends_a_boot_once(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= 60; seed++) {
		struct fixture f;
		struct machine m, calm;

		prepare(&f, 9000 + seed, 200);
		m = (struct machine){.world = &f.world, .config = &f.config, .seed = seed};
		run_to_reboot(&m, 20 + 3 * seed, 0);
		/* All that it had written down, told by one that was never disturbed. */
		calm = (struct machine){
			.world = &f.world, .config = &f.config, .calm = true, .end = m.journaled};
		calm.fuse = -1;
		calm.now = 1000 * S;
		start(&calm);
		while (calm.position < calm.end)
			drain(&calm);
		attribute_finish(calm.attribute, true);
		flush(&calm, calm.buffer.count);
		die(&calm);
		assert_same_records(&calm.ledger, &m.ledger);
		machine_clear(&m);
		machine_clear(&calm);
		finish(&f);
	}
}

/* A power cut takes the journal's end, though the ledger had it: no contradiction comes of that. */
static void contradicts_nothing_after_a_power_cut(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= 60; seed++) {
		struct fixture f;
		struct machine m;

		prepare(&f, 9000 + seed, 200);
		m = (struct machine){.world = &f.world, .config = &f.config, .seed = seed};
		run_to_reboot(&m, 20 + 3 * seed, 1 + seed);
		assert_no_doubles(&m.ledger);
		assert_pending_completed(&m.ledger);
		assert_one_end(&m.ledger);
		machine_clear(&m);
		finish(&f);
	}
}

/* ---- budgets ---- */

/* All that was ever written to the journal, read once by one that is not disturbed. */
static void read_whole(struct fixture *f, const struct machine *m, struct machine *ret)
{
	struct world world = {.count = m->whole.count};

	world.items = calloc(world.count + 1, sizeof(*world.items));
	for (size_t i = 0; i < world.count; i++) {
		const struct event_header *h = (const void *)m->whole.at[i].bytes;

		world.items[i] = (struct item){.note = event_is_note(h),
					       .size = h->size,
					       .bytes = m->whole.at[i].bytes};
	}
	*ret = (struct machine){
		.world = &world, .config = &f->config, .calm = true, .fuse = -1, .now = 1000 * S};
	assert_true(start(ret));
	while (ret->position < world.count)
		drain(ret);
	attribute_tick(ret->attribute, ret->now + 100 * S);
	flush(ret, ret->buffer.count);
	die(ret);
	free(world.items);
}

/* What was told of a session that came to its end, and what was counted, is what it did. */
static void assert_adds_up(const struct list *l, uint64_t *folded)
{
	for (size_t i = 0; i < l->count; i++) {
		Affiant__V1__Record *end =
			l->at[i].part == PART_SESSION_ENDED ? unpack(&l->at[i]) : NULL;
		uint64_t execs = 0, exits = 0;

		for (size_t k = 0; end && k < l->count; k++) {
			Affiant__V1__Record *r = unpack(&l->at[k]);

			if (r->session &&
			    !memcmp(r->session->id.data, end->session->id.data, UUID_SIZE)) {
				execs += r->body_case == AFFIANT__V1__RECORD__BODY_EXEC;
				exits += r->body_case == AFFIANT__V1__RECORD__BODY_EXIT;
				if (r->body_case == AFFIANT__V1__RECORD__BODY_FOLDED) {
					execs += folded_count(
						r->folded, AFFIANT__V1__FOLDED_KIND__FOLDED_EXEC);
					exits += folded_count(
						r->folded, AFFIANT__V1__FOLDED_KIND__FOLDED_EXIT);
					*folded += folded_total(r->folded);
				}
			}
			record_free(r);
		}
		if (end && end->session_ended->reason ==
				   AFFIANT__V1__SESSION_END_REASON__END_LAST_EXIT) {
			assert_int_equal(execs, end->session_ended->execs);
			assert_int_equal(exits, end->session_ended->processes);
		}
		if (end)
			record_free(end);
	}
}

/*
 * When a Folded record is made is the daemon's own decision, so that two lives differ in what is
 * told and what is counted. But what one life decided stands in its journal, and whoever reads it
 * tells the same.
 */
static void folds_the_same_when_killed(void **state)
{
	uint64_t folded = 0;

	(void)state;
	for (unsigned int seed = 1; seed <= 150; seed++) {
		struct fixture f;
		struct machine m, calm;

		prepare(&f, 7000 + seed, 150 + seed);
		m = (struct machine){.world = &f.world,
				     .config = &f.config,
				     .seed = seed,
				     .budgeted = (16 + seed % 64) << 10};
		run(&m, seed % 60, seed % 3 ? (long)(60 + seed) : -1);
		read_whole(&f, &m, &calm);
		assert_same_records(&calm.ledger, &m.ledger);
		assert_adds_up(&m.ledger, &folded);
		machine_clear(&m);
		machine_clear(&calm);
		finish(&f);
	}
	print_message("%llu events were folded\n", (unsigned long long)folded);
	assert_true(folded > 1000);
}

/* Nothing is told, or counted, more often than it happened. */
static void assert_no_more_than(const struct world *world, const struct list *l)
{
	uint64_t made[EVENT_TYPES] = {0}, execs = 0, exits = 0, connects = 0;

	for (size_t i = 0; i < world->count; i++) {
		const struct event_header *h = (const void *)world->items[i].bytes;

		if (!world->items[i].note)
			made[h->type]++;
	}
	for (size_t i = 0; i < l->count; i++) {
		Affiant__V1__Record *r = unpack(&l->at[i]);

		execs += r->body_case == AFFIANT__V1__RECORD__BODY_EXEC;
		exits += r->body_case == AFFIANT__V1__RECORD__BODY_EXIT &&
			 l->at[i].source >> 48 != NOTE_CPU;
		connects += r->body_case == AFFIANT__V1__RECORD__BODY_CONNECT && !is_pending(r) &&
			    r->connect->outcome == AFFIANT__V1__OUTCOME__ESTABLISHED;
		if (r->body_case == AFFIANT__V1__RECORD__BODY_FOLDED) {
			execs += folded_count(r->folded, AFFIANT__V1__FOLDED_KIND__FOLDED_EXEC);
			connects +=
				folded_count(r->folded, AFFIANT__V1__FOLDED_KIND__FOLDED_CONNECT);
		}
		record_free(r);
	}
	assert_true(execs <= made[EVENT_EXEC]);
	assert_true(exits <= made[EVENT_EXIT]);
	assert_true(connects <= made[EVENT_CONNECT] + made[EVENT_UNIX]);
}

/* A power cut takes the note that a Folded record was made by, or what was counted in it. */
static void folds_once_over_a_power_cut(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= 60; seed++) {
		struct fixture f;
		struct machine m;

		prepare(&f, 7000 + seed, 200);
		m = (struct machine){.world = &f.world,
				     .config = &f.config,
				     .seed = seed,
				     .budgeted = (16 + seed % 64) << 10};
		run_to_reboot(&m, 40 + 3 * seed, seed % 20);
		assert_no_doubles(&m.ledger);
		assert_no_more_than(&f.world, &m.ledger);
		assert_pending_completed(&m.ledger);
		assert_one_end(&m.ledger);
		machine_clear(&m);
		finish(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(makes_worlds_that_have_everything),
		cmocka_unit_test(tells_the_same_in_haste),
		cmocka_unit_test(tells_the_same_when_killed_anywhere),
		cmocka_unit_test(tells_the_same_when_killed_all_the_time),
		cmocka_unit_test(ends_a_boot_once),
		cmocka_unit_test(contradicts_nothing_after_a_power_cut),
		cmocka_unit_test(folds_the_same_when_killed),
		cmocka_unit_test(folds_once_over_a_power_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
