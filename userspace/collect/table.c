/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/table.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "collect/fold.h"

/* The key is (start, tgid): what comes first in struct process_key. */
#define KEY_SIZE offsetof(struct process_key, exec_seq)

struct path *path_get(struct table *t, const char *text, size_t len)
{
	struct path *p;

	HASH_FIND(hh, t->paths, text, len, p);
	if (p) {
		p->refs++;
		return p;
	}
	p = malloc(sizeof(*p) + len + 1);
	if (!p)
		return NULL;
	p->all = &t->paths;
	p->refs = 1;
	p->len = len;
	memcpy(p->text, text, len);
	p->text[len] = '\0';
	HASH_ADD_KEYPTR(hh, t->paths, p->text, len, p);
	return p;
}

static void path_unref(struct path *p)
{
	if (!p || --p->refs)
		return;
	if (p->all)
		HASH_DEL(*p->all, p);
	free(p);
}

struct session *session_new(struct table *t, uint64_t key)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->key = key;
	s->refs = 1;
	HASH_ADD(hh, t->sessions, key, sizeof(s->key), s);
	return s;
}

struct session *session_ref(struct session *s)
{
	s->refs++;
	return s;
}

void session_unref(struct session *s)
{
	if (!s || --s->refs)
		return;
	if (s->head)
		affiant__v1__record__free_unpacked(s->head, NULL);
	free(s->packed);
	programs_clear(&s->programs);
	fold_free(s->fold);
	free(s);
}

struct session *session_find(struct table *t, uint64_t key)
{
	struct session *s;

	HASH_FIND(hh, t->sessions, &key, sizeof(key), s);
	return s;
}

struct session *session_find_any(struct table *t, uint64_t key)
{
	const unsigned int slots = sizeof(t->ended) / sizeof(t->ended[0]);
	struct session *s = session_find(t, key);

	for (unsigned int i = 1; !s && i <= slots; i++) {
		struct session *ended = t->ended[(t->ended_next - i) % slots];

		if (ended && ended->key == key)
			s = ended;
	}
	return s;
}

struct session *session_find_id(struct table *t, const uint8_t id[static UUID_SIZE])
{
	struct session *s, *next;

	HASH_ITER (hh, t->sessions, s, next)
		if (!memcmp(s->id.bytes, id, UUID_SIZE))
			return s;
	return NULL;
}

void session_remember(struct table *t, struct session *s)
{
	struct session **slot =
		&t->ended[t->ended_next++ % (sizeof(t->ended) / sizeof(t->ended[0]))];

	session_unref(*slot);
	*slot = s;
}

/* Somebody is known in it again, or it is over. */
static void session_occupy(struct table *t, struct session *s)
{
	actor_unref(s->vacancy.last);
	s->vacancy.last = NULL;
	t->vacant -= s->vacancy.is;
	s->vacancy.is = false;
	s->alone_ns = 0;
}

void session_vacate(struct table *t, struct session *s, uint64_t source, uint64_t boottime_ns,
		    struct actor *last)
{
	session_occupy(t, s);
	t->vacant++;
	s->vacancy = (struct vacancy){
		.is = true,
		.source = source,
		.boottime_ns = boottime_ns,
		.last = last ? actor_ref(last) : NULL,
	};
}

void session_revive(struct table *t, struct session *s)
{
	for (size_t i = 0; i < sizeof(t->ended) / sizeof(t->ended[0]); i++)
		if (t->ended[i] == s)
			t->ended[i] = NULL;
	s->ended_wall_ns = 0;
	HASH_ADD(hh, t->sessions, key, sizeof(s->key), s);
}

static void walk_past(struct session **at, const struct session *s)
{
	if (*at == s)
		*at = s->hh.next;
}

void session_drop(struct table *t, struct session *s)
{
	walk_past(&t->walks.unbegun, s);
	walk_past(&t->walks.vacant, s);
	walk_past(&t->walks.untagged, s);
	HASH_DEL(t->sessions, s);
}

void session_end(struct table *t, struct session *s, uint64_t wall_ns)
{
	session_occupy(t, s);
	session_drop(t, s);
	s->ended_wall_ns = wall_ns;
	session_remember(t, s);
}

int session_add_programs(struct session *s, const struct image *i)
{
	Affiant__V1__Process *p;
	int err;

	if (!i->packed)
		return 0;
	p = affiant__v1__process__unpack(NULL, i->packed_len, i->packed);
	if (!p) /* or no memory, of which there is little use in going on either */
		return -EBADMSG;
	err = programs_add_process(&s->programs, p);
	affiant__v1__process__free_unpacked(p, NULL);
	return err;
}

int session_pack(struct session *s)
{
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	uint8_t *packed;

	r.agent = s->head->agent;
	r.session = s->head->session;
	r.task = s->head->task;
	r.principal = s->head->principal;
	packed = malloc(affiant__v1__record__get_packed_size(&r) + 1);
	if (!packed)
		return -ENOMEM;
	free(s->packed);
	s->packed = packed;
	s->packed_len = affiant__v1__record__pack(&r, s->packed);
	return 0;
}

struct image *image_new(struct table *t)
{
	struct image *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->refs = 1;
	i->number = ++t->images;
	return i;
}

struct image *image_ref(struct image *i)
{
	i->refs++;
	return i;
}

void image_unref(struct image *i)
{
	if (!i || --i->refs)
		return;
	if (i->draft)
		affiant__v1__process__free_unpacked(i->draft, NULL);
	free(i->packed);
	session_unref(i->session);
	path_unref(i->exe);
	free(i);
}

struct lineage *lineage_ref(struct lineage *l)
{
	l->refs++;
	return l;
}

void lineage_unref(struct lineage *l)
{
	if (!l || --l->refs)
		return;
	for (unsigned int i = 0; i < l->count; i++)
		image_unref(l->up[i].image);
	free(l);
}

struct lineage *lineage_unknown(void)
{
	struct lineage *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->refs = 1;
	l->cut = true;
	return l;
}

struct lineage *lineage_new(const struct actor *parent)
{
	const struct lineage *up = parent->lineage;
	struct lineage *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->refs = 1;
	l->up[0].key = parent->key;
	l->up[0].image = image_ref(parent->image);
	l->count = 1;
	for (unsigned int i = 0; up && i < up->count && l->count < LINEAGE_MAX; i++, l->count++) {
		l->up[l->count].key = up->up[i].key;
		l->up[l->count].image = up->up[i].image ? image_ref(up->up[i].image) : NULL;
	}
	l->cut = up && (up->cut || up->count == LINEAGE_MAX);
	return l;
}

struct actor *actor_new(struct table *t, struct session *s, struct image *i)
{
	struct actor *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->refs = 1;
	a->number = ++t->actors;
	a->session = session_ref(s);
	a->image = image_ref(i);
	return a;
}

struct actor *actor_ref(struct actor *a)
{
	a->refs++;
	return a;
}

void actor_unref(struct actor *a)
{
	if (!a || --a->refs)
		return;
	session_unref(a->session);
	image_unref(a->image);
	lineage_unref(a->lineage);
	free(a);
}

struct process *process_find(struct table *t, uint32_t tgid, uint64_t start)
{
	struct process_key key = {.tgid = tgid, .start = start};
	struct process *p;

	HASH_FIND(hh, t->processes, &key, KEY_SIZE, p);
	return p;
}

struct process *process_new(struct table *t, struct actor *a)
{
	struct process *p = calloc(1, sizeof(*p));

	if (!p) {
		actor_unref(a);
		return NULL;
	}
	p->key = a->key;
	p->key.exec_seq = 0;
	p->actor = a;
	session_occupy(t, a->session);
	a->session->live++;
	a->session->processes++;
	HASH_ADD(hh, t->processes, key, KEY_SIZE, p);
	return p;
}

void process_set_actor(struct process *p, struct actor *a)
{
	lineage_unref(p->offspring);
	p->offspring = NULL;
	actor_unref(p->actor);
	p->actor = a;
}

void process_set_untagged(struct table *t, struct process *p, bool untagged)
{
	t->untagged += untagged;
	t->untagged -= p->untagged;
	p->untagged = untagged;
}

void process_remove(struct table *t, struct process *p)
{
	process_set_untagged(t, p, false);
	if (t->walks.processes == p)
		t->walks.processes = p->hh.next;
	HASH_DEL(t->processes, p);
	p->actor->session->live--;
	lineage_unref(p->offspring);
	actor_unref(p->actor);
	free(p);
}

struct connection *connection_find(struct table *t, uint64_t number)
{
	struct connection *c;

	HASH_FIND(hh, t->connections, &number, sizeof(number), c);
	return c;
}

bool attempt_is_datagram(const struct event_connect *attempt)
{
	return attempt->protocol != IPPROTO_TCP;
}

struct connection *socket_find(struct table *t, uint64_t cookie)
{
	struct connection *c;

	HASH_FIND(by_cookie, t->sockets, &cookie, sizeof(cookie), c);
	return c;
}

static void socket_join(struct table *t, struct connection *c)
{
	struct connection *first = socket_find(t, c->cookie);

	if (!c->cookie)
		return;
	if (!first)
		HASH_ADD(by_cookie, t->sockets, cookie, sizeof(c->cookie), c);
	else if (first->latest)
		connection_remove(t, first->latest); /* it is connected to that one no more */
	if (first)
		first->latest = c;
}

static void socket_leave(struct table *t, struct connection *c)
{
	struct connection *first = socket_find(t, c->cookie);

	if (first == c) {
		HASH_DELETE(by_cookie, t->sockets, c);
		if (c->latest)
			HASH_ADD(by_cookie, t->sockets, cookie, sizeof(c->cookie), c->latest);
	} else if (first && first->latest == c) {
		first->latest = NULL;
	}
}

struct connection *connection_new(struct table *t, const struct event_connect *attempt,
				  struct actor *a, struct session *opener)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->attempt = *attempt;
	c->attempt.header.size =
		sizeof(c->attempt); /* what a later kernel program adds is not kept */
	c->number = attempt->connection;
	c->cookie = attempt->cookie;
	c->actor = actor_ref(a);
	c->opener = opener ? session_ref(opener) : NULL;
	HASH_ADD(hh, t->connections, number, sizeof(c->number), c);
	if (attempt_is_datagram(attempt))
		socket_join(t, c);
	return c;
}

void connection_await(struct table *t, struct connection *c)
{
	if (attempt_is_datagram(&c->attempt))
		DL_APPEND(t->awaiting_datagrams, c);
	else
		DL_APPEND(t->awaiting, c);
}

void connection_settle(struct table *t, struct connection *c)
{
	if (c->waiting && attempt_is_datagram(&c->attempt))
		DL_DELETE(t->awaiting_datagrams, c);
	else if (c->waiting)
		DL_DELETE(t->awaiting, c);
	c->waiting = false;
}

void connection_remove(struct table *t, struct connection *c)
{
	connection_settle(t, c);
	if (attempt_is_datagram(&c->attempt))
		socket_leave(t, c);
	if (t->walks.connections == c)
		t->walks.connections = c->hh.next;
	HASH_DEL(t->connections, c);
	session_unref(c->opener);
	actor_unref(c->actor);
	free(c);
}

void socket_remove(struct table *t, struct connection *first)
{
	if (first->latest)
		connection_remove(t, first->latest);
	connection_remove(t, first);
}

void table_clear(struct table *t)
{
	struct connection *c, *next_c;
	struct process *p, *next_p;
	struct session *s, *next_s;
	struct image *i, *next_i;
	struct held *h, *next_h;
	struct path *path, *next_path;

	HASH_ITER (hh, t->connections, c, next_c)
		connection_remove(t, c);
	HASH_ITER (hh, t->processes, p, next_p)
		process_remove(t, p);
	DL_FOREACH_SAFE (t->drafts, i, next_i) {
		DL_DELETE(t->drafts, i);
		DL_FOREACH_SAFE (i->held, h, next_h) {
			DL_DELETE(i->held, h);
			actor_unref(h->actor);
			free(h);
		}
		image_unref(i);
	}
	HASH_ITER (hh, t->sessions, s, next_s) {
		session_occupy(t, s);
		session_drop(t, s);
		session_unref(s);
	}
	for (size_t n = 0; n < sizeof(t->ended) / sizeof(t->ended[0]); n++)
		session_unref(t->ended[n]);
	/* Images whose digests are still awaited outlive the table. */
	HASH_ITER (hh, t->paths, path, next_path) {
		HASH_DEL(t->paths, path);
		path->all = NULL;
	}
	memset(t, 0, sizeof(*t));
}
