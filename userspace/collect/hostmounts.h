/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostmounts: the filesystems from which the host takes setuid programs: those that are mounted
 * without "nosuid" in the mount namespace of process 1. Whoever could change a file there could be
 * root, so that what the host trusts already is all that is trusted here. Not one that is mounted
 * idmapped anywhere: through that mount another user writes to root's files (tried: pages pinned by
 * it, the program executed by root's own path).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct hostmounts;

/* -errno of /proc/1/mountinfo, or -ENOMEM. */
int hostmounts_new(struct hostmounts **ret);
void hostmounts_free(struct hostmounts *m);

/*
 * @device: the kernel's s_dev, as in struct object_id. What is mounted now counts: the kernel tells
 * when that changed, and it is read again.
 */
bool hostmounts_trust(struct hostmounts *m, uint32_t device);
