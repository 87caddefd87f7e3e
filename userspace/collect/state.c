/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/attribute.h"

#include "base/pb.h"
#include "collect/loss.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

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

static struct process_key key_of(const Affiant__V1__ProcessId *id)
{
	if (!id)
		return (struct process_key){ 0 };
	return (struct process_key){ id->start_boottime_ns, id->tgid, id->exec_seq };
}

/* ---- saving ---- */

struct saver {
	Affiant__V1__State *m;
	uint64_t round;		/* an object saved in this round carries round + its number there */
	int err;
};

/* Each save takes numbers above all that an earlier one gave, so that nothing has to be reset. */
static uint64_t rounds = 1;

/* The draft's bytes, as if it were finished now. */
static ProtobufCBinaryData packed_draft(struct image *i)
{
	ProtobufCBinaryData b = { 0 };
	bool late[IMAGE_DIGESTS_MAX] = { false };

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
	SET(m, exe, pb_copy(i->exe, strlen(i->exe)));
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
	SET(m, ended, from->ended_wall_ns != 0);
	SET(m, source, from->source);
	SET(m, told, from->told);
	SET(m, started_boottime_ns, from->started_ns);
	SET(m, processes, from->processes);
	SET(m, connections, from->connections);
	SET(m, execs, from->execs);
	SET(m, ending, from->ending);
	if (from->has_first)
		m->first = id_new(&from->first);
	SET(m, status, from->status);
	/* protobuf-c has no copy but through the wire. */
	packed = malloc(affiant__v1__record__get_packed_size(from->head) ?: 1);
	len = packed ? affiant__v1__record__pack(from->head, packed) : 0;
	m->head = packed ? affiant__v1__record__unpack(NULL, len, packed) : NULL;
	free(packed);
	if (!m->head)
		s->err = -ENOMEM;
	return from->saved - s->round;
}

static void save_lineage(struct saver *s, Affiant__V1__StateActor *m, const struct lineage *l)
{
	for (unsigned int i = 0; l && i < l->count; i++) {
		Affiant__V1__Ancestor *up = NEW(m->ancestry, m->n_ancestry, affiant__v1__ancestor__init);

		if (!up) {
			s->err = -ENOMEM;
			return;
		}
		up->id = id_new(&l->up[i].key);
		if (l->up[i].exe)
			SET(up, exe, pb_copy(l->up[i].exe, strlen(l->up[i].exe)));
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
	SET(m, attempt, pb_copy(&c->attempt, c->attempt.header.size));
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

static int save_totals(const uint64_t from[static LOSS_ALL], Affiant__V1__LostCount ***list, size_t *count)
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
	for (size_t i = 0; i < a->gaps_count; i++) {
		Affiant__V1__LostRange *m = NEW(s->m->gaps, s->m->n_gaps, affiant__v1__lost_range__init);

		if (!m) {
			s->err = -ENOMEM;
			return;
		}
		*m = a->gaps[i];
	}
}

static void save_seen(struct saver *s, const struct seen *seen)
{
	struct seen_span span;

	for (uint32_t cpu = 0; cpu < SEEN_CPUS; cpu++) {
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
	}
}

Affiant__V1__State *state_save(struct attribute *a)
{
	struct saver s = { .m = malloc(sizeof(*s.m)), .round = rounds };
	struct connection *c, *next_c;
	struct process *p, *next_p;
	struct session *e, *next_e;
	struct image *i;
	struct held *h;

	if (!s.m)
		return NULL;
	affiant__v1__state__init(s.m);
	SET(s.m, boot_id, pb_copy(a->config.boot_id, 16));
	HASH_ITER (hh, a->table.sessions, e, next_e)
		save_session(&s, e);
	HASH_ITER (hh, a->table.processes, p, next_p) {
		uint64_t actor = save_actor(&s, p->actor);
		Affiant__V1__StateProcess *m =
			NEW(s.m->processes, s.m->n_processes, affiant__v1__state_process__init);

		if (m)
			SET(m, actor, actor);
		else
			s.err = -ENOMEM;
	}
	HASH_ITER (hh, a->table.connections, c, next_c)
		save_connection(&s, c);
	DL_FOREACH (a->table.drafts, i)
		DL_FOREACH (i->held, h)
			save_held(&s, h);
	save_counters(&s, a);
	save_seen(&s, &a->seen);

	rounds += s.m->n_actors + s.m->n_images + s.m->n_sessions + 1;
	if (s.err) {
		affiant__v1__state__free_unpacked(s.m, NULL);
		return NULL;
	}
	return s.m;
}

/* ---- loading ---- */

struct loader {
	struct attribute *a;
	const Affiant__V1__State *m;
	struct image **images;
	struct actor **actors;
	struct session **sessions;
};

static int load_sessions(struct loader *l)
{
	for (size_t n = 0; n < l->m->n_sessions; n++) {
		Affiant__V1__StateSession *m = l->m->sessions[n];
		struct session *s;

		if (!m->head || !m->head->session || m->head->session->id.len != UUID_SIZE ||
		    (!m->ended && session_find(&l->a->table, m->key)))
			return -EBADMSG;
		s = session_new(&l->a->table, m->key);
		if (!s)
			return -ENOMEM;
		l->sessions[n] = session_ref(s);
		if (m->ended) {
			HASH_DEL(l->a->table.sessions, s);
			session_unref(s);
			s->ended_wall_ns = 1;
		}
		s->head = m->head;
		m->head = NULL;
		memcpy(s->id.bytes, s->head->session->id.data, UUID_SIZE);
		s->source = m->source;
		s->told = m->told;
		s->started_ns = m->started_boottime_ns;
		s->connections = m->connections;
		s->execs = m->execs;
		s->ending = m->ending;
		s->has_first = m->first != NULL;
		s->first = key_of(m->first);
		s->status = m->status;
		if (session_pack(s) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int load_images(struct loader *l)
{
	for (size_t n = 0; n < l->m->n_images; n++) {
		const Affiant__V1__StateImage *m = l->m->images[n];
		struct image *i = l->images[n] = image_new(&l->a->table);

		if (!i)
			return -ENOMEM;
		i->exe = strndup((const char *)m->exe.data ?: "", m->exe.len);
		i->packed = malloc(m->packed.len ?: 1);
		if (!i->exe || !i->packed)
			return -ENOMEM;
		if (m->packed.len)
			memcpy(i->packed, m->packed.data, m->packed.len);
		i->packed_len = m->packed.len;
	}
	return 0;
}

static int load_lineage(const Affiant__V1__StateActor *m, struct lineage **ret)
{
	struct lineage *l;

	if (!m->n_ancestry)
		return 0;
	if (m->n_ancestry > LINEAGE_MAX)
		return -EBADMSG;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->refs = 1;
	l->cut = m->ancestry_cut;
	for (; l->count < m->n_ancestry; l->count++) {
		const Affiant__V1__Ancestor *up = m->ancestry[l->count];

		l->up[l->count].key = key_of(up->id);
		l->up[l->count].exe = strndup((const char *)up->exe.data ?: "", up->exe.len);
	}
	*ret = l;
	return 0;
}

static int load_actors(struct loader *l)
{
	for (size_t n = 0; n < l->m->n_actors; n++) {
		const Affiant__V1__StateActor *m = l->m->actors[n];
		struct actor *a;
		int err;

		if (m->image >= l->m->n_images || m->session >= l->m->n_sessions)
			return -EBADMSG;
		a = actor_new(&l->a->table, l->sessions[m->session], l->images[m->image]);
		if (!a)
			return -ENOMEM;
		l->actors[n] = a;
		a->key = key_of(m->id);
		a->parent = key_of(m->parent);
		err = load_lineage(m, &a->lineage);
		if (err)
			return err;
	}
	return 0;
}

static int load_connections(struct loader *l)
{
	for (size_t n = 0; n < l->m->n_connections; n++) {
		const Affiant__V1__StateConnection *m = l->m->connections[n];
		union {
			struct event_header header;
			struct event_connect inet;
			struct event_unix un;
		} attempt = { 0 };
		struct connection *c;

		if (m->actor >= l->m->n_actors || m->attempt.len < sizeof(attempt.header) ||
		    m->attempt.len > sizeof(attempt))
			return -EBADMSG;
		memcpy(&attempt, m->attempt.data, m->attempt.len);
		if (attempt.header.type != EVENT_CONNECT && attempt.header.type != EVENT_UNIX)
			return -EBADMSG;
		c = connection_new(&l->a->table, &attempt.header, l->actors[m->actor]);
		if (!c)
			return -ENOMEM;
		c->told = m->told;
		if (c->told == TOLD_NOTHING) {
			c->deadline_ns = l->a->now_ns + l->a->config.outcome_wait_ns;
			c->waiting = true;
			DL_APPEND(l->a->table.awaiting, c);
		}
	}
	return 0;
}

static int load_processes(struct loader *l)
{
	for (size_t n = 0; n < l->m->n_processes; n++) {
		uint64_t actor = l->m->processes[n]->actor;

		if (actor >= l->m->n_actors || l->actors[actor]->session->ended_wall_ns)
			return -EBADMSG;
		if (!process_new(&l->a->table, actor_ref(l->actors[actor])))
			return -ENOMEM;
	}
	/* process_new() counts: put back what had been counted. */
	for (size_t n = 0; n < l->m->n_sessions; n++) {
		l->sessions[n]->processes = l->m->sessions[n]->processes;
		if (l->sessions[n]->processes < l->sessions[n]->live)
			return -EBADMSG;
	}
	return 0;
}

static int load_counters(struct loader *l)
{
	loss_set_totals(l->a->losses, l->m->losses, l->m->n_losses);
	loss_set_totals(l->a->dropped, l->m->dropped, l->m->n_dropped);
	for (size_t n = 0; n < l->m->n_gaps; n++)
		loss_gap(l->a, l->m->gaps[n]->cpu, l->m->gaps[n]->first, l->m->gaps[n]->last);
	for (size_t n = 0; n < l->m->n_cpus; n++) {
		const Affiant__V1__StateCpu *m = l->m->cpus[n];
		int err = seen_load(&l->a->seen, m->cpu, m->low, m->top, m->seen.data, m->seen.len);

		if (err)
			return err;
	}
	return 0;
}

/* Records that waited for a digest then: it will not come, they go now. */
static int load_held(struct loader *l)
{
	for (size_t n = 0; n < l->m->n_held; n++) {
		const Affiant__V1__StateHeld *m = l->m->held[n];

		if (m->actor >= l->m->n_actors)
			return -EBADMSG;
		tell_again(l->a, m->source, m->part, l->actors[m->actor], m->record.data, m->record.len);
	}
	return 0;
}

int state_load(struct attribute *a, const Affiant__V1__State *m)
{
	struct loader l = { .a = a, .m = m };
	int err = -ENOMEM;

	l.images = calloc(m->n_images + 1, sizeof(*l.images));
	l.actors = calloc(m->n_actors + 1, sizeof(*l.actors));
	l.sessions = calloc(m->n_sessions + 1, sizeof(*l.sessions));
	if (l.images && l.actors && l.sessions)
		err = load_sessions(&l) ?:
		      load_images(&l) ?:
		      load_actors(&l) ?:
		      load_processes(&l) ?:
		      load_connections(&l) ?:
		      load_counters(&l) ?:
		      load_held(&l);

	for (size_t n = 0; l.actors && n < m->n_actors; n++)
		actor_unref(l.actors[n]);
	for (size_t n = 0; l.images && n < m->n_images; n++)
		image_unref(l.images[n]);
	free(l.images);
	free(l.actors);
	for (size_t n = 0; l.sessions && n < m->n_sessions; n++)
		session_unref(l.sessions[n]);
	free(l.sessions);
	return err;
}
