/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/attribute.h"

#include "base/pb.h"
#include "collect/decode.h"
#include "collect/loss.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

int attribute_new(const struct attribute_config *config, struct attribute **ret)
{
	struct attribute *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->config = *config;
	a->seen.missing = loss_gap;
	a->seen.data = a;
	*ret = a;
	return 0;
}

void attribute_free(struct attribute *a)
{
	if (!a)
		return;
	table_clear(&a->table);
	seen_clear(&a->seen);
	free(a->gaps);
	free(a);
}

/* ---- sessions ---- */

/* The head of a session that no launcher named: by a selector, or of tags that outlived their state. */
static Affiant__V1__Record *make_head(struct attribute *a, const struct uuid *id, const char *agent)
{
	Affiant__V1__Record *r = malloc(sizeof(*r));

	if (!r)
		return NULL;
	affiant__v1__record__init(r);
	r->agent = malloc(sizeof(*r->agent));
	r->session = malloc(sizeof(*r->session));
	r->session_started = malloc(sizeof(*r->session_started));
	if (r->session_started)
		r->body_case = AFFIANT__V1__RECORD__BODY_SESSION_STARTED;
	if (r->agent)
		affiant__v1__agent__init(r->agent);
	if (r->session)
		affiant__v1__session__init(r->session);
	if (r->session_started)
		affiant__v1__session_started__init(r->session_started);
	if (!r->agent || !r->session || !r->session_started)
		goto fail;

	r->agent->name = strdup(agent);
	if (asprintf(&r->agent->spiffe_id, "spiffe://%s/agent/%s", a->config.trust_domain, agent) < 0)
		r->agent->spiffe_id = NULL;
	r->session->id.data = malloc(UUID_SIZE);
	if (!r->agent->name || !r->agent->spiffe_id || !r->session->id.data)
		goto fail;
	memcpy(r->session->id.data, id->bytes, UUID_SIZE);
	r->session->id.len = UUID_SIZE;
	r->session->has_id = true;
	return r;
fail:
	affiant__v1__record__free_unpacked(r, NULL);
	return NULL;
}

/* A session that begins with this event: derived from it, so that a replay makes the same one. */
static struct session *session_from_event(struct attribute *a, const struct event_header *h, uint32_t selector)
{
	struct attribute_selector by = { .agent = "unknown" };
	uint64_t source = event_source(h);
	bool known = false;
	struct session *s;
	struct uuid id;
	struct {
		uint8_t boot_id[16];
		uint64_t source, key;
	} seed = { .source = source, .key = h->actor.session };

	memcpy(seed.boot_id, a->config.boot_id, sizeof(seed.boot_id));
	if (uuid7_derive(h->boottime_ns + a->config.clock->offset_ns, &seed, sizeof(seed), &id) < 0)
		return NULL;
	if (h->actor.flags & TAG_SELECTED && a->config.selector)
		known = a->config.selector(a->config.data, selector, &by);

	s = session_new(&a->table, h->actor.session);
	if (!s)
		return NULL;
	s->head = make_head(a, &id, by.agent);
	if (!s->head)
		goto fail;
	SET(s->head->session, isolation,
	    by.own_user ? AFFIANT__V1__ISOLATION__ISOLATION_UID : AFFIANT__V1__ISOLATION__ISOLATION_NONE);
	if (known) {
		SET(s->head->session_started, origin, AFFIANT__V1__SESSION_ORIGIN__ORIGIN_SELECTOR);
		s->head->session_started->selector = strdup(by.words);
	}
	if (h->type != EVENT_EXEC)
		SET(s->head->session_started, late, true);
	s->id = id;
	s->source = source;
	s->started_ns = h->boottime_ns;
	if (!session_pack(s))
		return s;
fail:
	HASH_DEL(a->table.sessions, s);
	session_unref(s);
	return NULL;
}

static struct session *session_of(struct attribute *a, const struct event_header *h, uint32_t selector)
{
	return session_find(&a->table, h->actor.session) ?: session_from_event(a, h, selector);
}

static int note_session(struct attribute *a, const struct event_header *h)
{
	Affiant__V1__StateSession *m;
	struct session *s;

	m = affiant__v1__state_session__unpack(NULL, h->size - sizeof(*h) - h->tid, (const uint8_t *)(h + 1));
	if (!m)
		return 0;
	if (!m->head || !m->head->session || m->head->session->id.len != UUID_SIZE ||
	    session_find(&a->table, m->key)) {
		affiant__v1__state_session__free_unpacked(m, NULL);
		return 0;
	}
	s = session_new(&a->table, m->key);
	if (s) {
		s->head = m->head;
		m->head = NULL;
		memcpy(s->id.bytes, s->head->session->id.data, UUID_SIZE);
		s->source = event_source(h);
		s->started_ns = h->boottime_ns;
	}
	affiant__v1__state_session__free_unpacked(m, NULL);
	return s ? session_pack(s) : -ENOMEM;
}

static void note_end(struct attribute *a, const struct event_header *h)
{
	Affiant__V1__NoteEnd *m;
	struct session *s;

	m = affiant__v1__note_end__unpack(NULL, h->size - sizeof(*h) - h->tid, (const uint8_t *)(h + 1));
	if (!m)
		return;
	s = session_find(&a->table, m->key);
	affiant__v1__note_end__free_unpacked(m, NULL);
	if (!s || s->ending)
		return;
	if (s->told) {
		s->ending = true;
		tell_session_ended(a, s, event_source(h), h->boottime_ns, NULL,
				   AFFIANT__V1__SESSION_END_REASON__END_REQUESTED);
	}
	if (!s->live)
		session_end(&a->table, s, h->boottime_ns + a->config.clock->offset_ns);
}

/* ---- processes ---- */

/* The first process of its session, and the first that is heard of it. */
static void begin(struct attribute *a, struct actor *actor, uint64_t boottime_ns)
{
	struct session *s = actor->session;

	if (s->told)
		return;
	s->has_first = true;
	s->first = actor->key;
	if (a->config.began)
		a->config.began(a->config.data, s, actor->key.tgid);
	tell_session_started(a, s, actor, boottime_ns);
}

static void set_identity(struct actor *actor, const struct event_header *h, uint32_t parent_tgid,
			 uint64_t parent_start)
{
	actor->key = (struct process_key){ .start = h->actor.start_boottime,
					   .tgid = h->actor.tgid,
					   .exec_seq = h->actor.exec_seq };
	actor->parent = (struct process_key){ .start = parent_start, .tgid = parent_tgid };
}

/* Who the parent was when it forked @p; else, after a re-parenting, what it is by now. */
static void set_parent(struct attribute *a, struct actor *actor, const struct process *p)
{
	const struct process_key *before = p ? &p->actor->parent : NULL;
	struct process *parent;

	if (before && before->tgid == actor->parent.tgid && before->start == actor->parent.start) {
		actor->parent = *before;
		return;
	}
	parent = process_find(&a->table, actor->parent.tgid, actor->parent.start);
	if (parent)
		actor->parent.exec_seq = parent->actor->key.exec_seq;
}

/* Enters a process of which only @h is known. @image is taken over. */
static struct process *enter(struct attribute *a, const struct event_header *h, struct session *s,
			     struct image *image, struct process *parent)
{
	struct actor *actor = image ? actor_new(&a->table, s, image) : NULL;

	image_unref(image);
	if (!actor)
		return NULL;
	set_identity(actor, h, parent ? parent->key.tgid : 0, parent ? parent->key.start : 0);
	if (parent) {
		if (!parent->offspring)
			parent->offspring = lineage_new(parent->actor);
		if (parent->offspring)
			actor->lineage = lineage_ref(parent->offspring);
		actor->parent.exec_seq = parent->actor->key.exec_seq;
	}
	return process_new(&a->table, actor);
}

struct actor *attribute_actor(struct attribute *a, const struct event_header *h)
{
	struct process *p = process_find(&a->table, h->actor.tgid, h->actor.start_boottime);
	struct session *s;

	if (!p) {
		s = session_of(a, h, 0);
		p = s ? enter(a, h, s, image_unknown(&a->table), NULL) : NULL;
		if (p)
			begin(a, p->actor, h->boottime_ns);
	} else if ((int32_t)(h->actor.exec_seq - p->actor->key.exec_seq) > 0) {
		/* It is something else by now, and the exec that made it so was lost. */
		struct image *unknown = image_unknown(&a->table);
		struct actor *actor = unknown ? actor_new(&a->table, p->actor->session, unknown) : NULL;

		image_unref(unknown);
		if (!actor)
			return p->actor;
		set_identity(actor, h, p->actor->parent.tgid, p->actor->parent.start);
		set_parent(a, actor, p);
		actor->lineage = p->actor->lineage ? lineage_ref(p->actor->lineage) : NULL;
		process_set_actor(p, actor);
	}
	return p ? p->actor : NULL;
}

void attribute_image_ready(struct attribute *a, struct image *i)
{
	if (!i->draft)
		return;
	if (i->deadline_ns)
		DL_DELETE(a->table.drafts, i);
	if (image_finish(i) < 0)
		i->packed_len = 0;
	tell_held(a, i);
	if (i->deadline_ns) {
		i->deadline_ns = 0;
		image_unref(i);
	}
}

/* Asks for the image's digests; what is not there at once is awaited. */
static void complete(struct attribute *a, const struct event_exec *e, struct image *i, struct session *s)
{
	if (a->config.enrich && a->config.hashes && !a->config.hashes(a->config.data, s))
		enrich_disabled(a->config.enrich, e, i);
	else if (a->config.enrich)
		enrich_image(a->config.enrich, e, i, s->key);
	if (!i->draft)
		return;
	if (!i->awaited || !a->config.enrich) {
		attribute_image_ready(a, i);
		return;
	}
	i->deadline_ns = a->now_ns + a->config.digest_wait_ns;
	DL_APPEND(a->table.drafts, image_ref(i));
}

static struct image *image_of(struct attribute *a, const struct event_exec *e)
{
	static const struct image_context none = { .argv_max = 0 };

	return image_from_exec(&a->table, e, a->config.enrich ? enrich_image_context(a->config.enrich) : &none);
}

static int on_fork(struct attribute *a, const struct event_fork *e)
{
	struct process *parent = process_find(&a->table, e->parent_tgid, e->parent_start);
	struct session *s;

	if (process_find(&a->table, e->header.actor.tgid, e->header.actor.start_boottime))
		return 0;
	s = parent ? parent->actor->session : session_of(a, &e->header, 0);
	if (!s || !enter(a, &e->header, s,
			 parent ? image_ref(parent->actor->image) : image_unknown(&a->table), parent))
		return -ENOMEM;
	return 0;
}

static void tell_exec(struct attribute *a, const struct event_exec *e, struct actor *actor)
{
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__Exec body = AFFIANT__V1__EXEC__INIT;
	struct exec_strings x;

	exec_strings(e, &x);
	if (x.filename_len)
		SET(&body, filename, pb_bytes(x.filename, x.filename_len));
	if (x.interp_len)
		SET(&body, interpreter, pb_bytes(x.interp, x.interp_len));
	r.body_case = AFFIANT__V1__RECORD__BODY_EXEC;
	r.exec = &body;
	(void)tell(a, event_source(&e->header), PART_MAIN, e->header.boottime_ns, &r, actor, NULL);
}

/* A process becomes another image: the same process, a new actor. */
static int on_exec(struct attribute *a, const struct event_exec *e)
{
	struct process *p = process_find(&a->table, e->header.actor.tgid, e->header.actor.start_boottime);
	struct session *s = p ? p->actor->session : session_of(a, &e->header, e->selector);
	struct image *i = s ? image_of(a, e) : NULL;
	struct actor *actor;

	if (!i)
		return -ENOMEM;
	if (a->config.entered)
		a->config.entered(a->config.data, e);
	if (p) {
		actor = actor_new(&a->table, s, i);
		if (!actor) {
			image_unref(i);
			return -ENOMEM;
		}
		set_identity(actor, &e->header, e->parent_tgid, e->parent_start);
		set_parent(a, actor, p);
		actor->lineage = p->actor->lineage ? lineage_ref(p->actor->lineage) : NULL;
		process_set_actor(p, actor);
	} else {
		p = enter(a, &e->header, s, image_ref(i), NULL);
		if (!p) {
			image_unref(i);
			return -ENOMEM;
		}
		p->actor->parent = (struct process_key){ e->parent_start, e->parent_tgid, 0 };
	}
	begin(a, p->actor, e->header.boottime_ns);
	s->execs++;
	tell_exec(a, e, p->actor);
	complete(a, e, i, s);
	image_unref(i);
	return 0;
}

/* An existing process was tagged. */
static int on_adopt(struct attribute *a, const struct event_exec *e)
{
	struct process *parent = process_find(&a->table, e->parent_tgid, e->parent_start), *p;
	struct session *s;
	struct image *i;

	if (process_find(&a->table, e->header.actor.tgid, e->header.actor.start_boottime))
		return 0;
	s = session_of(a, &e->header, e->selector);
	i = s ? image_of(a, e) : NULL;
	if (!i)
		return -ENOMEM;
	if (a->config.entered)
		a->config.entered(a->config.data, e);
	p = enter(a, &e->header, s, image_ref(i), parent && parent->actor->session == s ? parent : NULL);
	if (p) {
		p->actor->parent.tgid = e->parent_tgid;
		p->actor->parent.start = e->parent_start;
		begin(a, p->actor, e->header.boottime_ns);
		complete(a, e, i, s);
	}
	image_unref(i);
	return p ? 0 : -ENOMEM;
}

/* @status NULL: it can't be known any more. */
static void leave(struct attribute *a, struct process *p, const struct event_header *h, const int32_t *status)
{
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__Exit body = AFFIANT__V1__EXIT__INIT;
	struct session *s = session_ref(p->actor->session);
	struct actor *actor = actor_ref(p->actor);

	if (status)
		SET(&body, status, *status);
	if (status && h->boottime_ns > p->key.start)
		SET(&body, lifetime_ns, h->boottime_ns - p->key.start);
	if (status && s->has_first && s->first.tgid == p->key.tgid && s->first.start == p->key.start)
		s->status = *status;
	r.body_case = AFFIANT__V1__RECORD__BODY_EXIT;
	r.exit = &body;
	(void)tell(a, event_source(h), PART_MAIN, h->boottime_ns, &r, actor, NULL);

	process_remove(&a->table, p);
	if (!s->live) {
		if (!s->ending)
			tell_session_ended(a, s, event_source(h), h->boottime_ns, actor,
					   AFFIANT__V1__SESSION_END_REASON__END_LAST_EXIT);
		session_end(&a->table, s, h->boottime_ns + a->config.clock->offset_ns);
	}
	actor_unref(actor);
	session_unref(s);
}

static int on_exit_event(struct attribute *a, const struct event_exit *e)
{
	struct actor *actor = attribute_actor(a, &e->header);
	struct process *p = process_find(&a->table, e->header.actor.tgid, e->header.actor.start_boottime);

	if (!actor || !p)
		return -ENOMEM;
	leave(a, p, &e->header, &e->status);
	return 0;
}

static void note_gone(struct attribute *a, const struct event_header *h)
{
	Affiant__V1__NoteGone *m;
	struct process *p;

	m = affiant__v1__note_gone__unpack(NULL, h->size - sizeof(*h) - h->tid, (const uint8_t *)(h + 1));
	if (!m)
		return;
	p = process_find(&a->table, m->tgid, m->start_boottime_ns);
	affiant__v1__note_gone__free_unpacked(m, NULL);
	if (p)
		leave(a, p, h, NULL);
}

/* ---- events ---- */

static int on_note(struct attribute *a, const struct event_header *h)
{
	/* The payload's padding is told in tid: protobuf does not end by itself. */
	if (h->tid > 7 || h->size < sizeof(*h) + h->tid)
		return 0;
	switch (h->type) {
	case NOTE_SESSION:
		return note_session(a, h);
	case NOTE_END:
		note_end(a, h);
		return 0;
	case NOTE_GONE:
		note_gone(a, h);
		return 0;
	case NOTE_LOST:
		loss_told(a, h);
		return 0;
	}
	return 0;
}

int attribute_event(struct attribute *a, const struct event_header *h)
{
	if (event_is_note(h))
		return on_note(a, h);
	if (seen_mark(&a->seen, h->cpu, h->sequence, h->boottime_ns) == 0) {
		a->counts.doubles++;
		return 0;
	}
	a->counts.events[h->type]++;

	switch (h->type) {
	case EVENT_FORK:
		return on_fork(a, (const struct event_fork *)h);
	case EVENT_EXEC:
		return on_exec(a, (const struct event_exec *)h);
	case EVENT_EXIT:
		return on_exit_event(a, (const struct event_exit *)h);
	case EVENT_ADOPT:
		return on_adopt(a, (const struct event_exec *)h);
	case EVENT_CONNECT:
	case EVENT_UNIX:
		return flow_connect(a, h);
	case EVENT_OUTCOME:
		return flow_outcome(a, (const struct event_outcome *)h);
	case EVENT_CLOSE:
		return flow_close(a, (const struct event_close *)h);
	case EVENT_UNTRACKED:
		return flow_untracked(a, (const struct event_untracked *)h);
	case EVENT_TAG_LOST:
		if (a->config.untagged)
			a->config.untagged(a->config.data, (const struct event_fork *)h);
		return 0;
	}
	return 0;
}

uint64_t attribute_tick(struct attribute *a, uint64_t now_ns)
{
	struct table *t = &a->table;

	a->now_ns = now_ns;
	while (t->drafts && t->drafts->deadline_ns <= now_ns)
		attribute_image_ready(a, t->drafts);
	while (t->awaiting && t->awaiting->deadline_ns <= now_ns)
		flow_overdue(a, t->awaiting);

	if (t->drafts && t->awaiting)
		return t->drafts->deadline_ns < t->awaiting->deadline_ns ? t->drafts->deadline_ns :
									   t->awaiting->deadline_ns;
	if (t->drafts)
		return t->drafts->deadline_ns;
	return t->awaiting ? t->awaiting->deadline_ns : UINT64_MAX;
}

void attribute_finish(struct attribute *a, bool reboot)
{
	struct session *s, *next;

	attribute_tick(a, UINT64_MAX);
	if (!reboot)
		return;
	HASH_ITER (hh, a->table.sessions, s, next) {
		if (s->told && !s->ending)
			tell_session_ended(a, s, s->source, a->now_ns == UINT64_MAX ? s->started_ns : a->now_ns,
					   NULL, AFFIANT__V1__SESSION_END_REASON__END_REBOOT);
	}
}
