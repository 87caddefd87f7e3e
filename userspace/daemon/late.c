/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/late.h"

#include <errno.h>
#include <stdlib.h>

#include "base/pb.h"
#include "collect/aside.h"
#include "daemon/core.h"
#include "daemon/opensockets.h"

/*
 * So long the loop waits for it, and for one process's tables of it: the first record of the session
 * has it. Of the time it is a twentieth at most.
 */
#define LOOK_NS (CORE_SECOND_NS / 20)
#define LOOKS_PAUSE 20

struct looking {
	struct source *source;
	uint64_t session, until_ns;
	Affiant__V1__SessionStarted found;
};

static int look_at_member(pid_t tgid, const struct tag *tag, void *looking)
{
	struct looking *l = looking;
	uint64_t now = core_boottime_ns();

	if (tag->session != l->session || l->found.open_connections_cut)
		return 0;
	if (now >= l->until_ns) {
		SET(&l->found, open_connections_cut, true);
		return 1;
	}
	return opensockets_add(tgid, OPENSOCKETS_ALL, l->until_ns - now, &l->found);
}

static void look_at_members(void *looking)
{
	struct looking *l = looking;

	(void)source_each_tag(l->source, look_at_member, l);
}

static void looking_free(void *looking)
{
	struct looking *l = looking;

	opensockets_clear(&l->found);
	free(l);
}

/* Not in the loop: which processes there are, and what they have open, is theirs to choose. */
static void look_for_sockets(struct core *c, struct session *s)
{
	Affiant__V1__SessionStarted *m = s->head->session_started;
	struct looking *l = calloc(1, sizeof(*l));
	const struct aside_work work = {.key = s->key,
					.wait_ns = 5 * LOOK_NS, /* a busy machine begins late */
					.run = look_at_members,
					.free = looking_free,
					.data = l};
	int err;

	if (l) {
		*l = (struct looking){.source = c->source,
				      .session = s->key,
				      .until_ns = core_boottime_ns() + LOOK_NS};
		affiant__v1__session_started__init(&l->found);
	}
	err = l ? aside_do(c->aside, &work) : -ENOMEM;
	if (err || l->found.open_connections_cut)
		SET(m, open_connections_cut, true);
	if (err == -ETIMEDOUT)
		return;
	if (!err) {
		m->open_connections = l->found.open_connections;
		m->n_open_connections = l->found.n_open_connections;
		free(l);
	} else if (l) {
		looking_free(l);
	}
}

void late_began(void *core, struct session *s, uint32_t tgid)
{
	struct core *c = core;
	uint64_t now = core_boottime_ns();

	(void)tgid;
	if (!s->head->session_started->late)
		return;
	if (c->recovered && now + CORE_SECOND_NS < c->looks_paid_ns) {
		SET(s->head->session_started, open_connections_cut, true);
		return;
	}
	look_for_sockets(c, s);
	c->looks_paid_ns = (c->looks_paid_ns > now ? c->looks_paid_ns : now) +
			   LOOKS_PAUSE * (core_boottime_ns() - now);
}
