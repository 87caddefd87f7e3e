/* SPDX-License-Identifier: Apache-2.0 */
/* quote: TPM2_Quote, with the PCR values that give its digest. */
#pragma once

#include "tpm/attestation.h"

/* Values as they were read last; zero-initialised: never. */
struct pcrs {
	uint32_t selected;
	bool known;
	uint8_t values[TPM_PCRS][TPM_PCR_SIZE];
};

/*
 * Reads all of p->selected: not at one instant. -EIO when the TPM has no SHA-256 bank with all of
 * them.
 */
int pcrs_read(struct context *c, struct pcrs *p);

/*
 * One command when no PCR moved since the last time. -ESTALE: they move faster than they can be
 * read.
 */
int quote_make(struct context *c, const struct attestation *a, const uint8_t qualifying[static 32],
	       struct pcrs *p, struct tpm_quoted *ret);
