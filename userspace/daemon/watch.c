/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fanotify is to see: the filesystems of sessions, and those of the host for what a selector
 * may take.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/core.h"

/* What is not watched is said once. A process that is gone executes nothing more. */
static void say_unwatched(struct core *c, int err)
{
	switch (err) {
	case 0:
	case -ESRCH:
	case -E2BIG: /* limits, which are told of */
	case -ENOSPC:
	case -EMFILE:
	case -ENOMEM:
	case -EAGAIN:
	case -ETIMEDOUT:
		return;
	}
	if (c->unwatched)
		return;
	log_warning("fanotify: a filesystem is not watched (%s): scripts and loaders there are "
		    "recorded without digests",
		    strerror(-err));
	c->unwatched = true;
}

void core_watched(void *core, uint64_t token, int err)
{
	struct core *c = core;

	say_unwatched(c, err);
	if (token)
		opening_watched(c, token);
}

bool core_watch(struct core *c, pid_t tgid, uint32_t ns, uint64_t key, uint64_t token)
{
	int err = c->chain ? chain_watch(c->chain, tgid, ns, key, token) : 0;

	if (err != -EBUSY) /* it is its own doing, and nothing is claimed of what it executes */
		say_unwatched(c, err);
	return c->chain && !err;
}

static int is_any(pid_t tgid, const struct tag *tag, void *data)
{
	(void)tgid, (void)tag, (void)data;
	return 1;
}

void core_watch_host(struct core *c)
{
	core_watch(c, 1, 0, 0, 0);
	/* Process 1 may be out of reach, of which our own namespace was made. */
	core_watch(c, getpid(), 0, 0, 0);
}

/*
 * For what a selector takes, whose first exec is seen only with a mark that was there before, and
 * for sessions that outlived another run of this program. Those are not asked for their own
 * namespaces: while one executes something, and hangs in the close of a file that it serves itself,
 * whoever looks at its /proc/PID/ns waits (tried).
 */
void core_watch_from_start(struct core *c)
{
	if (c->config->selectors_count || source_each_tag(c->source, is_any, NULL) == 1)
		core_watch_host(c);
}

void core_entered(void *core, const struct event_exec *e)
{
	core_watch(core, e->header.actor.tgid, e->ns[NS_MNT], e->header.actor.session, 0);
}
