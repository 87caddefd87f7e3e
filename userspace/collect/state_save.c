/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/pb.h"
#include "collect/attribute.h"
#include "collect/hold.h"
#include "collect/loss.h"
#include "collect/untagged.h"

/* Lists of messages grow by doubling; NULL members never occur. */
#define NEW(list, count, init)                                                                     \
	({                                                                                         \
		typeof(*(list)) _m = NULL;                                                         \
		if (!grow((void ***)&(list), (count))) {                                           \
			_m = malloc(sizeof(*_m));                                                  \
			if (_m) {                                                                  \
				init(_m);                                                          \
				(list)[(count)++] = _m;                                            \
			}                                                                          \
		}                                                                                  \
		_m;                                                                                \
	})

static int grow(void ***list, size_t count)
{
	void **more;

	if (*list && (count & (count - 1)))
		return 0;
	more = realloc(*list, (count ? 2 * count : 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	*list = more;
	return 0;
}

static Affiant__V1__ProcessId *id_new(const struct process_key *key)
{
	Affiant__V1__ProcessId *id = malloc(sizeof(*id));

	if (!id)
		return NULL;
	affiant__v1__process_id__init(id);
	SET(id, tgid, key->tgid);
	SET(id, start_boottime_ns, key->start);
	SET(id, exec_seq, key->exec_seq);
	return id;
}

struct saver {
	Affiant__V1__State *m;
	uint64_t round; /* an object saved in this round carries round + its number there */
	int err;
};

/* Each save takes numbers above all that an earlier one gave, so that nothing has to be reset. */
static uint64_t rounds = 1;

/* The draft's bytes, as if it were finished now. */
static ProtobufCBinaryData packed_draft(struct image *i)
{
	ProtobufCBinaryData b = {0};
	bool late[IMAGE_DIGESTS_MAX] = {false};

	for (unsigned int slot = 0; slot < IMAGE_DIGESTS_MAX; slot++) {
		Affiant__V1__Digest *d = i->digests[slot].digest;

		if (!d || d->has_state)
			continue;
		late[slot] = true;
		SET(d, state, AFFIANT__V1__HASH_STATE__HASH_TOO_LATE);
	}
	b.data = malloc(affiant__v1__process__get_packed_size(i->draft) ?: 1);
	if (b.data)
		b.len = affiant__v1__process__pack(i->draft, b.data);
	for (unsigned int slot = 0; slot < IMAGE_DIGESTS_MAX; slot++)
		if (late[slot])
			i->digests[slot].digest->has_state = false;
	return b;
}

static uint64_t save_image(struct saver *s, struct image *i)
{
	Affiant__V1__StateImage *m;

	if (i->saved >= s->round)
		return i->saved - s->round;
	m = NEW(s->m->images, s->m->n_images, affiant__v1__state_image__init);
	if (!m) {
		s->err = -ENOMEM;
		return 0;
	}
	i->saved = s->round + s->m->n_images - 1;
	SET(m, number, s->m->n_images - 1);
	SET(m, known, i->known);
	if (i->exe)
		SET(m, exe, pb_copy(i->exe->text, i->exe->len));
	if (i->has_id)
		SET(m, object, pb_copy(&i->id, sizeof(i->id)));
	SET(m, power, i->power);
	SET(m, weight, i->weight);
	SET(m, packed, i->draft ? packed_draft(i) : pb_copy(i->packed, i->packed_len));
	return m->number;
}

static uint64_t save_session(struct saver *s, struct session *from)
{
	Affiant__V1__StateSession *m;
	uint8_t *packed;
	size_t len;

	if (from->saved >= s->round)
		return from->saved - s->round;
	m = NEW(s->m->sessions, s->m->n_sessions, affiant__v1__state_session__init);
	if (!m) {
		s->err = -ENOMEM;
		return 0;
	}
	from->saved = s->round + s->m->n_sessions - 1;
	SET(m, key, from->key);
	if (from->ended_wall_ns)
		SET(m, ended_wall_ns, from->ended_wall_ns);
	SET(m, source, from->source);
	SET(m, told, from->told);
	SET(m, started_boottime_ns, from->started_ns);
	SET(m, processes, from->processes);
	SET(m, connections, from->connections);
	SET(m, execs, from->execs);
	SET(m, ending, from->ending);
	SET(m, power, from->power);
	SET(m, untagged_children, from->untagged);
	if (from->vacancy.is)
		SET(m, vacant, true);
	if (from->vacancy.boottime_ns) {
		SET(m, left_source, from->vacancy.source);
		SET(m, left_boottime_ns, from->vacancy.boottime_ns);
	}
	SET(m, programs, pb_copy(from->programs.leaves, from->programs.count * SHA256_SIZE));
	SET(m, programs_cut, from->programs.cut);
	if (from->has_first)
		m->first = id_new(&from->first);
	if (from->has_status)
		SET(m, status, from->status);
	/* protobuf-c has no copy but through the wire. */
	packed = malloc(affiant__v1__record__get_packed_size(from->head) ?: 1);
	len = packed ? affiant__v1__record__pack(from->head, packed) : 0;
	m->head = packed ? affiant__v1__record__unpack(NULL, len, packed) : NULL;
	free(packed);
	if (!m->head || fold_save(from, m))
		s->err = -ENOMEM;
	return from->saved - s->round;
}

static void save_lineage(struct saver *s, Affiant__V1__StateActor *m, const struct lineage *l)
{
	for (unsigned int i = 0; l && i < l->count; i++) {
		Affiant__V1__StateAncestor *up =
			NEW(m->ancestry, m->n_ancestry, affiant__v1__state_ancestor__init);

		if (!up) {
			s->err = -ENOMEM;
			return;
		}
		up->id = id_new(&l->up[i].key);
		if (l->up[i].image)
			SET(up, image, save_image(s, l->up[i].image));
	}
	if (l && l->cut)
		SET(m, ancestry_cut, true);
}

static uint64_t save_actor(struct saver *s, struct actor *a)
{
	Affiant__V1__StateActor *m;
	uint64_t image, session;

	if (a->saved >= s->round)
		return a->saved - s->round;
	image = save_image(s, a->image);
	session = save_session(s, a->session);
	m = NEW(s->m->actors, s->m->n_actors, affiant__v1__state_actor__init);
	if (!m) {
		s->err = -ENOMEM;
		return 0;
	}
	a->saved = s->round + s->m->n_actors - 1;
	SET(m, number, s->m->n_actors - 1);
	SET(m, session, session);
	SET(m, image, image);
	m->id = id_new(&a->key);
	m->parent = id_new(&a->parent);
	if (a->late)
		SET(m, late, true);
	save_lineage(s, m, a->lineage);
	return m->number;
}

static void save_connection(struct saver *s, struct connection *c)
{
	uint64_t actor = save_actor(s, c->actor);
	Affiant__V1__StateConnection *m =
		NEW(s->m->connections, s->m->n_connections, affiant__v1__state_connection__init);

	if (!m) {
		s->err = -ENOMEM;
		return;
	}
	SET(m, actor, actor);
	SET(m, told, c->told);
	SET(m, folded, c->folded);
	if (c->opener)
		SET(m, opener, save_session(s, c->opener));
	SET(m, attempt, pb_copy(&c->attempt, sizeof(c->attempt)));
}

/* Who left it last is saved behind it, of which it is. */
static void save_left(struct saver *s, struct session *from)
{
	uint64_t number = save_session(s, from), actor;

	if (!from->vacancy.last || s->err)
		return;
	actor = save_actor(s, from->vacancy.last);
	SET(s->m->sessions[number], left_actor, actor);
}

static void save_held(struct saver *s, const struct held *h)
{
	uint64_t actor = save_actor(s, h->actor);
	Affiant__V1__StateHeld *m = NEW(s->m->held, s->m->n_held, affiant__v1__state_held__init);

	if (!m) {
		s->err = -ENOMEM;
		return;
	}
	SET(m, source, h->source);
	SET(m, part, h->part);
	SET(m, actor, actor);
	SET(m, record, pb_copy(h->record, h->len));
}

static int save_totals(const uint64_t from[static LOSS_ALL], Affiant__V1__LostCount ***list,
		       size_t *count)
{
	Affiant__V1__LostCount totals[LOSS_ALL];
	size_t n = loss_totals(from, totals);

	for (size_t i = 0; i < n; i++) {
		Affiant__V1__LostCount *m = NEW(*list, *count, affiant__v1__lost_count__init);

		if (!m)
			return -ENOMEM;
		m->stage = strdup(totals[i].stage);
		m->kind = strdup(totals[i].kind);
		SET(m, count, totals[i].count);
	}
	return 0;
}

static void save_counters(struct saver *s, struct attribute *a)
{
	if (save_totals(a->losses, &s->m->losses, &s->m->n_losses) < 0 ||
	    save_totals(a->dropped, &s->m->dropped, &s->m->n_dropped) < 0) {
		s->err = -ENOMEM;
		return;
	}
	if (a->lost_ns)
		SET(s->m, lost_boottime_ns, a->lost_ns);
	for (size_t i = 0; i < a->gaps_count; i++) {
		Affiant__V1__LostRange *m =
			NEW(s->m->gaps, s->m->n_gaps, affiant__v1__lost_range__init);

		if (!m) {
			s->err = -ENOMEM;
			return;
		}
		*m = a->gaps[i];
	}
	for (size_t i = 0; a->untagged && i < a->untagged->count; i++) {
		Affiant__V1__LostProcess *m = untagged_message(&a->untagged->waiting[i]);

		if (!m || grow((void ***)&s->m->untagged, s->m->n_untagged)) {
			if (m)
				affiant__v1__lost_process__free_unpacked(m, NULL);
			s->err = -ENOMEM;
			return;
		}
		s->m->untagged[s->m->n_untagged++] = m;
	}
}

static void save_seen(struct saver *s, const struct seen *seen)
{
	struct seen_span span;

	for (uint32_t cpu = 0; cpu < seen->end; cpu++) {
		Affiant__V1__StateCpu *m;

		if (!seen_save(seen, cpu, &span))
			continue;
		m = NEW(s->m->cpus, s->m->n_cpus, affiant__v1__state_cpu__init);
		if (!m) {
			s->err = -ENOMEM;
			return;
		}
		SET(m, cpu, cpu);
		SET(m, low, span.low);
		SET(m, top, span.top);
		SET(m, seen, pb_copy(span.bits, seen_span_bytes(span.low, span.top)));
		if (span.missed_len)
			SET(m, missed, pb_copy(span.missed, span.missed_len));
	}
}

static void save_table(struct saver *s, struct table *t, struct fold *folding)
{
	const unsigned int slots = sizeof(t->ended) / sizeof(t->ended[0]);
	struct connection *c, *next_c;
	struct session *e, *next_e;
	struct process *p, *next_p;
	struct fold *f, *next_f;
	struct image *i;
	struct held *h;

	s->m->ended = calloc(slots, sizeof(*s->m->ended));
	for (unsigned int n = 0; s->m->ended && n < slots; n++) {
		e = t->ended[(t->ended_next + n) % slots];
		if (e)
			s->m->ended[s->m->n_ended++] = save_session(s, e);
	}
	HASH_ITER (hh, t->sessions, e, next_e)
		save_left(s, e);
	/* One that ended long ago can have a window yet, by sockets that outlived it. */
	HASH_ITER (hh, folding, f, next_f)
		save_session(s, f->session);
	HASH_ITER (hh, t->processes, p, next_p) {
		uint64_t actor = save_actor(s, p->actor);
		Affiant__V1__StateProcess *m =
			NEW(s->m->processes, s->m->n_processes, affiant__v1__state_process__init);

		if (!m) {
			s->err = -ENOMEM;
			continue;
		}
		SET(m, actor, actor);
		if (p->untagged)
			SET(m, untagged, true);
	}
	HASH_ITER (hh, t->connections, c, next_c)
		save_connection(s, c);
	DL_FOREACH (t->drafts, i)
		DL_FOREACH (i->held, h)
			save_held(s, h);
}

static void save_clock(struct saver *s, const struct attribute *a)
{
	Affiant__V1__NoteClock *m = malloc(sizeof(*m));

	SET(s->m, boottime_ns, a->seen.now_ns);
	SET(s->m, newest_ns, a->newest_ns);
	if (!m) {
		s->err = -ENOMEM;
		return;
	}
	affiant__v1__note_clock__init(m);
	SET(m, offset_ns, a->clock.offset_ns);
	SET(m, state, a->clock.state);
	SET(m, stepped, a->stepped);
	s->m->clock = m;
}

static void save_epoch(struct saver *s, const struct attribute *a)
{
	Affiant__V1__StateEpoch *m = a->epoch.known ? malloc(sizeof(*m)) : NULL;

	if (!m) {
		s->err = a->epoch.known ? -ENOMEM : s->err;
		return;
	}
	affiant__v1__state_epoch__init(m);
	SET(m, id, pb_copy(a->epoch.id, sizeof(a->epoch.id)));
	if (a->seen.first)
		SET(m, first, a->seen.first);
	SET(m, past, a->epoch.past);
	s->m->epoch = m;
}

Affiant__V1__State *state_save(struct attribute *a)
{
	struct saver s = {.m = malloc(sizeof(*s.m)), .round = rounds};

	if (!s.m)
		return NULL;
	affiant__v1__state__init(s.m);
	SET(s.m, boot_id, pb_copy(a->config.boot_id, 16));
	save_table(&s, &a->table, a->folding);
	save_counters(&s, a);
	save_seen(&s, &a->seen);
	save_clock(&s, a);
	save_epoch(&s, a);
	if (budgets_save(&a->budgets, s.m) || holds_save(a, s.m))
		s.err = -ENOMEM;

	rounds += s.m->n_actors + s.m->n_images + s.m->n_sessions + 1;
	if (s.err) {
		affiant__v1__state__free_unpacked(s.m, NULL);
		return NULL;
	}
	return s.m;
}
