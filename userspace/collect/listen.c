/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets that listen, and those whose packets no hook sees. */
#include <errno.h>

#include "base/pb.h"
#include "collect/decode.h"
#include "collect/flow_impl.h"

int flow_listen(struct attribute *a, const struct event_listen *e)
{
	const uint16_t flags = e->opener.session ? CONNECT_OPENER : 0;
	Affiant__V1__Listening body = AFFIANT__V1__LISTENING__INIT;
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	struct actor *actor = attribute_actor(a, &e->header);
	Affiant__V1__Endpoint local;
	struct opener_parts opener;

	if (!actor)
		return -ENOMEM;
	if (fold_listen(a, actor, e))
		return 0;
	SET(&body, protocol, protocol_of(e->local.family, e->sock_type, e->protocol));
	body.local = endpoint_of(&e->local, &local);
	/* Not bound, and the kernel could not tell what it got. */
	if (body.local && !e->local.port)
		body.local->has_port = false;
	if (e->cookie)
		SET(&body, cookie, e->cookie);
	body.opener = opener_of(actor, flags, &e->opener,
				session_of_socket(a, actor, flags, &e->opener), &opener);
	SET(&body, uid, e->uid);
	SET(&body, gid, e->gid);
	r.body_case = AFFIANT__V1__RECORD__BODY_LISTENING;
	r.listening = &body;
	(void)tell(a, event_source(&e->header), PART_MAIN, e->header.boottime_ns, &r, actor, NULL);
	return 0;
}

int flow_untracked(struct attribute *a, const struct event_untracked *e)
{
	struct actor *actor = attribute_actor(a, &e->header);
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__UntrackedSocket body = AFFIANT__V1__UNTRACKED_SOCKET__INIT;

	if (!actor)
		return -ENOMEM;
	if (fold_untracked(a, actor, e))
		return 0;
	SET(&body, protocol, protocol_of(e->family, e->sock_type, e->protocol));
	SET(&body, family, e->family);
	SET(&body, type, e->sock_type);
	SET(&body, protocol_number, e->protocol);
	if (e->cookie)
		SET(&body, cookie, e->cookie);
	if (e->flags & CONNECT_DENIED)
		SET(&body, denied, true);
	if (e->flags & CONNECT_BEHIND)
		SET(&body, denied_unsure, true);
	r.body_case = AFFIANT__V1__RECORD__BODY_UNTRACKED_SOCKET;
	r.untracked_socket = &body;
	(void)tell(a, event_source(&e->header), PART_MAIN, e->header.boottime_ns, &r, actor, NULL);
	return 0;
}
