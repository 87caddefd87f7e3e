/* SPDX-License-Identifier: Apache-2.0 */
/* batch: many claims sets under one quote (docs/evidence.md, "Binding"). */
#pragma once

#include "base/merkle.h"

#define BATCH_MAX 4096 /* leaves */

/* What a quote or a certification was made for: the one is never taken for the other. */
enum batch_domain { BATCH_EVIDENCE, BATCH_LEDGER };

/* SHA-256(00 || domain || 00 || data). */
int batch_leaf(enum batch_domain domain, const void *data, size_t len, struct sha256 *ret);
/* What the TPM signs as extraData: SHA-256(domain || 00 || size || root). */
int batch_extra(enum batch_domain domain, uint64_t size, const struct sha256 *root,
		struct sha256 *ret);

#define BATCH_LEVELS_MAX 12 /* of BATCH_MAX leaves */
#define BATCH_PATH_SIZE_MAX (16 + BATCH_LEVELS_MAX * SHA256_SIZE)

/* A whole tree, so that each of its paths costs a look-up. */
struct batch;

/* Over 1 to BATCH_MAX leaves, which are copied: -EINVAL for another number, -ENOMEM. */
int batch_new(const struct sha256 *leaves, size_t count, struct batch **ret);
void batch_free(struct batch *b);
const struct sha256 *batch_root(const struct batch *b);

/*
 * Where leaf @index stands, as evidence carries it: index, size, audit path from the leaf upwards.
 * Returns its bytes.
 */
size_t batch_path(const struct batch *b, uint64_t index, uint8_t ret[static BATCH_PATH_SIZE_MAX]);

/*
 * Whether @extra (@extra_len bytes) is what a TPM signs for a batch in which @leaf stands as @path
 * (@len bytes) says. 0: it is. -EBADMSG: a malformed path, or one of more than BATCH_MAX leaves.
 * -EKEYREJECTED: of another batch or leaf.
 */
int batch_check(enum batch_domain domain, const struct sha256 *leaf, const void *path, size_t len,
		const void *extra, size_t extra_len);
