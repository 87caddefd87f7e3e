/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <utlist.h>

#include "base/effort.h"
#include "base/pb.h"
#include "collect/attribute.h"
#include "collect/decode.h"
#include "collect/flow_impl.h"
#include "collect/loss.h"
#include "collect/outcome.h"
#include "collect/unixpath.h"

/* What a record needs besides the body, on the stack of who tells. */
struct connect_parts {
	Affiant__V1__Record record;
	Affiant__V1__Connect body;
	Affiant__V1__ConnectionId id;
	Affiant__V1__Endpoint asked, reached, local;
	struct opener_parts opener;
	char resolved[UNIX_PATH_TEXT_SIZE];
};

static void set_id(Affiant__V1__ConnectionId *id, uint64_t cookie, uint64_t number)
{
	affiant__v1__connection_id__init(id);
	if (cookie)
		SET(id, cookie, cookie);
	SET(id, number, number);
}

static void set_unix(struct connect_parts *p, const struct event_unix *e)
{
	size_t len = unix_path_resolve(e, p->resolved);

	set_id(&p->id, e->cookie, e->connection);
	SET(&p->body, protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_UNIX);
	affiant__v1__endpoint__init(&p->reached);
	SET(&p->reached, path, pb_bytes(e->path, e->path_len));
	if (len)
		SET(&p->reached, resolved, pb_bytes(p->resolved, len));
	if (e->flags & CONNECT_SENDMSG)
		SET(&p->body, by_datagram, true);
	p->body.reached = &p->reached;
	SET(&p->body, uid, e->uid);
	SET(&p->body, gid, e->gid);
}

static void set_inet(struct connect_parts *p, const struct event_connect *e)
{
	set_id(&p->id, e->cookie, e->connection);
	SET(&p->body, protocol, protocol_of(e->reached.family, e->sock_type, e->protocol));
	if (e->flags & CONNECT_ASKED)
		p->body.asked = endpoint_of(&e->asked, &p->asked);
	p->body.reached = endpoint_of(&e->reached, &p->reached);
	p->body.local = endpoint_of(&e->local, &p->local);
	SET(&p->body, uid, e->uid);
	SET(&p->body, gid, e->gid);
	if (e->flags & CONNECT_MAPPED)
		SET(&p->body, v4_mapped, true);
	if (e->flags & CONNECT_FOREIGN)
		SET(&p->body, foreign, true);
	if (e->flags & CONNECT_SENDMSG)
		SET(&p->body, by_datagram, true);
	if (e->flags & CONNECT_SEND)
		SET(&p->body, by_send, true);
	if (e->flags & CONNECT_NO_STORAGE)
		SET(&p->body, outcome_untracked, true);
}

/*
 * Other programs ran behind ours, and the socket did not say where it went. What was seen after
 * them is sure: that it was established, or why it failed.
 */
static void set_unsure(Affiant__V1__Connect *m)
{
	SET(m, reached_unsure, true);
	if (m->outcome == AFFIANT__V1__OUTCOME__ATTEMPTED ||
	    m->outcome == AFFIANT__V1__OUTCOME__NOT_SENT ||
	    m->outcome == AFFIANT__V1__OUTCOME__DENIED)
		SET(m, outcome_unsure, true);
}

/* What is said of an attempt, and when. */
struct telling {
	const struct event_header *attempt; /* an event_connect or event_unix */
	struct actor *actor;
	const struct session *opener; /* NULL: unknown, or the actor itself opened the socket */
	enum part part;
	uint64_t boottime_ns;
	Affiant__V1__Outcome outcome;      /* OUTCOME_UNKNOWN: absent */
	const struct event_outcome *event; /* NULL, or what says more of it */
	bool completes_pending;
};

static int tell_connect(struct attribute *a, const struct telling *t)
{
	struct connect_parts p;
	Affiant__V1__Outcome outcome = t->outcome;
	uint16_t flags;
	int32_t error;

	affiant__v1__record__init(&p.record);
	affiant__v1__connect__init(&p.body);
	p.body.connection = &p.id;
	if (t->attempt->type == EVENT_UNIX) {
		const struct event_unix *e = (const struct event_unix *)t->attempt;

		set_unix(&p, e);
		flags = e->flags;
		p.body.opener = opener_of(t->actor, flags, &e->opener, t->opener, &p.opener);
	} else {
		const struct event_connect *e = (const struct event_connect *)t->attempt;

		set_inet(&p, e);
		flags = e->flags;
		p.body.opener = opener_of(t->actor, flags, &e->opener, t->opener, &p.opener);
	}

	if (t->event) {
		outcome = outcome_of(t->event, &error);
		if (endpoint_of(&t->event->local, &p.local))
			p.body.local = &p.local;
		/* 0 where its moment was missed. */
		if (t->event->latency_ns)
			SET(&p.body, latency_ns, t->event->latency_ns);
		if (error >= 0)
			SET(&p.body, errno_, error);
		if (t->event->flags & OUTCOME_REPAIR)
			SET(&p.body, repaired, true);
		if (t->event->flags & OUTCOME_UNSURE)
			SET(&p.body, outcome_unsure, true);
	}
	if (outcome != AFFIANT__V1__OUTCOME__OUTCOME_UNKNOWN)
		SET(&p.body, outcome, outcome);
	if (flags & CONNECT_BEHIND)
		set_unsure(&p.body);
	if (t->completes_pending)
		SET(&p.body, completes_pending, true);

	p.record.body_case = AFFIANT__V1__RECORD__BODY_CONNECT;
	p.record.connect = &p.body;
	/* Both parts have the attempt as their source: the ids can be made again after a crash. */
	return tell(a, event_source(t->attempt), t->part, t->boottime_ns, &p.record, t->actor,
		    NULL);
}

/*
 * @e NULL: that it was established is all that is known. @was: the attempt as it was counted, if it
 * is folded.
 */
static void tell_outcome(struct attribute *a, struct connection *c,
			 const struct event_connect *was, uint64_t boottime_ns,
			 const struct event_outcome *e)
{
	const struct telling t = {
		.attempt = &c->attempt.header,
		.actor = c->actor,
		.opener = c->opener,
		.part = PART_OUTCOME,
		.boottime_ns = boottime_ns,
		.outcome = AFFIANT__V1__OUTCOME__ESTABLISHED,
		.event = e,
		.completes_pending = c->told == TOLD_PENDING,
	};

	connection_settle(&a->table, c);
	if (!fold_outcome(a, c, was, boottime_ns, e))
		(void)tell_connect(a, &t);
	c->told = TOLD_OUTCOME;
}

/* What the first record of one that waited says: of a datagram's flow, all there is as a rule. */
static enum told told_of_main(const struct connection *c)
{
	return attempt_is_datagram(&c->attempt) ? TOLD_ATTEMPT : TOLD_PENDING;
}

/* No outcome came in time: a pending record, once; of a datagram socket, that it was connected. */
static void overdue(struct attribute *a, struct connection *c)
{
	const struct telling t = {
		.attempt = &c->attempt.header,
		.actor = c->actor,
		.opener = c->opener,
		.part = PART_MAIN,
		.boottime_ns = c->attempt.header.boottime_ns,
		.outcome = attempt_is_datagram(&c->attempt) ? AFFIANT__V1__OUTCOME__ATTEMPTED
							    : AFFIANT__V1__OUTCOME__PENDING,
	};

	connection_settle(&a->table, c);
	/*
	 * After a crash the ledger may know more than the journal, of which a power cut takes the
	 * end.
	 */
	if (told_before(a, event_source(t.attempt), PART_OUTCOME)) {
		c->told = TOLD_OUTCOME;
		return;
	}
	c->told = told_of_main(c);
	(void)tell_connect(a, &t);
}

void flow_due(struct attribute *a, uint64_t now_ns)
{
	struct table *t = &a->table;

	while (effort_goes_on() && t->awaiting && t->awaiting->deadline_ns <= now_ns) {
		effort_walk(1);
		overdue(a, t->awaiting);
	}
	while (effort_goes_on() && t->awaiting_datagrams &&
	       t->awaiting_datagrams->deadline_ns <= now_ns) {
		effort_walk(1);
		overdue(a, t->awaiting_datagrams);
	}
}

static void make_room(struct attribute *a)
{
	struct connection *oldest = a->table.connections;

	if (!oldest || HASH_COUNT(a->table.connections) < a->config.connections_max)
		return;
	if (oldest->waiting)
		overdue(a, oldest);
	a->dropped[LOSS_TABLE]++;
	connection_remove(&a->table, oldest);
}

/*
 * All that there will be to tell of a TCP or Unix attempt; of a datagram's flow, what is known at
 * once.
 */
static void tell_at_once(struct attribute *a, const struct event_header *h, uint16_t flags,
			 struct actor *actor, const struct session *opener)
{
	struct telling t = {
		.attempt = h,
		.actor = actor,
		.opener = opener,
		.part = PART_MAIN,
		.boottime_ns = h->boottime_ns,
		.outcome = AFFIANT__V1__OUTCOME__ATTEMPTED,
	};

	if (flags & CONNECT_DENIED) {
		t.part = PART_OUTCOME;
		t.outcome = AFFIANT__V1__OUTCOME__DENIED;
	} else if (h->type == EVENT_CONNECT &&
		   !attempt_is_datagram((const struct event_connect *)h)) {
		t.part = PART_OUTCOME;
		t.outcome = AFFIANT__V1__OUTCOME__OUTCOME_UNKNOWN;
	}
	(void)tell_connect(a, &t);
}

void flow_await(struct attribute *a, struct connection *c)
{
	bool datagram = attempt_is_datagram(&c->attempt);

	/* Said before a crash, which came before the outcome. */
	if (told_before(a, event_source(&c->attempt.header), PART_MAIN)) {
		c->told = told_of_main(c);
		return;
	}
	c->deadline_ns =
		a->now_ns + (datagram ? a->config.failure_wait_ns : a->config.outcome_wait_ns);
	c->waiting = true;
	connection_await(&a->table, c);
}

/*
 * A datagram's socket ends by the number of its first flow, and is refused by that of the one it is
 * connected to. A refused flow stands for the socket until another one is let pass.
 */
static bool datagram_matters(struct attribute *a, const struct event_connect *e)
{
	struct connection *first = e->cookie ? socket_find(&a->table, e->cookie) : NULL;
	bool connect = !(e->flags & (CONNECT_SENDMSG | CONNECT_SEND));

	if (e->flags & CONNECT_DENIED)
		return e->cookie && !connect && !first;
	if (first && first->attempt.flags & CONNECT_DENIED) {
		connection_remove(&a->table, first);
		return true;
	}
	/* The socket is connected to that one no more. */
	if (connect && first && first->latest && first->latest->waiting)
		overdue(a, first->latest);
	return connect || (e->cookie && !first);
}

/* Whether more may be heard of it. */
static bool flow_matters(struct attribute *a, const struct event_connect *e)
{
	if (e->flags & CONNECT_NO_STORAGE)
		return false;
	if (attempt_is_datagram(e))
		return datagram_matters(a, e);
	/* Who sends over a connection did not make it: its end is told to who did. */
	return !(e->flags & (CONNECT_DENIED | CONNECT_SEND));
}

static int flow_inet(struct attribute *a, const struct event_connect *e, struct actor *actor)
{
	struct session *opener = session_of_socket(a, actor, e->flags, &e->opener);
	bool denied = e->flags & CONNECT_DENIED;
	struct connection *c = NULL;

	if (flow_matters(a, e)) {
		/* A number that is there already is not the kernel's: it gives each once. */
		if (connection_find(&a->table, e->connection)) {
			a->dropped[LOSS_EVENT]++;
			return 0;
		}
		make_room(a);
		c = connection_new(&a->table, e, actor, opener);
		if (!c)
			return -ENOMEM;
	}
	actor->session->connections++;
	if (fold_connect(a, actor, opener, e, c)) {
		if (c && denied)
			c->told = TOLD_OUTCOME;
		return 0;
	}
	/* A datagram socket's connect can have failed: that is known soon, or when it matters. */
	if (c && !(e->flags & (CONNECT_SENDMSG | CONNECT_SEND))) {
		flow_await(a, c);
		return 0;
	}
	if (c)
		c->told = denied ? TOLD_OUTCOME : TOLD_ATTEMPT;
	tell_at_once(a, &e->header, e->flags, actor, opener);
	return 0;
}

int flow_connect(struct attribute *a, const struct event_connect *e)
{
	bool foreign = e->flags & CONNECT_FOREIGN;
	struct actor *actor = foreign ? attribute_foreign(a, e) : attribute_actor(a, &e->header);
	int err = actor ? flow_inet(a, e, actor) : -ENOMEM;

	if (foreign)
		actor_unref(actor);
	return err;
}

int flow_unix(struct attribute *a, const struct event_unix *e)
{
	struct actor *actor = attribute_actor(a, &e->header);
	struct session *opener;

	if (!actor)
		return -ENOMEM;
	actor->session->connections++;
	opener = session_of_socket(a, actor, e->flags, &e->opener);
	if (!fold_unix(a, actor, opener, e))
		tell_at_once(a, &e->header, e->flags, actor, opener);
	return 0;
}

static bool same_place(const struct event_address *a, const struct event_address *b)
{
	return a->family == b->family && a->port == b->port &&
	       !memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

/*
 * The socket says whom it talks to, whatever our hook saw: programs behind it may have rewritten
 * the address, and the kernel goes elsewhere for 0.0.0.0.
 */
static void set_reached(struct event_connect *attempt, const struct event_address *peer)
{
	if (!peer->family || !peer->port)
		return;
	attempt->flags &= ~CONNECT_BEHIND;
	if (same_place(&attempt->reached, peer)) {
		if (peer->scope_id)
			attempt->reached.scope_id = peer->scope_id;
		return;
	}
	if (!(attempt->flags & CONNECT_ASKED)) {
		attempt->asked = attempt->reached;
		attempt->flags |= CONNECT_ASKED;
	}
	attempt->reached = *peer;
}

int flow_outcome(struct attribute *a, const struct event_outcome *e)
{
	struct connection *c = connection_find(&a->table, e->connection);
	struct event_connect was;

	if (!c) {
		a->counts.orphans++;
		return 0;
	}
	if (c->told == TOLD_OUTCOME)
		return 0;
	was = c->attempt;
	/* Bound by now: its Close tells the same. */
	if (e->local.family)
		c->attempt.local = e->local;
	set_reached(&c->attempt, &e->peer);
	tell_outcome(a, c, &was, e->header.boottime_ns, e);
	if (!attempt_is_datagram(&c->attempt) && e->to != TCP_ESTABLISHED)
		connection_remove(&a->table, c);
	return 0;
}

static void tell_close(struct attribute *a, struct connection *c, const struct event_close *e)
{
	const struct event_connect *attempt = &c->attempt;
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__Close body = AFFIANT__V1__CLOSE__INIT;
	Affiant__V1__Endpoint remote, local;
	Affiant__V1__ConnectionId id;

	set_id(&id, c->cookie, c->number);
	body.connection = &id;
	SET(&body, protocol,
	    protocol_of(attempt->reached.family, attempt->sock_type, attempt->protocol));
	body.remote = endpoint_of(&attempt->reached, &remote);
	body.local = endpoint_of(&attempt->local, &local);
	if (attempt->flags & CONNECT_BEHIND)
		SET(&body, remote_unsure, true);
	if (e->flags & OUTCOME_REPAIR)
		SET(&body, repaired, true);
	SET(&body, duration_ns, e->duration_ns);
	if (!attempt_is_datagram(attempt) && close_is_counted(e)) {
		SET(&body, bytes_sent, e->bytes_sent);
		SET(&body, bytes_received, e->bytes_received);
		SET(&body, errno_, e->error);
		SET(&body, reset, was_reset(e));
	}
	if (e->excess)
		SET(&body, excess_datagrams, e->excess);
	r.body_case = AFFIANT__V1__RECORD__BODY_CLOSE;
	r.close = &body;
	(void)tell(a, event_source(&e->header), PART_MAIN, e->header.boottime_ns, &r, c->actor,
		   NULL);
}

/* Nothing more is to be known of its flows. */
static void settle_flows(struct attribute *a, struct connection *first)
{
	if (first && first->waiting)
		overdue(a, first);
	if (first && first->latest && first->latest->waiting)
		overdue(a, first->latest);
}

/* A datagram socket of which nothing was let pass has no end, but for what was counted. */
static bool close_is_told(const struct connection *c, const struct event_close *e)
{
	return c && (e->excess || !(c->attempt.flags & CONNECT_DENIED));
}

int flow_close(struct attribute *a, const struct event_close *e)
{
	struct connection *c = connection_find(&a->table, e->connection), *first, *told;

	if (!c)
		a->counts.orphans++;
	/* What can be closed had been established, though the event that said so was lost. */
	if (c && !attempt_is_datagram(&c->attempt) && c->told != TOLD_OUTCOME)
		tell_outcome(a, c, &c->attempt, e->header.boottime_ns, NULL);
	/* Of a socket whose first flow is not known any more, another one may be. */
	first = e->protocol == IPPROTO_TCP ? NULL : socket_find(&a->table, e->cookie);
	settle_flows(a, first ?: c);
	/* What was counted is told in any case. */
	told = close_is_told(c, e) ? c : !c && e->excess ? first : NULL;
	if (told && !fold_close(a, told, e))
		tell_close(a, told, e);
	if (first)
		socket_remove(&a->table, first);
	c = connection_find(&a->table, e->connection);
	if (c)
		connection_remove(&a->table, c);
	return 0;
}
