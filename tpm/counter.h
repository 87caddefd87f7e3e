/* SPDX-License-Identifier: Apache-2.0 */
/* counter: the ledger's NV counter, which only ever goes up, and the TPM's word on it. */
#pragma once

#include "tpm/attestation.h"

#define COUNTER_INDEX 0x01800af1u

/*
 * TPM2_NV_Certify with @qualifying, after TPM2_NV_Increment if @increment. A counter that is not
 * there is defined, and incremented once, since one that was never written has no value: it then
 * begins above all counters that this TPM ever had. Its authorisation is kept in @dir. *ret_moved
 * is always set: an increment was sent, so it may have happened. -EIO also for an index that is not
 * ours.
 */
int counter_certify(struct context *c, const struct endorsement *e, const struct attestation *a,
		    int dir, bool increment, const uint8_t qualifying[static 32], bool *ret_moved,
		    uint64_t *ret, struct tpm_quoted *ret_certified);
