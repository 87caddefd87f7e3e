/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/flow_impl.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/pb.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

Affiant__V1__Protocol protocol_of(uint16_t family, uint16_t type, uint16_t protocol)
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

Affiant__V1__Endpoint *endpoint_of(const struct event_address *from, Affiant__V1__Endpoint *to)
{
	if (from->family != AF_INET && from->family != AF_INET6)
		return NULL;
	affiant__v1__endpoint__init(to);
	SET(to, address, pb_bytes(from->bytes, from->family == AF_INET ? 4 : 16));
	SET(to, port, from->port);
	if (from->scope_id)
		SET(to, scope_id, from->scope_id);
	return to;
}

/* The one who acts is no other than the one who made the socket. */
static bool is_own(const struct actor *actor, uint16_t flags, const struct event_actor *opener)
{
	return flags & CONNECT_OPENER && opener->tgid == actor->key.tgid &&
	       opener->start_boottime == actor->key.start;
}

struct session *session_of_socket(struct attribute *a, const struct actor *actor, uint16_t flags,
				  const struct event_actor *opener)
{
	if (!(flags & CONNECT_OPENER) || is_own(actor, flags, opener))
		return NULL;
	return session_find_any(&a->table, opener->session);
}

Affiant__V1__Opener *opener_of(const struct actor *actor, uint16_t flags,
			       const struct event_actor *opener, const struct session *s,
			       struct opener_parts *to)
{
	if (is_own(actor, flags, opener))
		return NULL;
	affiant__v1__opener__init(&to->opener);
	if (!(flags & CONNECT_OPENER)) {
		SET(&to->opener, unknown, true);
		return &to->opener;
	}
	affiant__v1__process_id__init(&to->id);
	SET(&to->id, tgid, opener->tgid);
	SET(&to->id, start_boottime_ns, opener->start_boottime);
	SET(&to->id, exec_seq, opener->exec_seq);
	to->opener.process = &to->id;
	if (s)
		SET(&to->opener, session, pb_bytes(s->id.bytes, UUID_SIZE));
	return &to->opener;
}
