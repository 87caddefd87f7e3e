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
