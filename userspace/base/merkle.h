/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merkle: hash trees as RFC 6962, section 2.1. Leaves and nodes are hashed with different prefixes,
 * so that neither passes for the other, and no leaf is doubled to fill a level, so that different
 * lists never share a root.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"

/* SHA-256(00 || data), SHA-256(01 || left || right). 0 or -ENOMEM. */
int merkle_leaf(const void *data, size_t len, struct sha256 *ret);
int merkle_node(const struct sha256 *left, const struct sha256 *right, struct sha256 *ret);

/* A path has one hash for each level: enough for any u64 of leaves. */
#define MERKLE_PATH_MAX 64

/*
 * A growing tree, of which only the right edge is kept: one hash for each bit of size. Zero is the
 * empty tree.
 */
struct merkle {
	uint64_t size;
	struct sha256 edge[MERKLE_PATH_MAX]; /* roots of the complete subtrees, the largest first */
};

/* @leaf: by merkle_leaf(). -EOVERFLOW: it has 2^64 - 1 leaves. */
int merkle_append(struct merkle *m, const struct sha256 *leaf);
/* The root; SHA-256 of nothing for the empty tree. */
int merkle_root(const struct merkle *m, struct sha256 *ret);

/*
 * The audit path (2.1.1) of leaf @index among @size leaf hashes, from the leaf upwards: at most
 * MERKLE_PATH_MAX. -EINVAL: no such leaf. Time is linear in @size.
 */
int merkle_path(const struct sha256 *leaves, uint64_t size, uint64_t index,
		struct sha256 ret[static MERKLE_PATH_MAX], unsigned int *ret_len);

/*
 * The root that @path leads to from @leaf at @index of @size leaves: -EBADMSG for a path of another
 * length; -ENOMEM.
 */
int merkle_climb(const struct sha256 *leaf, uint64_t index, uint64_t size,
		 const struct sha256 *path, unsigned int len, struct sha256 *ret);

/*
 * Whether @path shows that @leaf is at @index of the tree of @size leaves with that root. 0: it
 * does; -EBADMSG: it does not (a path of another length included); -ENOMEM.
 */
int merkle_verify(const struct sha256 *leaf, uint64_t index, uint64_t size,
		  const struct sha256 *path, unsigned int len, const struct sha256 *root);
