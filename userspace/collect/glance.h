/* SPDX-License-Identifier: Apache-2.0 */
/*
 * glance: one look at what /proc says of a process, out of the event loop. On Linux 6.18 stat, exe,
 * root, cwd, ns, environ and maps wait for an exec that is under way (exec_update_lock), and that
 * for the close of a file which the process may serve itself; status, cmdline, fdinfo, net and
 * mountinfo don't (tried: tests/e2e/test_turns.py).
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "collect/aside.h"

#define GLANCE_NS	   300000ull	/* so long the loop waits in any case, */
#define GLANCE_PATIENCE_NS 500000000ull /* and at most half of this, which a tenth of the time makes up for */

/*
 * Whoever asks waits; for a @key that was waited for in vain within a second no longer than he has to. -ETIMEDOUT, and -EAGAIN where others of @key did not come
 * back yet: the process lives, and is in an exec. @aside NULL: here, however long it takes.
 */

/* A descriptor of @path (O_PATH), or -errno. */
int glance_open(struct aside *aside, uint64_t key, const char *path);

/* What @path holds, at most @size - 1 bytes, with a NUL behind them: how many, or -errno. */
ssize_t glance_read(struct aside *aside, uint64_t key, const char *path, char *text, size_t size);
