/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/attribute.h"

#include "base/pb.h"
#include "collect/decode.h"
#include "collect/loss.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <utlist.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static Affiant__V1__Protocol protocol_of(uint16_t family, uint16_t type, uint16_t protocol)
{
	if (family == AF_UNIX)
		return AFFIANT__V1__PROTOCOL__PROTOCOL_UNIX;
	if (type == SOCK_RAW)
		return AFFIANT__V1__PROTOCOL__PROTOCOL_RAW;
	switch (protocol) {
	case IPPROTO_TCP:
		return AFFIANT__V1__PROTOCOL__PROTOCOL_TCP;
	case IPPROTO_UDP:
		return AFFIANT__V1__PROTOCOL__PROTOCOL_UDP;
	case IPPROTO_UDPLITE:
		return AFFIANT__V1__PROTOCOL__PROTOCOL_UDPLITE;
	case IPPROTO_ICMP:
		return AFFIANT__V1__PROTOCOL__PROTOCOL_ICMP;
	case IPPROTO_ICMPV6:
		return AFFIANT__V1__PROTOCOL__PROTOCOL_ICMPV6;
	case IPPROTO_SCTP:
		return AFFIANT__V1__PROTOCOL__PROTOCOL_SCTP;
	case IPPROTO_MPTCP:
		return AFFIANT__V1__PROTOCOL__PROTOCOL_MPTCP;
	default:
		return AFFIANT__V1__PROTOCOL__PROTOCOL_OTHER;
	}
}

/* NULL for an absent address. Borrows the event's bytes. */
static Affiant__V1__Endpoint *endpoint_of(const struct event_address *from, Affiant__V1__Endpoint *to)
{
	if (from->family != AF_INET && from->family != AF_INET6)
		return NULL;
	affiant__v1__endpoint__init(to);
	SET(to, address,
	    pb_bytes(from->bytes, from->family == AF_INET ? 4 : 16));
	SET(to, port, from->port);
	if (from->scope_id)
		SET(to, scope_id, from->scope_id);
	return to;
}

static Affiant__V1__Outcome outcome_of_errno(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return AFFIANT__V1__OUTCOME__REFUSED;
	case ETIMEDOUT:
		return AFFIANT__V1__OUTCOME__TIMED_OUT;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
	case ENETDOWN:
	case ENONET:
	case ENOPROTOOPT:	/* ICMP protocol unreachable (net/ipv4/icmp.c, icmp_err_convert) */
	case EOPNOTSUPP:
		return AFFIANT__V1__OUTCOME__UNREACHABLE;
	case ECONNRESET:
	case EPIPE:
		return AFFIANT__V1__OUTCOME__RESET;
	default:
		return AFFIANT__V1__OUTCOME__ABORTED;
	}
}

Affiant__V1__Outcome outcome_of(const struct event_outcome *e, int32_t *ret_errno)
{
	*ret_errno = 0;
	if (e->to == TCP_ESTABLISHED || e->to == TCP_SYN_RECV)
		return AFFIANT__V1__OUTCOME__ESTABLISHED;
	/* No TCP state was ever seen: nothing left, and no hook knows the errno. */
	if (e->flags & (OUTCOME_RELEASE | OUTCOME_REUSED) && !e->to && !e->from)
		return AFFIANT__V1__OUTCOME__NOT_SENT;
	/* Closed by the program: a soft error that was pending is not why. */
	if (!e->error)
		return AFFIANT__V1__OUTCOME__ABORTED;
	*ret_errno = e->error;
	return outcome_of_errno(e->error);
}

/* What a record needs besides the body, on the stack of who tells. */
struct connect_parts {
	Affiant__V1__Record record;
	Affiant__V1__Connect body;
	Affiant__V1__ConnectionId id;
	Affiant__V1__Endpoint asked, reached, local;
	Affiant__V1__Opener opener;
	Affiant__V1__ProcessId opener_id;
};

static void set_id(Affiant__V1__ConnectionId *id, uint64_t cookie, uint64_t number)
{
	affiant__v1__connection_id__init(id);
	if (cookie)
		SET(id, cookie, cookie);
	SET(id, number, number);
}

static void set_opener(struct attribute *a, struct connect_parts *p, const struct actor *actor, uint16_t flags,
		       const struct event_actor *opener)
{
	struct session *s;

	if (flags & CONNECT_OPENER && opener->tgid == actor->key.tgid &&
	    opener->start_boottime == actor->key.start)
		return;
	affiant__v1__opener__init(&p->opener);
	p->body.opener = &p->opener;
	if (!(flags & CONNECT_OPENER)) {
		SET(&p->opener, unknown, true);
		return;
	}
	affiant__v1__process_id__init(&p->opener_id);
	SET(&p->opener_id, tgid, opener->tgid);
	SET(&p->opener_id, start_boottime_ns, opener->start_boottime);
	SET(&p->opener_id, exec_seq, opener->exec_seq);
	p->opener.process = &p->opener_id;
	s = session_find(&a->table, opener->session);
	if (s)
		SET(&p->opener, session, pb_bytes(s->id.bytes, UUID_SIZE));
}

static void set_unix(struct attribute *a, struct connect_parts *p, const struct connection *c)
{
	const struct event_unix *e = &c->attempt.un;

	SET(&p->body, protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_UNIX);
	affiant__v1__endpoint__init(&p->reached);
	SET(&p->reached, path, pb_bytes(e->path, e->path_len));
	p->body.reached = &p->reached;
	SET(&p->body, uid, e->uid);
	SET(&p->body, gid, e->gid);
	set_opener(a, p, c->actor, e->flags, &e->opener);
}

static void set_inet(struct attribute *a, struct connect_parts *p, const struct connection *c)
{
	const struct event_connect *e = &c->attempt.inet;

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
	if (e->flags & CONNECT_NO_STORAGE)
		SET(&p->body, outcome_untracked, true);
	set_opener(a, p, c->actor, e->flags, &e->opener);
}

/* @outcome NULL: all that is known is the attempt. */
static int tell_connect(struct attribute *a, struct connection *c, enum part part, uint64_t boottime_ns,
			Affiant__V1__Outcome outcome, const struct event_outcome *e)
{
	struct connect_parts p = { .record = AFFIANT__V1__RECORD__INIT };
	int32_t error = 0;

	affiant__v1__connect__init(&p.body);
	set_id(&p.id, c->cookie, c->number);
	p.body.connection = &p.id;
	if (c->attempt.header.type == EVENT_UNIX)
		set_unix(a, &p, c);
	else
		set_inet(a, &p, c);

	if (e) {
		outcome = outcome_of(e, &error);
		if (endpoint_of(&e->local, &p.local))
			p.body.local = &p.local;
		SET(&p.body, latency_ns, e->latency_ns);
		if (outcome != AFFIANT__V1__OUTCOME__NOT_SENT)
			SET(&p.body, errno_, error);
	}
	if (outcome != AFFIANT__V1__OUTCOME__OUTCOME_UNKNOWN)
		SET(&p.body, outcome, outcome);
	if (part == PART_OUTCOME && c->told == TOLD_PENDING)
		SET(&p.body, completes_pending, true);

	p.record.body_case = AFFIANT__V1__RECORD__BODY_CONNECT;
	p.record.connect = &p.body;
	/* Both parts have the attempt as their source: the ids can be made again after a crash. */
	return tell(a, event_source(&c->attempt.header), part, boottime_ns, &p.record, c->actor, NULL);
}

void flow_overdue(struct attribute *a, struct connection *c)
{
	connection_settle(&a->table, c);
	if (c->told != TOLD_NOTHING)
		return;
	c->told = TOLD_PENDING;
	(void)tell_connect(a, c, PART_MAIN, c->attempt.header.boottime_ns, AFFIANT__V1__OUTCOME__PENDING,
			   NULL);
}

static void make_room(struct attribute *a)
{
	struct connection *oldest = a->table.connections;

	if (HASH_COUNT(a->table.connections) < a->config.connections_max || !oldest)
		return;
	if (oldest->waiting)
		flow_overdue(a, oldest);
	a->dropped[LOSS_TABLE]++;
	connection_remove(&a->table, oldest);
}

/* Told at once, because nothing will come that tells more: PART_OUTCOME, or the attempt of a datagram. */
static int tell_at_once(struct attribute *a, struct connection *c)
{
	const struct event_header *h = &c->attempt.header;
	const uint16_t flags = h->type == EVENT_UNIX ? c->attempt.un.flags : c->attempt.inet.flags;

	if (flags & CONNECT_DENIED)
		return tell_connect(a, c, PART_OUTCOME, h->boottime_ns, AFFIANT__V1__OUTCOME__DENIED, NULL);
	if (h->type == EVENT_CONNECT && c->attempt.inet.protocol == IPPROTO_TCP)
		return tell_connect(a, c, PART_OUTCOME, h->boottime_ns,
				    AFFIANT__V1__OUTCOME__OUTCOME_UNKNOWN, NULL);
	return tell_connect(a, c, PART_MAIN, h->boottime_ns, AFFIANT__V1__OUTCOME__ATTEMPTED, NULL);
}

/* Whether more will be heard of it: its socket has storage, and nobody refused it. */
static bool is_followed(const struct event_header *h)
{
	const struct event_connect *e = (const struct event_connect *)h;

	return h->type == EVENT_CONNECT && !(e->flags & (CONNECT_DENIED | CONNECT_NO_STORAGE));
}

static struct actor *actor_of_attempt(struct attribute *a, const struct event_header *h)
{
	const struct event_connect *e = (const struct event_connect *)h;
	struct event_header opener = *h;

	if (h->type != EVENT_CONNECT || !(e->flags & CONNECT_FOREIGN))
		return attribute_actor(a, h);
	opener.actor = e->opener;
	return attribute_actor(a, &opener);
}

int flow_connect(struct attribute *a, const struct event_header *h)
{
	struct actor *actor = actor_of_attempt(a, h);
	struct connection *c;

	if (!actor)
		return -ENOMEM;
	make_room(a);
	c = connection_new(&a->table, h, actor);
	if (!c)
		return -ENOMEM;
	actor->session->connections++;

	if (is_followed(h) && c->attempt.inet.protocol == IPPROTO_TCP) {
		c->deadline_ns = a->now_ns + a->config.outcome_wait_ns;
		c->waiting = true;
		DL_APPEND(a->table.awaiting, c);
		return 0;
	}
	(void)tell_at_once(a, c);
	c->told = TOLD_OUTCOME;
	if (!is_followed(h))
		connection_remove(&a->table, c);
	return 0;
}

int flow_outcome(struct attribute *a, const struct event_outcome *e)
{
	struct connection *c = connection_find(&a->table, e->connection);
	bool tcp;

	if (!c) {
		a->counts.orphans++;
		return 0;
	}
	tcp = c->attempt.inet.protocol == IPPROTO_TCP;
	if (tcp && c->told == TOLD_OUTCOME)
		return 0;
	connection_settle(&a->table, c);
	(void)tell_connect(a, c, PART_OUTCOME, e->header.boottime_ns, AFFIANT__V1__OUTCOME__OUTCOME_UNKNOWN,
			   e);
	c->told = TOLD_OUTCOME;
	/* Bound by now: its Close tells the same. */
	if (e->local.family)
		c->attempt.inet.local = e->local;
	if (tcp && e->to != TCP_ESTABLISHED)
		connection_remove(&a->table, c);
	return 0;
}

/*
 * By the peer's RST, or by ours: a connection that goes without FIN_WAIT or LAST_ACK was aborted by its own side
 * (SO_LINGER 0, unread data, AF_UNSPEC).
 */
static bool was_reset(const struct event_close *e)
{
	if (e->error)
		return e->error == ECONNRESET || e->error == EPIPE;
	return e->to == TCP_CLOSE && (e->from == TCP_ESTABLISHED || e->from == TCP_CLOSE_WAIT);
}

int flow_close(struct attribute *a, const struct event_close *e)
{
	struct connection *c = connection_find(&a->table, e->connection);
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__Close body = AFFIANT__V1__CLOSE__INIT;
	Affiant__V1__Endpoint remote, local;
	Affiant__V1__ConnectionId id;
	bool tcp;

	if (!c) {
		a->counts.orphans++;
		return 0;
	}
	tcp = c->attempt.inet.protocol == IPPROTO_TCP;
	/* What can be closed had been established, though the event that said so was lost. */
	if (tcp && c->told != TOLD_OUTCOME) {
		connection_settle(&a->table, c);
		(void)tell_connect(a, c, PART_OUTCOME, e->header.boottime_ns,
				   AFFIANT__V1__OUTCOME__ESTABLISHED, NULL);
	}

	set_id(&id, c->cookie, c->number);
	body.connection = &id;
	SET(&body, protocol,
	    protocol_of(c->attempt.inet.reached.family, c->attempt.inet.sock_type, c->attempt.inet.protocol));
	body.remote = endpoint_of(&c->attempt.inet.reached, &remote);
	body.local = endpoint_of(&c->attempt.inet.local, &local);
	SET(&body, duration_ns, e->duration_ns);
	if (tcp) {
		SET(&body, bytes_sent, e->bytes_sent);
		SET(&body, bytes_received, e->bytes_received);
		SET(&body, errno_, e->error);
		SET(&body, reset, was_reset(e));
	}
	if (e->excess)
		SET(&body, excess_datagrams, e->excess);
	r.body_case = AFFIANT__V1__RECORD__BODY_CLOSE;
	r.close = &body;
	(void)tell(a, event_source(&e->header), PART_MAIN, e->header.boottime_ns, &r, c->actor, NULL);
	connection_remove(&a->table, c);
	return 0;
}

int flow_untracked(struct attribute *a, const struct event_untracked *e)
{
	struct actor *actor = attribute_actor(a, &e->header);
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__UntrackedSocket body = AFFIANT__V1__UNTRACKED_SOCKET__INIT;

	if (!actor)
		return -ENOMEM;
	SET(&body, protocol, protocol_of(e->family, e->sock_type, e->protocol));
	SET(&body, family, e->family);
	SET(&body, type, e->sock_type);
	SET(&body, protocol_number, e->protocol);
	if (e->cookie)
		SET(&body, cookie, e->cookie);
	r.body_case = AFFIANT__V1__RECORD__BODY_UNTRACKED_SOCKET;
	r.untracked_socket = &body;
	(void)tell(a, event_source(&e->header), PART_MAIN, e->header.boottime_ns, &r, actor, NULL);
	return 0;
}
