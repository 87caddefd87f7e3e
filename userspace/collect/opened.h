/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opened: what a descriptor that fanotify handed over is: which object, and by which names. For
 * chain.
 */
#pragma once

#include "collect/chain.h"

/* It is that inode, in whatever state: filehash tells whether its bytes are those that ran. */
bool opened_is_object(const struct chain_config *config, int fd, const struct object_id *id);

/* By /proc/self/fd; NULL: unknown. Freed by the caller. */
char *opened_path(int fd);

/*
 * @name, as the process of @exec sees it, leads to that file. Does not wait for a filesystem: false
 * when the kernel does not have it in memory.
 */
bool opened_is_named(const struct chain_config *config, int fd, const struct event_exec *exec,
		     const char *name);
