/* SPDX-License-Identifier: Apache-2.0 */
/* manifestwalk: the entries of one path of a manifest, found and hashed. See manifest.h. */
#pragma once

#include <stdatomic.h>

#include "collect/manifest.h"

/* Bounds are used up from one path of a manifest to the next. */
struct manifest_budget {
	uint64_t entries;
	uint64_t bytes;
	unsigned int depth;
	uint64_t until_ns; /* CLOCK_MONOTONIC; UINT64_MAX: none */
	const atomic_bool *stop;
	filehash_identify identify; /* see manifests_config */
	void *identify_context;
	struct hostmounts *mounts;
};

struct manifest_list {
	struct manifest_file *files; /* sorted by path */
	size_t count;
	size_t room;
};

/*
 * Walks what @fd is (taken over), with the credentials of the calling thread. Returns OBSERVED, or
 * why there is no list. @ret is to be freed in any case.
 */
enum hash_state manifest_walk(int fd, struct manifest_budget *budget, struct manifest_list *ret);
void manifest_list_free(struct manifest_list *list);

/* The leaf of one entry. 0 or -ENOMEM. */
int manifest_leaf(const struct manifest_file *f, struct sha256 *ret);
