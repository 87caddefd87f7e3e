/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pcr: a bank of PCR values, as logs give them or as somebody states them. Plain: copied and
 * compared freely.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest/tpm2.h"

/*
 * Anybody may reset these, whenever they like (PC Client Platform TPM Profile, 4.6): nothing rests
 * on them.
 */
#define PCR_RESETTABLE (1u << 16 | 1u << 23)

struct pcr_bank {
	uint16_t alg;
	size_t size;       /* of a value, bytes */
	uint32_t extended; /* bit n: PCR n, since pcr_bank_init() */
	uint8_t values[TPM2_PCRS][TPM2_DIGEST_MAX];
};

/*
 * Values after a reset (PC Client Platform TPM Profile, 4.6): zeros; all ones in PCRs 17–22, which
 * only a dynamic launch changes. -EINVAL: no bank that we can calculate.
 */
int pcr_bank_init(struct pcr_bank *b, uint16_t alg);

/* Where PCR 0 starts when TPM2_Startup came from that locality (TPM 2.0 Part 3, 9.3). */
void pcr_bank_set_locality(struct pcr_bank *b, uint8_t locality);

/* value = H(value ‖ digest); @digest of b->size bytes. -EINVAL: no such PCR. */
int pcr_extend(struct pcr_bank *b, uint32_t pcr, const uint8_t *digest);

/*
 * Whether PCR @pcr holds what a reset leaves there, whatever led to it. A PCR 0 at a locality's
 * value counts as initial.
 */
bool pcr_is_initial(const struct pcr_bank *b, uint32_t pcr);

/*
 * pcrDigest of TPMS_QUOTE_INFO (Part 3, 18.4): @hash, which is the signing scheme's, over the
 * values of the selections in their order, in each the PCRs ascending. -ENOENT: a bank that is
 * selected is not among @banks; -EINVAL: @hash.
 */
int pcr_digest(const struct pcr_bank *banks, size_t banks_count,
	       const struct tpm2_selection *selections, size_t selections_count, uint16_t hash,
	       struct tpm2_bytes *ret);
