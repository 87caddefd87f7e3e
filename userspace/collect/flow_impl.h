/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_impl: what records about sockets are made of, for flow.c, listen.c and fold_events.c.
 * Messages borrow from events.
 */
#pragma once

#include "collect/attribute.h"

Affiant__V1__Protocol protocol_of(uint16_t family, uint16_t type, uint16_t protocol);

/* NULL for an absent address. */
Affiant__V1__Endpoint *endpoint_of(const struct event_address *from, Affiant__V1__Endpoint *to);

/*
 * The session of a socket's opener, by now: later the key may be that of another one. NULL: none
 * that is known, or the actor made the socket itself. @flags: CONNECT_OPENER.
 */
struct session *session_of_socket(struct attribute *a, const struct actor *actor, uint16_t flags,
				  const struct event_actor *opener);

struct opener_parts {
	Affiant__V1__Opener opener;
	Affiant__V1__ProcessId id;
};

/* NULL: the actor itself. @s: from session_of_socket(). */
Affiant__V1__Opener *opener_of(const struct actor *actor, uint16_t flags,
			       const struct event_actor *opener, const struct session *s,
			       struct opener_parts *to);
