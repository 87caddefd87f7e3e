/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostmounts: the filesystems that one with privilege here has mounted, and among them those from
 * which the host takes setuid programs: mounted without "nosuid" in the mount namespace of process
 * 1. Whoever could change a file there could be root, so that what the host trusts already is all
 * that is trusted here. Not one that is mounted idmapped anywhere: through that mount another user
 * writes to root's files (tried: pages pinned by it, the program executed by root's own path).
 *
 * A thread reads the lists, once for each change that the kernel tells of, but never all the time:
 * fusermount lets any user make them longer, and change them a thousand times a second. What is
 * asked here costs the same however long they are.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct hostmounts;

/* Reads them for the first time. -errno of /proc/1/mountinfo or of the thread, or -ENOMEM. */
int hostmounts_new(struct hostmounts **ret);
/* Others that use it, in other threads. Each has to be given back by hostmounts_unref(). */
struct hostmounts *hostmounts_ref(struct hostmounts *m);
void hostmounts_unref(struct hostmounts *m);
/* Ends the thread. False: it did not come back. */
bool hostmounts_stop(struct hostmounts *m);
/*
 * Stops it, and gives back what hostmounts_new() gave; without effect on one that can't be stopped.
 */
void hostmounts_free(struct hostmounts *m);

/*
 * CLOCK_BOOTTIME: what the following say was so at that time. Now, unless something was mounted or
 * unmounted since the lists were read.
 */
uint64_t hostmounts_known_ns(struct hostmounts *m);

/*
 * Waits, for @wait_ns at most, until what is known was so at @since_ns or later. False: it isn't.
 */
bool hostmounts_wait(struct hostmounts *m, uint64_t since_ns, uint64_t wait_ns);

/* @device: the kernel's s_dev, as in struct object_id. */
bool hostmounts_trust(struct hostmounts *m, uint32_t device);

/*
 * It is mounted in the namespace of process 1 or in our own: then one with privilege here did that.
 * What is not can be the doing of anybody, in a user namespace of his own.
 */
bool hostmounts_have(struct hostmounts *m, uint32_t device);

/* Likewise, and not by FUSE, of which any user's fusermount makes mounts of the host's. */
bool hostmounts_have_own(struct hostmounts *m, uint32_t device);
