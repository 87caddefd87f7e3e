/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: what events make of them, and what records tell. */
#include "pipeline_session.h"

#define OUT(x) AFFIANT__V1__OUTCOME__##x
#define PROTO(x) AFFIANT__V1__PROTOCOL__PROTOCOL_##x

static void assert_connection(const Affiant__V1__ConnectionId *id, const struct event_connect *of)
{
	assert_int_equal(id->number, of->connection);
	assert_int_equal(id->cookie, of->cookie);
}

static size_t known(const struct pipeline *p)
{
	return HASH_COUNT(p->attribute->table.connections);
}

/* ---- TCP ---- */

static void tells_a_connection_from_attempt_to_end(void **state)
{
	struct fixture *f = *state;
	struct event_connect c = do_connect(f->p, &f->run, 443);
	const Affiant__V1__Record *r;

	no_more(f->p);
	do_outcome(f->p, &c, 0);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_connection(r->connect->connection, &c);
	assert_int_equal(r->connect->protocol, PROTO(TCP));
	assert_int_equal(r->connect->outcome, OUT(ESTABLISHED));
	assert_int_equal(r->connect->errno_, 0);
	assert_true(r->connect->has_errno_);
	assert_int_equal(r->connect->latency_ns, 5 * MS);
	assert_int_equal(r->connect->reached->port, 443);
	assert_memory_equal(r->connect->reached->address.data, "\xcb\x00\x71\x07", 4);
	assert_int_equal(r->connect->local->port, 40000);
	assert_null(r->connect->asked);
	assert_null(r->connect->opener);
	assert_false(r->connect->has_completes_pending);
	assert_int_equal(r->connect->uid, 1000);
	assert_int_equal(r->process->id->tgid, 100);
	no_more(f->p);

	do_close(f->p, &c);
	r = NEXT(f->p, PART_MAIN, CLOSE);
	assert_connection(r->close->connection, &c);
	assert_int_equal(r->close->remote->port, 443);
	assert_int_equal(r->close->local->port, 40000); /* bound since the attempt */
	assert_int_equal(r->close->bytes_sent, 100);
	assert_int_equal(r->close->bytes_received, 200);
	assert_int_equal(r->close->duration_ns, 7 * S);
	assert_false(r->close->reset);
	no_more(f->p);
	assert_int_equal(known(f->p), 0);
}

static void tells_failures_once(void **state)
{
	struct fixture *f = *state;
	struct event_connect c = do_connect(f->p, &f->run, 443);
	const Affiant__V1__Record *r;

	do_outcome(f->p, &c, ECONNREFUSED);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_int_equal(r->connect->outcome, OUT(REFUSED));
	assert_int_equal(r->connect->errno_, ECONNREFUSED);
	assert_int_equal(known(f->p), 0);
	/* Nothing more is expected of it. */
	do_outcome(f->p, &c, ECONNREFUSED);
	do_close(f->p, &c);
	no_more(f->p);
	assert_int_equal(f->p->attribute->counts.orphans, 2);
}

static void tells_what_never_left(void **state)
{
	struct fixture *f = *state;
	struct event_connect c = do_connect(f->p, &f->run, 443);
	struct event_outcome o = outcome_event(f->p, &c, 0);
	const Affiant__V1__Record *r;

	o.from = o.to = 0;
	o.flags = OUTCOME_RELEASE;
	o.latency_ns = 0;
	o.local.family = 0;
	give(f->p, &o);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_int_equal(r->connect->outcome, OUT(NOT_SENT));
	assert_false(r->connect->has_errno_);
	assert_false(r->connect->has_latency_ns);
	assert_null(r->connect->local);
	assert_int_equal(known(f->p), 0);
}

static void tells_no_figures_that_were_not_seen(void **state)
{
	struct fixture *f = *state;
	struct event_connect c = do_connect(f->p, &f->run, 443);
	struct event_close e;
	const Affiant__V1__Record *r;

	do_outcome(f->p, &c, 0);
	skip_all(f->p);
	e = close_event(f->p, &c);
	e.from = e.to = 0;
	e.bytes_sent = e.bytes_received = 0;
	e.flags = OUTCOME_RELEASE;
	give(f->p, &e);
	r = NEXT(f->p, PART_MAIN, CLOSE);
	assert_false(r->close->has_bytes_sent);
	assert_false(r->close->has_bytes_received);
	assert_false(r->close->has_errno_);
	assert_false(r->close->has_reset);
	assert_true(r->close->has_duration_ns);
}

static void tells_what_is_pending_and_completes_it(void **state)
{
	struct fixture *f = *state;
	const Affiant__V1__Record *r;
	struct event_connect c;
	uint64_t deadline;

	attribute_tick(f->p->attribute, f->p->now);
	deadline = f->p->now + S;
	c = do_connect(f->p, &f->run, 443);
	assert_int_equal(attribute_tick(f->p->attribute, deadline - 1), deadline);
	no_more(f->p);
	assert_int_equal(attribute_tick(f->p->attribute, deadline), UINT64_MAX);
	r = NEXT(f->p, PART_MAIN, CONNECT);
	assert_connection(r->connect->connection, &c);
	assert_int_equal(r->connect->outcome, OUT(PENDING));
	assert_false(r->connect->has_errno_);
	assert_false(r->connect->has_latency_ns);
	assert_int_equal(r->boottime_ns, c.header.boottime_ns);
	attribute_tick(f->p->attribute, deadline + 100 * S);
	no_more(f->p);
	do_outcome(f->p, &c, ETIMEDOUT);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_connection(r->connect->connection, &c);
	assert_int_equal(r->connect->outcome, OUT(TIMED_OUT));
	assert_true(r->connect->completes_pending);
	no_more(f->p);
	assert_int_equal(known(f->p), 0);
}

/* The event that told of the handshake was lost. */
static void knows_that_what_closes_was_established(void **state)
{
	struct fixture *f = *state;
	struct event_connect c = do_connect(f->p, &f->run, 443), late;
	const Affiant__V1__Record *r;

	do_close(f->p, &c);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_int_equal(r->connect->outcome, OUT(ESTABLISHED));
	assert_false(r->connect->has_latency_ns);
	assert_false(r->connect->has_completes_pending);
	NEXT(f->p, PART_MAIN, CLOSE);
	no_more(f->p);

	late = do_connect(f->p, &f->run, 443);
	attribute_tick(f->p->attribute, f->p->now + 2 * S);
	NEXT(f->p, PART_MAIN, CONNECT);
	do_close(f->p, &late);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_true(r->connect->completes_pending);
	NEXT(f->p, PART_MAIN, CLOSE);
}

static void follows_one_socket_over_several_attempts(void **state)
{
	struct fixture *f = *state;
	struct event_connect a = do_connect(f->p, &f->run, 1),
			     b = connect_event(f->p, &f->run, IPPROTO_TCP, 2);
	struct event_outcome o = outcome_event(f->p, &a, 0);

	o.from = o.to = 0;
	o.flags = OUTCOME_REUSED;
	give(f->p, &o);
	assert_int_equal(NEXT(f->p, PART_OUTCOME, CONNECT)->connect->outcome, OUT(NOT_SENT));
	b.cookie = a.cookie;
	give(f->p, &b);
	do_outcome(f->p, &b, 0);
	assert_connection(NEXT(f->p, PART_OUTCOME, CONNECT)->connect->connection, &b);
	do_close(f->p, &b);
	NEXT(f->p, PART_MAIN, CLOSE);
	no_more(f->p);
}

static void tells_what_others_did_to_it(void **state)
{
	struct fixture *f = *state;
	struct event_connect c = connect_event(f->p, &f->run, IPPROTO_TCP, 443);
	const Affiant__V1__Record *r;

	/* Refused by another program. */
	c.flags |= CONNECT_DENIED;
	give(f->p, &c);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_int_equal(r->connect->outcome, OUT(DENIED));
	assert_false(r->connect->has_errno_);
	assert_int_equal(known(f->p), 0);

	/* Rewritten by another program. */
	c = connect_event(f->p, &f->run, IPPROTO_TCP, 443);
	c.flags |= CONNECT_ASKED | CONNECT_MAPPED;
	c.asked = c.reached;
	c.asked.port = 80;
	c.reached = (struct event_address){
		.family = AF_INET6, .port = 8080, .scope_id = 3, .bytes = {0xfe, 0x80}};
	give(f->p, &c);
	do_outcome(f->p, &c, ECONNREFUSED);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_int_equal(r->connect->asked->port, 80);
	assert_int_equal(r->connect->asked->address.len, 4);
	assert_int_equal(r->connect->reached->port, 8080);
	assert_int_equal(r->connect->reached->address.len, 16);
	assert_int_equal(r->connect->reached->scope_id, 3);
	assert_true(r->connect->v4_mapped);
}

/* What programs behind ours made of it, the socket tells. */
static void tells_where_the_socket_went(void **state)
{
	struct fixture *f = *state;
	struct event_connect c = connect_event(f->p, &f->run, IPPROTO_TCP, 443);
	const struct event_address backend = {
		.family = AF_INET, .port = 8443, .bytes = {127, 0, 33, 11}};
	const Affiant__V1__Record *r;
	struct event_outcome o;

	c.flags |= CONNECT_BEHIND;
	give(f->p, &c);
	o = outcome_event(f->p, &c, 0);
	o.peer = backend;
	give(f->p, &o);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_int_equal(r->connect->outcome, OUT(ESTABLISHED));
	assert_int_equal(r->connect->reached->port, 8443);
	assert_memory_equal(r->connect->reached->address.data, "\x7f\x00\x21\x0b", 4);
	assert_int_equal(r->connect->asked->port, 443);
	assert_memory_equal(r->connect->asked->address.data, "\xcb\x00\x71\x07", 4);
	assert_false(r->connect->has_reached_unsure);
	assert_false(r->connect->has_outcome_unsure);
	do_close(f->p, &c);
	r = NEXT(f->p, PART_MAIN, CLOSE);
	assert_int_equal(r->close->remote->port, 8443);
	assert_false(r->close->has_remote_unsure);

	/* What was asked is known better; a failure tells whom it came from, too. */
	c = connect_event(f->p, &f->run, IPPROTO_TCP, 443);
	c.flags |= CONNECT_ASKED;
	c.asked = c.reached;
	c.asked.port = 80;
	give(f->p, &c);
	o = outcome_event(f->p, &c, ECONNREFUSED);
	o.peer = backend;
	give(f->p, &o);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_int_equal(r->connect->asked->port, 80);
	assert_int_equal(r->connect->reached->port, 8443);
	assert_int_equal(r->connect->outcome, OUT(REFUSED));
}

/* The same place is not asked for twice, and a scope that the socket does not tell stays. */
static void keeps_what_the_socket_confirms(void **state)
{
	struct fixture *f = *state;
	struct event_connect c = connect_event(f->p, &f->run, IPPROTO_TCP, 443);
	const Affiant__V1__Record *r;
	struct event_outcome o;

	c.reached = (struct event_address){
		.family = AF_INET6, .port = 443, .scope_id = 3, .bytes = {0xfe, 0x80}};
	give(f->p, &c);
	o = outcome_event(f->p, &c, 0);
	o.peer = c.reached;
	o.peer.scope_id = 0;
	give(f->p, &o);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_null(r->connect->asked);
	assert_int_equal(r->connect->reached->scope_id, 3);

	c = connect_event(f->p, &f->run, IPPROTO_TCP, 443);
	c.reached.family = AF_INET6;
	give(f->p, &c);
	o = outcome_event(f->p, &c, 0);
	o.peer = c.reached;
	o.peer.scope_id = 4;
	give(f->p, &o);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_null(r->connect->asked);
	assert_int_equal(r->connect->reached->scope_id, 4);
}

static const Affiant__V1__Connect *told_of(struct fixture *f, struct event_connect *c,
					   enum part part)
{
	give(f->p, c);
	if (part == PART_OUTCOME && !(c->flags & CONNECT_DENIED)) {
		struct event_outcome o = outcome_event(f->p, c, 0);

		o.from = o.to = 0;
		o.flags = OUTCOME_RELEASE;
		o.peer.family = 0;
		give(f->p, &o);
	}
	return NEXT(f->p, part, CONNECT)->connect;
}

static void says_what_others_can_have_changed(void **state)
{
	struct fixture *f = *state;
	struct event_connect c = connect_event(f->p, &f->run, IPPROTO_TCP, 443);
	const Affiant__V1__Connect *m;

	/* Their refusal looks like what was never sent. */
	c.flags |= CONNECT_BEHIND;
	m = told_of(f, &c, PART_OUTCOME);
	assert_int_equal(m->outcome, OUT(NOT_SENT));
	assert_true(m->reached_unsure && m->outcome_unsure);
	/* They can let pass what was refused before. */
	c = connect_event(f->p, &f->run, IPPROTO_TCP, 443);
	c.flags |= CONNECT_BEHIND | CONNECT_DENIED;
	m = told_of(f, &c, PART_OUTCOME);
	assert_int_equal(m->outcome, OUT(DENIED));
	assert_true(m->reached_unsure && m->outcome_unsure);
	/* A datagram. */
	c = connect_event(f->p, &f->run, IPPROTO_UDP, 53);
	c.flags |= CONNECT_BEHIND | CONNECT_SENDMSG;
	m = told_of(f, &c, PART_MAIN);
	assert_int_equal(m->outcome, OUT(ATTEMPTED));
	assert_true(m->reached_unsure && m->outcome_unsure);
	do_close(f->p, &c);
	assert_true(NEXT(f->p, PART_MAIN, CLOSE)->close->remote_unsure);
	/* Pending is not sure of anything; where it goes is not, either. */
	c = connect_event(f->p, &f->run, IPPROTO_TCP, 443);
	c.flags |= CONNECT_BEHIND;
	give(f->p, &c);
	attribute_tick(f->p->attribute, f->p->now += 5 * S);
	m = NEXT(f->p, PART_MAIN, CONNECT)->connect;
	assert_int_equal(m->outcome, OUT(PENDING));
	assert_true(m->reached_unsure && !m->has_outcome_unsure);
	/* Nobody behind: nothing of the kind. */
	c = connect_event(f->p, &f->run, IPPROTO_TCP, 443);
	m = told_of(f, &c, PART_OUTCOME);
	assert_true(!m->has_reached_unsure && !m->has_outcome_unsure);
}

static void names_a_socket_in_repair(void **state)
{
	struct fixture *f = *state;
	struct event_connect c = do_connect(f->p, &f->run, 443);
	struct event_outcome o = outcome_event(f->p, &c, 0);
	const Affiant__V1__Record *r;
	struct event_close e;

	o.flags = OUTCOME_REPAIR;
	give(f->p, &o);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_true(r->connect->repaired);
	assert_int_equal(r->connect->outcome, OUT(ESTABLISHED));
	e = close_event(f->p, &c);
	e.from = TCP_ESTABLISHED;
	e.to = TCP_CLOSE;
	e.flags = OUTCOME_REPAIR;
	give(f->p, &e);
	r = NEXT(f->p, PART_MAIN, CLOSE);
	assert_true(r->close->repaired);
	assert_false(r->close->reset);
}

static void says_what_it_cannot_follow(void **state)
{
	struct fixture *f = *state;
	struct event_connect c = connect_event(f->p, &f->run, IPPROTO_TCP, 443);
	const Affiant__V1__Record *r;

	c.flags = CONNECT_NO_STORAGE;
	c.cookie = 0;
	give(f->p, &c);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_true(r->connect->outcome_untracked);
	assert_false(r->connect->has_outcome);
	assert_false(r->connect->connection->has_cookie);
	assert_true(r->connect->opener->unknown);
	assert_int_equal(known(f->p), 0);
	attribute_tick(f->p->attribute, f->p->now + 5 * S);
	no_more(f->p);
}

/* ---- datagrams ---- */

static struct event_connect do_flow(struct pipeline *p, const struct proc *by, uint64_t cookie,
				    uint16_t port, uint16_t flags)
{
	struct event_connect e = connect_event(p, by, IPPROTO_UDP, port);

	e.cookie = cookie;
	e.flags |= flags;
	give(p, &e);
	return e;
}

/* connect(2), which did not fail: nothing is heard of it for a while. */
static struct event_connect do_connected(struct fixture *f, uint64_t cookie, uint16_t port)
{
	struct event_connect e = do_flow(f->p, &f->run, cookie, port, 0);

	no_more(f->p);
	f->p->now += S / 20;
	attribute_tick(f->p->attribute, f->p->now);
	return e;
}

static void do_refusal(struct pipeline *p, const struct event_connect *of, int error)
{
	struct event_outcome e = outcome_event(p, of, error);

	e.from = e.to = 0;
	e.local.family = 0;
	e.flags = OUTCOME_REPORT;
	give(p, &e);
}

static void tells_flows_of_a_socket(void **state)
{
	struct fixture *f = *state;
	const Affiant__V1__Record *r;
	struct event_connect first;
	struct event_close e;

	first = do_flow(f->p, &f->run, 555, 53, CONNECT_SENDMSG);
	r = NEXT(f->p, PART_MAIN, CONNECT);
	assert_int_equal(r->connect->protocol, PROTO(UDP));
	assert_int_equal(r->connect->outcome, OUT(ATTEMPTED));
	assert_true(r->connect->by_datagram);
	/* Any number of further ones is told, and none is kept. */
	for (uint16_t i = 0; i < 20; i++) {
		do_flow(f->p, &f->run, 555, 1000 + i, CONNECT_SENDMSG);
		r = NEXT(f->p, PART_MAIN, CONNECT);
		assert_int_equal(r->connect->reached->port, 1000 + i);
	}
	assert_int_equal(known(f->p), 1);
	e = close_event(f->p, &first);
	e.excess = 17;
	give(f->p, &e);
	r = NEXT(f->p, PART_MAIN, CLOSE);
	assert_connection(r->close->connection, &first);
	assert_int_equal(r->close->remote->port, 53);
	assert_int_equal(r->close->excess_datagrams, 17);
	assert_false(r->close->has_bytes_sent);
	assert_false(r->close->has_reset);
	no_more(f->p);
	assert_int_equal(known(f->p), 0);
	assert_null(f->p->attribute->table.sockets);
	assert_int_equal(f->p->attribute->counts.orphans, 0);
}

static void tells_a_refused_datagram_once(void **state)
{
	struct fixture *f = *state;
	struct event_connect c = do_connected(f, 555, 53), second;
	const Affiant__V1__Record *r;

	NEXT(f->p, PART_MAIN, CONNECT);
	do_refusal(f->p, &c, ECONNREFUSED);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_connection(r->connect->connection, &c);
	assert_int_equal(r->connect->outcome, OUT(REFUSED));
	assert_false(r->connect->has_completes_pending);
	/* Under the same id there can be one record only. */
	do_refusal(f->p, &c, EHOSTUNREACH);
	no_more(f->p);
	/* Connected anew, it can be refused anew. */
	second = do_connected(f, 555, 54);
	NEXT(f->p, PART_MAIN, CONNECT);
	do_refusal(f->p, &second, ECONNREFUSED);
	assert_connection(NEXT(f->p, PART_OUTCOME, CONNECT)->connect->connection, &second);
	do_close(f->p, &c);
	assert_connection(NEXT(f->p, PART_MAIN, CLOSE)->close->connection, &c);
	assert_int_equal(known(f->p), 0);
}

/* connect(2) on a datagram socket sends nothing and may be repeated for ever. */
static void keeps_two_flows_of_a_socket(void **state)
{
	struct fixture *f = *state;
	struct event_connect first = do_connected(f, 555, 53), last = first;

	for (uint16_t i = 0; i < 100; i++) {
		last = do_flow(f->p, &f->run, 555, 1000 + i, 0);
		assert_int_equal(known(f->p), 2);
	}
	assert_int_equal(f->p->attribute->dropped[LOSS_TABLE], 0);
	skip_all(f->p);
	do_refusal(f->p, &last, ECONNREFUSED);
	assert_connection(NEXT(f->p, PART_OUTCOME, CONNECT)->connect->connection, &last);
	do_close(f->p, &first);
	assert_connection(NEXT(f->p, PART_MAIN, CLOSE)->close->connection, &first);
	assert_int_equal(known(f->p), 0);
	assert_null(f->p->attribute->table.sockets);
}

/* A refusal by another program concerns one destination. */
static void keeps_a_socket_of_which_a_flow_is_denied(void **state)
{
	struct fixture *f = *state;
	struct event_connect first = do_connected(f, 555, 53);

	NEXT(f->p, PART_MAIN, CONNECT);
	do_flow(f->p, &f->run, 555, 54, CONNECT_SENDMSG | CONNECT_DENIED);
	assert_int_equal(NEXT(f->p, PART_OUTCOME, CONNECT)->connect->outcome, OUT(DENIED));
	do_close(f->p, &first);
	NEXT(f->p, PART_MAIN, CLOSE);
	no_more(f->p);
}

static void do_failure(struct pipeline *p, const struct event_connect *of)
{
	struct event_outcome e = outcome_event(p, of, 0);

	e.from = e.to = 0;
	e.latency_ns = 0;
	e.local.family = 0;
	e.flags = OUTCOME_NOT_SENT | OUTCOME_REUSED;
	give(p, &e);
}

/* No route, for one: known when the socket is used again, mostly at once. */
static void tells_a_connect_that_failed(void **state)
{
	struct fixture *f = *state;
	struct event_connect c = do_flow(f->p, &f->run, 555, 53, 0), next;
	const Affiant__V1__Record *r;

	no_more(f->p);
	do_failure(f->p, &c);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_connection(r->connect->connection, &c);
	assert_int_equal(r->connect->outcome, OUT(NOT_SENT));
	assert_false(r->connect->has_errno_);
	assert_false(r->connect->has_completes_pending);
	f->p->now += S;
	assert_int_equal(attribute_tick(f->p->attribute, f->p->now), UINT64_MAX);
	no_more(f->p);

	/* It is used again after a while. */
	next = do_connected(f, 555, 54);
	assert_int_equal(NEXT(f->p, PART_MAIN, CONNECT)->connect->outcome, OUT(ATTEMPTED));
	do_failure(f->p, &next);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_connection(r->connect->connection, &next);
	assert_int_equal(r->connect->outcome, OUT(NOT_SENT));
	do_refusal(f->p, &next, ECONNREFUSED);
	no_more(f->p);
	do_close(f->p, &c);
	NEXT(f->p, PART_MAIN, CLOSE);
	assert_int_equal(known(f->p), 0);
}

/* Nobody waits for what can't come any more, and nothing is left out. */
static void tells_connects_before_what_ends_them(void **state)
{
	struct fixture *f = *state;
	struct event_connect first = do_flow(f->p, &f->run, 555, 53, 0), tcp;
	struct event_connect second = do_flow(f->p, &f->run, 555, 54, 0), third;
	const Affiant__V1__Record *r;

	no_more(f->p);
	third = do_flow(f->p, &f->run, 555, 55, 0);
	assert_connection(NEXT(f->p, PART_MAIN, CONNECT)->connect->connection, &second);
	no_more(f->p);
	do_close(f->p, &first);
	r = NEXT(f->p, PART_MAIN, CONNECT);
	assert_connection(r->connect->connection, &first);
	assert_int_equal(r->connect->outcome, OUT(ATTEMPTED));
	assert_int_equal(r->boottime_ns, first.header.boottime_ns);
	assert_connection(NEXT(f->p, PART_MAIN, CONNECT)->connect->connection, &third);
	NEXT(f->p, PART_MAIN, CLOSE);
	no_more(f->p);
	assert_int_equal(known(f->p), 0);

	/* A stream's attempt is awaited longer, and holds nothing up. */
	attribute_tick(f->p->attribute, f->p->now);
	tcp = do_connect(f->p, &f->run, 443);
	first = do_flow(f->p, &f->run, 556, 53, 0);
	f->p->now += S / 20;
	attribute_tick(f->p->attribute, f->p->now);
	assert_connection(NEXT(f->p, PART_MAIN, CONNECT)->connect->connection, &first);
	no_more(f->p);
	f->p->now += S;
	assert_int_equal(attribute_tick(f->p->attribute, f->p->now), UINT64_MAX);
	assert_connection(NEXT(f->p, PART_MAIN, CONNECT)->connect->connection, &tcp);
}

/* What was refused stands for the socket until another flow is let pass. */
static void tells_refused_datagrams_of_a_socket(void **state)
{
	struct fixture *f = *state;
	struct event_connect denied =
		do_flow(f->p, &f->run, 555, 53, CONNECT_SENDMSG | CONNECT_DENIED);
	struct event_connect first;
	struct event_close e;

	assert_int_equal(NEXT(f->p, PART_OUTCOME, CONNECT)->connect->outcome, OUT(DENIED));
	first = do_flow(f->p, &f->run, 555, 53, CONNECT_SENDMSG);
	assert_int_equal(NEXT(f->p, PART_MAIN, CONNECT)->connect->outcome, OUT(ATTEMPTED));
	assert_int_equal(known(f->p), 1);
	do_close(f->p, &first);
	assert_connection(NEXT(f->p, PART_MAIN, CLOSE)->close->connection, &first);

	/* Nothing was let pass: there is no end to tell, but for what was counted. */
	denied = do_flow(f->p, &f->run, 556, 53, CONNECT_SENDMSG | CONNECT_DENIED);
	NEXT(f->p, PART_OUTCOME, CONNECT);
	do_close(f->p, &denied);
	no_more(f->p);
	denied = do_flow(f->p, &f->run, 557, 53, CONNECT_SENDMSG | CONNECT_DENIED);
	NEXT(f->p, PART_OUTCOME, CONNECT);
	e = close_event(f->p, &denied);
	e.excess = 4;
	give(f->p, &e);
	assert_int_equal(NEXT(f->p, PART_MAIN, CLOSE)->close->excess_datagrams, 4);
	assert_int_equal(known(f->p), 0);
	assert_int_equal(f->p->attribute->counts.orphans, 0);
}

/* Over a connection that another one made: whose it is and who uses it, but no outcome. */
static void tells_who_sends_over_another_ones(void **state)
{
	struct fixture *f = *state;
	struct event_connect c = connect_event(f->p, &f->run, IPPROTO_TCP, 443);
	const Affiant__V1__Record *r;

	c.flags = CONNECT_SEND;
	give(f->p, &c);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_true(r->connect->by_send);
	assert_false(r->connect->has_outcome);
	assert_false(r->connect->has_outcome_untracked);
	assert_true(r->connect->opener->unknown);
	assert_int_equal(known(f->p), 0);

	c = do_flow(f->p, &f->run, 555, 53, CONNECT_SEND);
	r = NEXT(f->p, PART_MAIN, CONNECT);
	assert_true(r->connect->by_send);
	assert_int_equal(r->connect->outcome, OUT(ATTEMPTED));
	do_flow(f->p, &f->run, 555, 54, CONNECT_SEND);
	NEXT(f->p, PART_MAIN, CONNECT);
	assert_int_equal(known(f->p), 1);
	do_close(f->p, &c);
	assert_connection(NEXT(f->p, PART_MAIN, CLOSE)->close->connection, &c);
	assert_int_equal(known(f->p), 0);
}

/* The first flow's event was lost: the end of the socket ends what is left of it. */
static void ends_a_socket_whose_first_flow_is_unknown(void **state)
{
	struct fixture *f = *state;
	struct event_connect lost = connect_event(f->p, &f->run, IPPROTO_UDP, 53), other;
	const Affiant__V1__Record *r;
	struct event_close e;

	lost.cookie = 555;
	do_connected(f, 555, 54);
	skip_all(f->p);
	do_connected(f, 555, 55);
	skip_all(f->p);
	do_close(f->p, &lost);
	no_more(f->p);
	assert_int_equal(known(f->p), 0);
	assert_int_equal(f->p->attribute->counts.orphans, 1);

	/* What it did not tell is counted in any case. */
	other = do_flow(f->p, &f->run, 556, 56, CONNECT_SENDMSG);
	skip_all(f->p);
	lost = connect_event(f->p, &f->run, IPPROTO_UDP, 53);
	e = close_event(f->p, &lost);
	e.cookie = 556;
	e.excess = 3;
	give(f->p, &e);
	r = NEXT(f->p, PART_MAIN, CLOSE);
	assert_connection(r->close->connection, &other);
	assert_int_equal(r->close->excess_datagrams, 3);
	assert_int_equal(known(f->p), 0);
}

static void keeps_sockets_without_a_cookie_apart(void **state)
{
	struct fixture *f = *state;
	struct event_connect a = do_connected(f, 0, 53), b;

	skip_all(f->p);
	b = do_connected(f, 0, 54);
	skip_all(f->p);
	do_close(f->p, &a);
	NEXT(f->p, PART_MAIN, CLOSE);
	assert_int_equal(known(f->p), 1);
	do_close(f->p, &b);
	NEXT(f->p, PART_MAIN, CLOSE);
	assert_int_equal(known(f->p), 0);
}

static void names_protocols(void **state)
{
	static const struct {
		uint16_t family, type, protocol;
		Affiant__V1__Protocol want;
	} cases[] = {
		{AF_INET, SOCK_STREAM, IPPROTO_TCP, PROTO(TCP)},
		{AF_INET6, SOCK_DGRAM, IPPROTO_UDP, PROTO(UDP)},
		{AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE, PROTO(UDPLITE)},
		{AF_INET, SOCK_DGRAM, IPPROTO_ICMP, PROTO(ICMP)},
		{AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6, PROTO(ICMPV6)},
		{AF_INET, SOCK_SEQPACKET, IPPROTO_SCTP, PROTO(SCTP)},
		{AF_INET, SOCK_STREAM, 262, PROTO(MPTCP)},
		{AF_INET, SOCK_RAW, IPPROTO_ICMP, PROTO(RAW)},
		{AF_INET, SOCK_RAW, IPPROTO_TCP, PROTO(RAW)},
		{AF_INET, SOCK_DGRAM, 199, PROTO(OTHER)},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct event_untracked e = {.family = cases[i].family,
					    .sock_type = cases[i].type,
					    .protocol = cases[i].protocol,
					    .cookie = 8};
		const Affiant__V1__Record *r;

		head_fill(f->p, &e.header, 0, EVENT_UNTRACKED, sizeof(e), &f->run);
		give(f->p, &e);
		r = NEXT(f->p, PART_MAIN, UNTRACKED_SOCKET);
		assert_int_equal(r->untracked_socket->protocol, cases[i].want);
		assert_int_equal(r->untracked_socket->family, cases[i].family);
		assert_int_equal(r->untracked_socket->type, cases[i].type);
		assert_int_equal(r->untracked_socket->protocol_number, cases[i].protocol);
		assert_int_equal(r->untracked_socket->cookie, 8);
	}
}

static void tells_unix_sockets(void **state)
{
	struct event_unix e = {.uid = 5,
			       .gid = 6,
			       .sock_type = SOCK_STREAM,
			       .flags = CONNECT_OPENER,
			       .path_len = 5,
			       .cookie = 12,
			       .path = "\0name"};
	struct fixture *f = *state;
	const Affiant__V1__Record *r;

	head_fill(f->p, &e.header, 2, EVENT_UNIX, sizeof(e), &f->run);
	e.connection = event_source(&e.header);
	e.opener = e.header.actor;
	give(f->p, &e);
	r = NEXT(f->p, PART_MAIN, CONNECT);
	assert_int_equal(r->connect->protocol, PROTO(UNIX));
	assert_int_equal(r->connect->outcome, OUT(ATTEMPTED));
	assert_int_equal(r->connect->reached->path.len, 5);
	assert_memory_equal(r->connect->reached->path.data, "\0name", 5);
	assert_int_equal(r->connect->connection->number, e.connection);
	assert_int_equal(r->connect->uid, 5);
	assert_null(r->connect->opener);
	head_fill(f->p, &e.header, 2, EVENT_UNIX, sizeof(e), &f->run);
	e.flags = CONNECT_DENIED;
	give(f->p, &e);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_int_equal(r->connect->outcome, OUT(DENIED));
	assert_true(r->connect->opener->unknown);
	assert_int_equal(known(f->p), 0);
}

/* Where it led, beside what was asked; nothing where that can't be told. */
static void tells_where_a_relative_path_led(void **state)
{
	union {
		struct event_unix e;
		char bytes[sizeof(struct event_unix) + 16];
	} u = {.e = {.flags = CONNECT_SENDMSG, .path_len = 7, .path = "../sock", .cwd_len = 9}};
	struct fixture *f = *state;
	const Affiant__V1__Record *r;

	memcpy(u.e.cwd, "work\0srv", 9);
	head_fill(f->p, &u.e.header, 2, EVENT_UNIX, sizeof(u), &f->run);
	give(f->p, &u);
	r = NEXT(f->p, PART_MAIN, CONNECT);
	assert_memory_equal(r->connect->reached->path.data, "../sock", 7);
	assert_int_equal(r->connect->reached->resolved.len, 9);
	assert_memory_equal(r->connect->reached->resolved.data, "/srv/sock", 9);
	assert_true(r->connect->by_datagram);
	head_fill(f->p, &u.e.header, 2, EVENT_UNIX, sizeof(u), &f->run);
	u.e.cwd_len = 0;
	u.e.flags = CONNECT_CWD_CUT;
	give(f->p, &u);
	r = NEXT(f->p, PART_MAIN, CONNECT);
	assert_false(r->connect->reached->has_resolved);
	assert_false(r->connect->has_by_datagram);
}

/* ---- whose socket ---- */

static void names_who_opened_the_socket(void **state)
{
	struct fixture *f = *state;
	struct proc child = do_fork(f->p, &f->run, 101), gone;
	struct event_connect c = connect_event(f->p, &child, IPPROTO_TCP, 443);
	const Affiant__V1__Record *r;

	c.opener = (struct event_actor){
		.session = 42, .start_boottime = f->run.start, .tgid = 100, .exec_seq = 1};
	give(f->p, &c);
	do_outcome(f->p, &c, ECONNREFUSED);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_int_equal(r->process->id->tgid, 101);
	assert_int_equal(r->connect->opener->process->tgid, 100);
	assert_int_equal(r->connect->opener->process->start_boottime_ns, f->run.start);
	assert_int_equal(r->connect->opener->process->exec_seq,
			 1); /* before it executed the agent */
	assert_memory_equal(r->connect->opener->session.data, r->session->id.data, 16);

	/* Of another session, which has ended since. */
	gone = begin_session(f->p, 43, 300);
	skip_all(f->p);
	do_exit(f->p, &gone, 0);
	NEXT(f->p, PART_MAIN, EXIT);
	r = NEXT(f->p, PART_SESSION_ENDED, SESSION_ENDED);
	c = connect_event(f->p, &child, IPPROTO_TCP, 443);
	c.opener = (struct event_actor){.session = 43, .start_boottime = gone.start, .tgid = 300};
	give(f->p, &c);
	do_outcome(f->p, &c, ECONNREFUSED);
	assert_memory_equal(NEXT(f->p, PART_OUTCOME, CONNECT)->connect->opener->session.data,
			    r->session->id.data, 16);

	/* Of a session that nobody knows. */
	c = connect_event(f->p, &child, IPPROTO_TCP, 443);
	c.opener.session = 4711;
	c.opener.tgid = 5;
	give(f->p, &c);
	do_outcome(f->p, &c, ECONNREFUSED);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_false(r->connect->opener->has_session);
	assert_int_equal(r->connect->opener->process->tgid, 5);
}

static struct event_connect do_foreign(struct pipeline *p, const struct proc *opener)
{
	struct proc outsider = {.tgid = 900, .start = 5, .exec_seq = 8};
	struct event_connect c = connect_event(p, &outsider, IPPROTO_TCP, 443);

	c.flags = CONNECT_FOREIGN | CONNECT_OPENER;
	c.opener = (struct event_actor){.session = opener->session,
					.start_boottime = opener->start,
					.tgid = opener->tgid,
					.exec_seq = opener->exec_seq};
	give(p, &c);
	return c;
}

static void assert_foreign(const Affiant__V1__Record *r, uint32_t opener)
{
	assert_true(r->connect->foreign);
	/* Who acted is outside; all that is known of it is its identity. */
	assert_int_equal(r->process->id->tgid, 900);
	assert_int_equal(r->process->id->exec_seq, 8);
	assert_null(r->process->executable);
	assert_true(r->process->ancestry_cut);
	assert_int_equal(r->connect->opener->process->tgid, opener);
	assert_memory_equal(r->connect->opener->session.data, r->session->id.data, 16);
}

static void tells_who_uses_a_socket_of_the_session(void **state)
{
	struct fixture *f = *state;
	struct event_connect c = do_foreign(f->p, &f->run);
	const Affiant__V1__Record *r;

	do_outcome(f->p, &c, 0);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_foreign(r, 100);
	assert_string_equal(r->agent->name, "research");
	/* The outsider is no member of the session. */
	assert_int_equal(HASH_COUNT(f->p->attribute->table.processes), 1);
	do_close(f->p, &c);
	assert_int_equal(NEXT(f->p, PART_MAIN, CLOSE)->process->id->tgid, 900);

	/* Passed on, and then the session ended: it is attributed to that all the same. */
	do_exit(f->p, &f->run, 0);
	skip_all(f->p);
	c = do_foreign(f->p, &f->run);
	no_more(f->p);
	do_outcome(f->p, &c, 0);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_foreign(r, 100);
	assert_string_equal(r->agent->name, "research");
	assert_int_equal(HASH_COUNT(f->p->attribute->table.sessions), 0);
}

static void tells_a_foreign_use_of_what_nobody_knows(void **state)
{
	struct fixture *f = *state;
	struct proc opener = {.session = 4711, .tgid = 5, .start = 6, .exec_seq = 7};
	struct event_connect c = do_foreign(f->p, &opener);
	const Affiant__V1__Record *r;

	r = NEXT(f->p, PART_SESSION_STARTED, SESSION_STARTED);
	assert_string_equal(r->agent->name, ATTRIBUTE_UNKNOWN_AGENT);
	r = NEXT(f->p, PART_SESSION_ENDED, SESSION_ENDED);
	assert_int_equal(r->session_ended->reason, AFFIANT__V1__SESSION_END_REASON__END_UNKNOWN);
	do_outcome(f->p, &c, 0);
	assert_foreign(NEXT(f->p, PART_OUTCOME, CONNECT), 5);
	assert_int_equal(HASH_COUNT(f->p->attribute->table.sessions), 1);
	assert_int_equal(HASH_COUNT(f->p->attribute->table.processes), 1);
	/* One more is of the same. */
	do_foreign(f->p, &opener);
	no_more(f->p);
}

/* ---- what outlives its maker ---- */

static void attributes_to_the_dead(void **state)
{
	struct fixture *f = *state;
	struct event_connect c = do_connect(f->p, &f->run, 443);
	const Affiant__V1__Record *r;
	uint8_t id[16];

	/* It connects and exits before the SYN-ACK. */
	do_exit(f->p, &f->run, 0);
	NEXT(f->p, PART_MAIN, EXIT);
	r = NEXT(f->p, PART_SESSION_ENDED, SESSION_ENDED);
	assert_int_equal(r->session_ended->connections, 1);
	memcpy(id, r->session->id.data, 16);
	/* The key is taken by another session meanwhile. */
	begin_session(f->p, 42, 500);
	skip_all(f->p);
	do_outcome(f->p, &c, 0);
	r = NEXT(f->p, PART_OUTCOME, CONNECT);
	assert_memory_equal(r->session->id.data, id, 16);
	assert_int_equal(r->process->id->tgid, 100);
	assert_memory_equal(r->process->executable->path.data, "/usr/bin/agent", 14);
	do_close(f->p, &c);
	assert_memory_equal(NEXT(f->p, PART_MAIN, CLOSE)->session->id.data, id, 16);
}

/* Its exec lies between attempt and outcome: the attempt was the earlier image's. */
static void attributes_to_the_image_that_attempted(void **state)
{
	struct fixture *f = *state;
	struct event_connect c = do_connect(f->p, &f->run, 443);

	do_exec(f->p, &f->run, NULL, "/bin/other");
	NEXT(f->p, PART_MAIN, EXEC);
	do_outcome(f->p, &c, 0);
	assert_memory_equal(NEXT(f->p, PART_OUTCOME, CONNECT)->process->executable->path.data,
			    "/usr/bin/agent", 14);
}

static void counts_what_belongs_to_nothing(void **state)
{
	struct fixture *f = *state;
	struct event_connect never = connect_event(f->p, &f->run, IPPROTO_TCP, 443);

	do_outcome(f->p, &never, 0);
	do_close(f->p, &never);
	no_more(f->p);
	assert_int_equal(f->p->attribute->counts.orphans, 2);
}

/* The kernel gives a number once: what comes under another one's is not recorded, and counted. */
static void counts_a_number_that_is_there(void **state)
{
	struct fixture *f = *state;
	struct event_connect first = do_connect(f->p, &f->run, 443),
			     second = connect_event(f->p, &f->run, IPPROTO_TCP, 80);

	second.connection = first.connection;
	give(f->p, &second);
	assert_int_equal(f->p->attribute->dropped[LOSS_EVENT], 1);
	do_outcome(f->p, &first, 0);
	assert_int_equal(NEXT(f->p, PART_OUTCOME, CONNECT)->connect->reached->port, 443);
	no_more(f->p);
}

/* ---- bounds ---- */

static void forgets_the_oldest_and_counts_it(void **state)
{
	struct fixture *f = *state;
	struct event_connect c[12];
	struct event_connect udp;

	f->p->attribute->config.connections_max = 10;
	udp = do_connected(f, 555, 53);
	skip_all(f->p);
	do_connected(f, 555, 54);
	skip_all(f->p);
	for (int i = 0; i < 12; i++) {
		c[i] = do_connect(f->p, &f->run, 1000 + i);
		assert_true(known(f->p) <= 10);
	}
	assert_int_equal(f->p->attribute->dropped[LOSS_TABLE], 4);
	/* Those that waited are told as they are. */
	for (int i = 0; i < 2; i++) {
		const Affiant__V1__Record *r = NEXT(f->p, PART_MAIN, CONNECT);

		assert_connection(r->connect->connection, &c[i]);
		assert_int_equal(r->connect->outcome, OUT(PENDING));
	}
	no_more(f->p);
	do_outcome(f->p, &c[0], 0);
	do_close(f->p, &udp);
	no_more(f->p);
	assert_int_equal(f->p->attribute->counts.orphans, 2);
	do_outcome(f->p, &c[2], 0);
	assert_connection(NEXT(f->p, PART_OUTCOME, CONNECT)->connect->connection, &c[2]);
}

static void lets_the_first_flow_go_before_the_last(void **state)
{
	struct fixture *f = *state;
	struct event_connect first = do_flow(f->p, &f->run, 555, 53, 0),
			     second = do_connected(f, 555, 54);

	f->p->attribute->config.connections_max = 2;
	skip_all(f->p);
	do_connect(f->p, &f->run, 80); /* the first flow has to go */
	do_refusal(f->p, &second, ECONNREFUSED);
	assert_connection(NEXT(f->p, PART_OUTCOME, CONNECT)->connect->connection, &second);
	do_close(f->p, &first);
	no_more(f->p);
	assert_int_equal(known(f->p), 1);
	assert_null(f->p->attribute->table.sockets);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(tells_a_connection_from_attempt_to_end),
		TEST(tells_failures_once),
		TEST(tells_what_never_left),
		TEST(tells_no_figures_that_were_not_seen),
		TEST(tells_what_is_pending_and_completes_it),
		TEST(knows_that_what_closes_was_established),
		TEST(follows_one_socket_over_several_attempts),
		TEST(tells_what_others_did_to_it),
		TEST(tells_where_the_socket_went),
		TEST(keeps_what_the_socket_confirms),
		TEST(says_what_others_can_have_changed),
		TEST(names_a_socket_in_repair),
		TEST(says_what_it_cannot_follow),
		TEST(tells_flows_of_a_socket),
		TEST(tells_a_refused_datagram_once),
		TEST(tells_a_connect_that_failed),
		TEST(tells_connects_before_what_ends_them),
		TEST(tells_refused_datagrams_of_a_socket),
		TEST(tells_who_sends_over_another_ones),
		TEST(keeps_two_flows_of_a_socket),
		TEST(keeps_a_socket_of_which_a_flow_is_denied),
		TEST(ends_a_socket_whose_first_flow_is_unknown),
		TEST(keeps_sockets_without_a_cookie_apart),
		TEST(names_protocols),
		TEST(tells_unix_sockets),
		TEST(tells_where_a_relative_path_led),
		TEST(names_who_opened_the_socket),
		TEST(tells_who_uses_a_socket_of_the_session),
		TEST(tells_a_foreign_use_of_what_nobody_knows),
		TEST(attributes_to_the_dead),
		TEST(attributes_to_the_image_that_attempted),
		TEST(counts_what_belongs_to_nothing),
		TEST(counts_a_number_that_is_there),
		TEST(forgets_the_oldest_and_counts_it),
		TEST(lets_the_first_flow_go_before_the_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
