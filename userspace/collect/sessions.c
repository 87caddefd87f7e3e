/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pb.h"
#include "collect/attribute.h"
#include "collect/decode.h"
#include "collect/hold.h"
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
	if (hold_find(a, s->key))
		SET(s->head->session_started, joined, true);
	s->has_user = h->type == EVENT_EXEC || h->type == EVENT_ADOPT;
	s->user = s->has_user ? ((const struct event_exec *)h)->uid : 0;
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
		session_drop(&a->table, s);
		session_unref(s);
		return NULL;
	}
	return s;
}

/*
 * The kernel's keys are given once, but for a cgroup's: what was matched or started since belongs
 * to another session.
 */
static bool was_member(const struct session *s, const struct event_header *h)
{
	if (!(h->actor.flags & TAG_SELECTED))
		return true;
	if (h->type == EVENT_EXEC && ((const struct event_exec *)h)->flags & EXEC_SELECTED)
		return false;
	return h->actor.start_boottime <= s->vacancy.boottime_ns;
}

/* It has ended, as was thought: who acts was in it all the while. */
static struct session *session_again(struct attribute *a, const struct event_header *h)
{
	struct session *s = session_find_any(&a->table, h->actor.session);

	if (!s || !was_member(s, h))
		return NULL;
	session_revive(&a->table, s);
	s->ending = s->told; /* an end is told once */
	power_missed(s);
	return s;
}

/*
 * One that a selector takes anew, while nobody is known in the session of that key: that one is
 * over, though no note says so yet.
 */
static struct session *session_living(struct attribute *a, const struct event_header *h)
{
	struct session *s = session_find(&a->table, h->actor.session);

	if (!s || !s->vacancy.is || hold_find(a, s->key) || h->type != EVENT_EXEC ||
	    !(((const struct event_exec *)h)->flags & EXEC_SELECTED))
		return s;
	session_finish(a, s, h, NULL, AFFIANT__V1__SESSION_END_REASON__END_LAST_EXIT);
	return NULL;
}

struct session *session_of(struct attribute *a, const struct event_header *h,
			   const uint32_t *selector)
{
	const uint32_t of_header = h->selector - 1;

	if (!selector && h->selector)
		selector = &of_header;
	return session_living(a, h)
		       ?: session_again(a, h)
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

void session_tell_end(struct attribute *a, struct session *s, uint64_t source,
		      uint64_t boottime_ns, struct actor *last,
		      Affiant__V1__SessionEndReason reason)
{
	const struct vacancy *v = &s->vacancy;
	bool goes_on = reason == AFFIANT__V1__SESSION_END_REASON__END_REQUESTED &&
		       hold_find(a, s->key);

	if (!s->told || s->ending)
		return;
	/* One that others may join yet was not ended by its last exit. */
	if (v->is && !goes_on)
		tell_session_ended(a, s, v->source, v->boottime_ns, v->last,
				   AFFIANT__V1__SESSION_END_REASON__END_LAST_EXIT);
	else
		tell_session_ended(a, s, source, boottime_ns, last, reason);
}

void session_finish(struct attribute *a, struct session *s, const struct event_header *h,
		    struct actor *last, Affiant__V1__SessionEndReason reason)
{
	uint64_t ended_ns = s->vacancy.is ? s->vacancy.boottime_ns : h->boottime_ns;

	session_tell_end(a, s, event_source(h), h->boottime_ns, last, reason);
	s->vacancy.boottime_ns = ended_ns;
	power_ended(a, s, h->boottime_ns);
	fold_end(a, s, h->boottime_ns);
	session_end(&a->table, s, ended_ns + a->clock.offset_ns);
}

void session_left(struct attribute *a, struct session *s, const struct event_header *h,
		  struct actor *last)
{
	if (s->live)
		return;
	if (a->config.ends_by_note)
		session_vacate(&a->table, s, event_source(h), h->boottime_ns, last);
	else if (s->ending || !hold_find(a, s->key))
		session_finish(a, s, h, last, AFFIANT__V1__SESSION_END_REASON__END_LAST_EXIT);
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
	if (!s->live && !a->config.ends_by_note) {
		session_finish(a, s, h, NULL, AFFIANT__V1__SESSION_END_REASON__END_REQUESTED);
		return;
	}
	session_tell_end(a, s, event_source(h), h->boottime_ns, NULL,
			 AFFIANT__V1__SESSION_END_REASON__END_REQUESTED);
	/* What never began can't have ended: who is met in it yet begins it. */
	s->ending = s->told;
	if (!s->live && !s->vacancy.is)
		session_left(a, s, h, NULL);
}

void session_over_noted(struct attribute *a, const struct event_header *h, const uint8_t *note,
			size_t len)
{
	Affiant__V1__NoteEnd *m = affiant__v1__note_end__unpack(NULL, len, note);
	struct session *s = m ? session_find(&a->table, m->key) : NULL;

	if (s && s->vacancy.is)
		session_finish(a, s, h, NULL, AFFIANT__V1__SESSION_END_REASON__END_LAST_EXIT);
	if (m)
		affiant__v1__note_end__free_unpacked(m, NULL);
}
