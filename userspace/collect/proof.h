/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proof: whether a digest is of what was executed. It is when nobody but root could have changed
 * the bytes between the exec and the end of the hash: a process can let go of its own executable
 * and write to it, and pages pinned before the exec are stored to after it, without a trace (both
 * tried). So nothing counts but who can write to the file, which filesystem it lies on, that it
 * stood still, and that the session had no root's power (power.h).
 */
#pragma once

#include <sys/types.h>

#include "collect/filehash.h"

struct hostmounts;
struct proof;

struct proof_config {
	const uid_t *owners; /* whose files count as root's do; borrowed */
	size_t owners_count;
	/* Learns where overlayfs keeps its lower files; false: it can't. NULL: there is no use. */
	bool (*learn_overlay)(void *data);
	void *data;
};

/* -errno: process 1's mounts can't be read; -ENOMEM. */
int proof_new(const struct proof_config *config, struct proof **ret);
void proof_free(struct proof *p);
/* Ends the thread that it has. False: it did not come back; then nothing is to be freed. */
bool proof_stop(struct proof *p);
/* Borrowed. */
struct hostmounts *proof_mounts(const struct proof *p);

/*
 * CLOCK_BOOTTIME: all that is judged is judged by what was mounted then, or later. To judge what
 * came to be known after it is to wait until that is behind it.
 */
uint64_t proof_known_ns(const struct proof *p);

/* Whether the files of that user count: root's do. */
bool proof_owner_counts(const struct proof *p, uid_t owner);

/*
 * Whether root alone can write to that file: PROVEN, or the first reason why not. Asks no
 * filesystem.
 */
enum unproven proof_guard(struct proof *p, const struct object_facts *file);

/*
 * What @d proves of an exec at @exec_ns (CLOCK_BOOTTIME): PROVEN, or why not. @executed: what the
 * kernel saw at the exec; NULL: nothing was seen then (an ELF loader), so that all must have been
 * as it is now.
 */
enum unproven proof_judge(struct proof *p, const struct object_facts *executed, uint64_t exec_ns,
			  const struct file_digest *d);

/* Whether @d, of a file that the kernel opened at @exec_ns, was changed later. */
bool proof_changed_since(struct proof *p, uint64_t exec_ns, const struct file_digest *d);
