/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image: what an exec event says of a process becomes the Process message of its records. It stays
 * a draft until its digests are there, then it is serialised once and shared.
 */
#pragma once

#include "collect/filehash.h"
#include "collect/table.h"

#include "event.h"

struct cgroup_names;

struct image_context {
	struct cgroup_names *cgroups; /* NULL: only ids */
	size_t argv_max;              /* bytes of argv that a record keeps */
};

/* A draft without digests: EVENT_EXEC or EVENT_ADOPT. NULL: no memory. */
struct image *image_from_exec(struct table *t, const struct event_exec *e,
			      const struct image_context *c);

/* For a process whose exec was lost: all it says is that nothing is known. Not a draft. */
struct image *image_unknown(struct table *t);

/* Adds a step to the draft, its digest awaited; returns its slot, or -ENOSPC. @path: @len bytes. */
int image_add_step(struct image *i, Affiant__V1__StepKind kind, const char *path, size_t len,
		   bool by_argv);

/* Slot of the executable's digest. */
#define IMAGE_EXE 0

/* Enters a digest; a slot that has one keeps it. */
void image_set_digest(struct image *i, unsigned int slot, const struct file_digest *d);

/*
 * Serialises: what is still awaited becomes TOO_LATE, and the session gets its programs. The draft
 * is gone afterwards; without memory nothing is left of it.
 */
void image_finish(struct image *i);
