/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opensockets: the connections that a process had before anybody looked, or that it was given, out
 * of /proc: what the record of a session's beginning says of the time before.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "affiant/v1/record.pb-c.h"

#define OPENSOCKETS_MAX 256

enum opensockets_which {
	OPENSOCKETS_ALL,
	OPENSOCKETS_KEPT, /* by an exec: those that are not close-on-exec */
};

/*
 * Appends the sockets of @tgid to @m, up to OPENSOCKETS_MAX in all: TCP that listens or is
 * connected, UDP that is connected, and, whatever they do, raw, ping and packet sockets, whose
 * packets nobody sees. Of more, or of what could not be read in @look_ns, open_connections_cut says
 * so. A process that is gone adds nothing. 0 or -ENOMEM.
 *
 * It reads as much as the process and its network namespace have, and can wait for an exec of it:
 * not in the event loop.
 */
int opensockets_add(pid_t tgid, enum opensockets_which which, uint64_t look_ns,
		    Affiant__V1__SessionStarted *m);

/* Takes the last ones off, until @m is no larger than @max, if it can be. */
void opensockets_cut(Affiant__V1__SessionStarted *m, size_t max);
/* Takes off all. */
void opensockets_clear(Affiant__V1__SessionStarted *m);
