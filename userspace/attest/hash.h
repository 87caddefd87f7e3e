/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash: the digest algorithms of PCR banks, by their TPM_ALG_ID (TPM 2.0 Part 2, 6.3). SHA-1 is
 * among them: banks of it exist, and logs.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "attest/tpm2.h"
#include "base/reader.h"

/* Writes tpm2_digest_size(@alg) bytes. -EINVAL: no such algorithm here (tpm2_digest()). */
int hash_of(uint16_t alg, const void *data, size_t len, uint8_t *ret);

/*
 * For many small inputs: looked up once. The creator frees it; NULL is fine. Not for two threads at
 * a time.
 */
struct hash;
int hash_new(uint16_t alg, struct hash **ret);
/* Over the parts, one behind the other. */
int hash_parts(struct hash *h, const struct reader *parts, size_t count, uint8_t *ret);
void hash_free(struct hash *h);
