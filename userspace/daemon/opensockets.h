/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opensockets: the connections that a process had before anybody looked, out of /proc: what the
 * record of a session that begins late says of the time before.
 */
#pragma once

#include <sys/types.h>

#include "affiant/v1/record.pb-c.h"

#define OPENSOCKETS_MAX 256

/*
 * Appends the outbound connections of @tgid to @m, up to OPENSOCKETS_MAX in all: TCP that is not
 * listening, UDP that is connected. A process that is gone adds nothing. 0 or -ENOMEM.
 */
int opensockets_add(pid_t tgid, Affiant__V1__SessionStarted *m);
