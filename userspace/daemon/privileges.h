/* SPDX-License-Identifier: Apache-2.0 */
/*
 * privileges: what the daemon keeps of root's powers, in two steps, neither of which can be taken
 * back.
 *
 * Capabilities belong to threads, and no thread can take another's: so they go first, while there
 * is one. A seccomp filter can be laid over all threads, and comes when the daemon is up: what
 * starting takes (loading programs, binding the socket) is refused from then on.
 */
#pragma once

#include <stddef.h>

/*
 * First thing in main(): all capabilities but those of the table go, out of the bounding set too;
 * no_new_privs; not dumpable. -EPERM: this process lacks one of the table. -EBUSY: there are
 * threads already.
 */
int privileges_limit(void);

/*
 * After start-up: the filter, for all threads. -EBUSY: a thread holds capabilities beyond the
 * table, so privileges_limit() came too late or not at all.
 */
int privileges_drop(void);

/* Text for status and messages: "CAP_BPF CAP_PERFMON ..." */
void privileges_describe(char *ret, size_t size);
