/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pb.h"
#include "collect/attribute.h"
#include "collect/decode.h"
#include "collect/power.h"

/*
 * The head of a session that no launcher named: by a selector, or of tags that outlived their
 * state.
 */
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
	if (asprintf(&r->agent->spiffe_id, "spiffe://%s/agent/%s", a->config.trust_domain, agent) <
	    0)
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

static int name_session(struct attribute *a, struct session *s, const struct event_header *h,
			const struct attribute_selector *by, const struct uuid *id)
{
	s->head = make_head(a, id, by->agent);
	if (!s->head)
		return -ENOMEM;
	SET(s->head->session, isolation,
	    by->own_user ? AFFIANT__V1__ISOLATION__ISOLATION_UID
			 : AFFIANT__V1__ISOLATION__ISOLATION_NONE);
	if (by->words) {
		SET(s->head->session_started, origin, AFFIANT__V1__SESSION_ORIGIN__ORIGIN_SELECTOR);
		s->head->session_started->selector = strdup(by->words);
	}
	if (h->type != EVENT_EXEC)
		SET(s->head->session_started, late, true);
	if (h->type == EVENT_ADOPT && ((const struct event_exec *)h)->flags & EXEC_BY_EXE)
		SET(s->head->session_started, selector_claimed, true);
	s->id = *id;
	s->source = event_source(h);
	s->started_ns = h->boottime_ns;
	return session_pack(s);
}

/* A session that begins with this event: derived from it, so that a replay makes the same one. */
static struct session *session_from_event(struct attribute *a, const struct event_header *h,
					  uint64_t key, const uint32_t *selector)
{
	struct attribute_selector by = {.agent = ATTRIBUTE_UNKNOWN_AGENT};
	struct session *s;
	struct uuid id;
	struct {
		uint8_t boot_id[16];
		uint64_t source, key;
	} seed = {.source = event_source(h), .key = key};

	memcpy(seed.boot_id, a->config.boot_id, sizeof(seed.boot_id));
	if (uuid7_derive(h->boottime_ns + a->clock.offset_ns, &seed, sizeof(seed), &id) < 0)
		return NULL;
	if (selector && h->actor.flags & TAG_SELECTED && a->config.selector)
		(void)a->config.selector(a->config.data, *selector, &by);

	s = session_new(&a->table, key);
	if (!s)
		return NULL;
	if (name_session(a, s, h, &by, &id) < 0) {
		HASH_DEL(a->table.sessions, s);
		session_unref(s);
		return NULL;
	}
	return s;
}

struct session *session_of(struct attribute *a, const struct event_header *h,
			   const uint32_t *selector)
{
	return session_find(&a->table, h->actor.session)
		       ?: session_from_event(a, h, h->actor.session, selector);
}

struct session *session_of_opener(struct attribute *a, const struct event_header *h, uint64_t key)
{
	return session_find_any(&a->table, key) ?: session_from_event(a, h, key, NULL);
}

void session_begin(struct attribute *a, struct actor *first, uint64_t boottime_ns)
{
	struct session *s = first->session;

	if (s->told)
		return;
	s->has_first = true;
	s->first = first->key;
	if (a->config.began)
		a->config.began(a->config.data, s, first->key.tgid);
	tell_session_started(a, s, first, boottime_ns);
}

void session_finish(struct attribute *a, struct session *s, const struct event_header *h,
		    struct actor *last, Affiant__V1__SessionEndReason reason)
{
	if (s->told && !s->ending)
	const uint32_t of_header = h->selector - 1;

	if (!selector && h->selector)
		selector = &of_header;
		tell_session_ended(a, s, event_source(h), h->boottime_ns, last, reason);
	power_ended(a, s, h->boottime_ns);
	fold_end(a, s, h->boottime_ns);
	session_end(&a->table, s, h->boottime_ns + a->clock.offset_ns);
}

/* ---- notes ---- */

bool session_head_valid(const Affiant__V1__Record *head)
{
	return head && head->session && head->session->has_id &&
	       head->session->id.len == UUID_SIZE && head->agent &&
	       head->body_case == AFFIANT__V1__RECORD__BODY_SESSION_STARTED &&
	       head->session_started;
}

int session_noted(struct attribute *a, const struct event_header *h, const uint8_t *note,
		  size_t len)
{
	Affiant__V1__StateSession *m = affiant__v1__state_session__unpack(NULL, len, note);
	struct session *s;

	if (!m)
		return 0;
	if (!session_head_valid(m->head) || session_find(&a->table, m->key)) {
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

void session_end_noted(struct attribute *a, const struct event_header *h, const uint8_t *note,
		       size_t len)
{
	Affiant__V1__NoteEnd *m = affiant__v1__note_end__unpack(NULL, len, note);
	struct session *s;

	if (!m)
		return;
	s = session_find(&a->table, m->key);
	affiant__v1__note_end__free_unpacked(m, NULL);
	if (!s || s->ending)
		return;
	if (!s->live) {
		session_finish(a, s, h, NULL, AFFIANT__V1__SESSION_END_REASON__END_REQUESTED);
		return;
	}
	tell_session_ended(a, s, event_source(h), h->boottime_ns, NULL,
			   AFFIANT__V1__SESSION_END_REASON__END_REQUESTED);
	s->ending = true;
}
