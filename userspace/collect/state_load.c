/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "collect/attribute.h"
#include "collect/decode.h"
#include "collect/hold.h"
#include "collect/loss.h"
#include "collect/untagged.h"

struct loader {
	struct attribute *a;
	const Affiant__V1__State *m;
	struct image **images;
	struct actor **actors;
	struct session **sessions;
};

static struct process_key key_of(const Affiant__V1__ProcessId *id)
{
	if (!id)
		return (struct process_key){0};
	return (struct process_key){id->start_boottime_ns, id->tgid, id->exec_seq};
}

/* *@ret: NULL for what is absent. */
static int load_path(struct loader *l, bool has, ProtobufCBinaryData text, struct path **ret)
{
	*ret = NULL;
	if (!has || !text.len)
		return 0;
	*ret = path_get(&l->a->table, (const char *)text.data, text.len);
	return *ret ? 0 : -ENOMEM;
}

static int load_programs(struct programs *p, const ProtobufCBinaryData *leaves)
{
	int err = leaves->len % SHA256_SIZE ? -EBADMSG : 0;

	for (size_t at = 0; !err && at < leaves->len; at += SHA256_SIZE)
		err = programs_add(p, (const struct sha256 *)(leaves->data + at));
	return err;
}

static int load_session(struct loader *l, Affiant__V1__StateSession *m, struct session **ret)
{
	struct session *s;

	if (!session_head_valid(m->head) ||
	    (!m->ended_wall_ns && session_find(&l->a->table, m->key)))
		return -EBADMSG;
	s = session_new(&l->a->table, m->key);
	if (!s)
		return -ENOMEM;
	*ret = session_ref(s);
	s->head = m->head;
	m->head = NULL;
	memcpy(s->id.bytes, s->head->session->id.data, UUID_SIZE);
	s->source = m->source;
	s->told = m->told;
	s->started_ns = m->started_boottime_ns;
	s->connections = m->connections;
	s->execs = m->execs;
	s->ending = m->ending;
	s->power = m->power;
	s->untagged = m->untagged_children;
	s->programs.cut = m->programs_cut;
	s->has_first = m->first != NULL;
	s->first = key_of(m->first);
	s->has_status = m->has_status;
	s->status = m->status;
	s->ended_wall_ns = m->ended_wall_ns;
	s->vacancy.source = m->left_source;
	s->vacancy.boottime_ns = m->left_boottime_ns;
	if (s->ended_wall_ns) {
		session_drop(&l->a->table, s);
		session_unref(s);
	}
	return load_programs(&s->programs, &m->programs)
		       ?: session_pack(s)
		       ?: fold_load(l->a, s, m);
}

static int load_sessions(struct loader *l)
{
	for (size_t n = 0; n < l->m->n_sessions; n++) {
		int err = load_session(l, l->m->sessions[n], &l->sessions[n]);

		if (err)
			return err;
	}
	for (size_t n = 0; n < l->m->n_ended; n++) {
		uint64_t number = l->m->ended[n];

		if (number >= l->m->n_sessions || !l->sessions[number]->ended_wall_ns)
			return -EBADMSG;
		session_remember(&l->a->table, session_ref(l->sessions[number]));
	}
	return 0;
}

static int load_images(struct loader *l)
{
	for (size_t n = 0; n < l->m->n_images; n++) {
		const Affiant__V1__StateImage *m = l->m->images[n];
		struct image *i = l->images[n] = image_new(&l->a->table);
		int err = i ? load_path(l, m->has_exe, m->exe, &i->exe) : -ENOMEM;

		if (err)
			return err;
		i->known = m->known;
		i->power = m->power;
		i->weight = m->weight;
		i->has_id = m->object.len == sizeof(i->id);
		if (i->has_id)
			memcpy(&i->id, m->object.data, sizeof(i->id));
		if (!m->packed.len)
			continue;
		i->packed = malloc(m->packed.len);
		if (!i->packed)
			return -ENOMEM;
		memcpy(i->packed, m->packed.data, m->packed.len);
		i->packed_len = m->packed.len;
	}
	return 0;
}

static int load_lineage(struct loader *l, const Affiant__V1__StateActor *m, struct lineage **ret)
{
	struct lineage *lineage;

	if (!m->n_ancestry && !m->ancestry_cut)
		return 0;
	if (m->n_ancestry > LINEAGE_MAX)
		return -EBADMSG;
	lineage = *ret = lineage_unknown();
	if (!lineage)
		return -ENOMEM;
	lineage->cut = m->ancestry_cut;
	for (; lineage->count < m->n_ancestry; lineage->count++) {
		const Affiant__V1__StateAncestor *up = m->ancestry[lineage->count];

		lineage->up[lineage->count].key = key_of(up->id);
		if (!up->has_image)
			continue;
		if (up->image >= l->m->n_images)
			return -EBADMSG;
		lineage->up[lineage->count].image = image_ref(l->images[up->image]);
	}
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
		a->late = m->late;
		/* Those whose digests were awaited are settled by now: too late. */
		err = load_lineage(l, m, &a->lineage) ?: session_add_programs(a->session, a->image);
		if (err)
			return err;
	}
	return 0;
}

static int load_processes(struct loader *l)
{
	for (size_t n = 0; n < l->m->n_processes; n++) {
		uint64_t number = l->m->processes[n]->actor;
		struct process *p;
		struct actor *a;

		if (number >= l->m->n_actors)
			return -EBADMSG;
		a = l->actors[number];
		if (a->session->ended_wall_ns ||
		    process_find(&l->a->table, a->key.tgid, a->key.start))
			return -EBADMSG;
		p = process_new(&l->a->table, actor_ref(a));
		if (!p)
			return -ENOMEM;
		process_set_untagged(&l->a->table, p, l->m->processes[n]->untagged);
	}
	/* process_new() counts: put back what had been counted. */
	for (size_t n = 0; n < l->m->n_sessions; n++) {
		l->sessions[n]->processes = l->m->sessions[n]->processes;
		if (l->sessions[n]->processes < l->sessions[n]->live)
			return -EBADMSG;
	}
	return 0;
}

static int load_vacant(struct loader *l)
{
	for (size_t n = 0; n < l->m->n_sessions; n++) {
		const Affiant__V1__StateSession *m = l->m->sessions[n];
		struct session *s = l->sessions[n];

		if (!m->vacant || s->ended_wall_ns)
			continue;
		if (s->live || (m->has_left_actor && (m->left_actor >= l->m->n_actors ||
						      l->actors[m->left_actor]->session != s)))
			return -EBADMSG;
		session_vacate(&l->a->table, s, m->left_source, m->left_boottime_ns,
			       m->has_left_actor ? l->actors[m->left_actor] : NULL);
	}
	return 0;
}

static int load_connection(struct loader *l, const Affiant__V1__StateConnection *m)
{
	const struct event_header *h;
	struct event_connect attempt;
	struct connection *c;

	if (m->actor >= l->m->n_actors || m->told > TOLD_LAST || m->attempt.len != sizeof(attempt))
		return -EBADMSG;
	memcpy(&attempt, m->attempt.data, sizeof(attempt));
	if (event_decode(&attempt, sizeof(attempt), &h) || h->type != EVENT_CONNECT ||
	    connection_find(&l->a->table, attempt.connection))
		return -EBADMSG;
	if (m->has_opener && m->opener >= l->m->n_sessions)
		return -EBADMSG;
	c = connection_new(&l->a->table, &attempt, l->actors[m->actor],
			   m->has_opener ? l->sessions[m->opener] : NULL);
	if (!c)
		return -ENOMEM;
	c->told = m->told;
	c->folded = m->folded;
	if (c->told == TOLD_NOTHING && !c->folded)
		flow_await(l->a, c);
	return 0;
}

static int load_connections(struct loader *l)
{
	for (size_t n = 0; n < l->m->n_connections; n++) {
		int err = load_connection(l, l->m->connections[n]);

		if (err)
			return err;
	}
	return 0;
}

static int load_counters(struct loader *l)
{
	loss_set_totals(l->a->losses, l->m->losses, l->m->n_losses);
	for (size_t n = 0; n < l->m->n_gaps; n++)
		loss_gap(l->a, l->m->gaps[n]->cpu, l->m->gaps[n]->first, l->m->gaps[n]->last);
	/* Their numbers are counted in it. */
	loss_set_totals(l->a->dropped, l->m->dropped, l->m->n_dropped);
	l->a->lost_ns = l->m->lost_boottime_ns;
	for (size_t n = 0; n < l->m->n_untagged; n++) {
		struct untagged_process p;
		int err = untagged_of_message(l->m->untagged[n], &p);

		if (err)
			return err;
		untagged_add(l->a, &p);
	}
	for (size_t n = 0; n < l->m->n_cpus; n++) {
		const Affiant__V1__StateCpu *m = l->m->cpus[n];
		int err = seen_load(&l->a->seen, m->cpu, m->low, m->top, m->seen.data, m->seen.len)
				  ?: seen_load_missed(&l->a->seen, m->cpu, m->missed.data,
						      m->missed.len);

		if (err)
			return err;
	}
	l->a->seen.now_ns = l->m->boottime_ns;
	l->a->newest_ns = l->m->has_newest_ns ? l->m->newest_ns : l->m->boottime_ns;
	if (l->m->clock)
		attribute_set_clock(l->a, l->m->clock);
	return 0;
}

static int load_epoch(struct loader *l)
{
	const Affiant__V1__StateEpoch *m = l->m->epoch;

	if (!m)
		return 0;
	if (m->id.len != sizeof(l->a->epoch.id) || m->first >> 48 || m->past >> 48)
		return -EBADMSG;
	l->a->epoch = (struct attribute_epoch){.known = true, .past = m->past};
	memcpy(l->a->epoch.id, m->id.data, sizeof(l->a->epoch.id));
	l->a->seen.first = m->first;
	return 0;
}

/* Records that waited for a digest then: it will not come, they go now. */
static int load_held(struct loader *l)
{
	for (size_t n = 0; n < l->m->n_held; n++) {
		const Affiant__V1__StateHeld *m = l->m->held[n];

		if (m->actor >= l->m->n_actors || !m->record.len)
			return -EBADMSG;
		tell_again(l->a, m->source, m->part, l->actors[m->actor], m->record.data,
			   m->record.len);
	}
	return 0;
}

int state_load(struct attribute *a, const Affiant__V1__State *m)
{
	struct loader l = {.a = a, .m = m};
	int err = -ENOMEM;

	l.images = calloc(m->n_images + 1, sizeof(*l.images));
	l.actors = calloc(m->n_actors + 1, sizeof(*l.actors));
	l.sessions = calloc(m->n_sessions + 1, sizeof(*l.sessions));
	if (l.images && l.actors && l.sessions)
		err = load_epoch(&l) ?:
		      budgets_load(&a->budgets, m) ?:
		      holds_load(a, m) ?:
		      load_sessions(&l) ?:
		      load_images(&l) ?:
		      load_actors(&l) ?:
		      load_processes(&l) ?:
		      load_vacant(&l) ?:
		      load_connections(&l) ?:
		      load_counters(&l) ?:
		      load_held(&l);

	for (size_t n = 0; l.actors && n < m->n_actors; n++)
		actor_unref(l.actors[n]);
	for (size_t n = 0; l.images && n < m->n_images; n++)
		image_unref(l.images[n]);
	for (size_t n = 0; l.sessions && n < m->n_sessions; n++)
		session_unref(l.sessions[n]);
	free(l.images);
	free(l.actors);
	free(l.sessions);
	return err;
}
