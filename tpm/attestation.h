/* SPDX-License-Identifier: Apache-2.0 */
/* attestation: the attestation key, a child of the endorsement key, and what it signs. */
#pragma once

#include "tpm/context.h"
#include "tpm/endorsement.h"
#include "tpm/worker.h"

struct attestation {
	ESYS_TR key;     /* ESYS_TR_NONE: none */
	ESYS_TR session; /* authorises its use, again and again */
	TPM2B_PUBLIC public;
	TPM2B_NAME name;
};

/*
 * Loads the key kept in @dir, or makes one where none is kept, and where the one that is kept is
 * another TPM's (or this one's before it was cleared); then *ret_notice says so, otherwise it is
 * NULL. A file that can't be read or is damaged is an error (-EIO), not a reason for a new key.
 */
int attestation_load(struct context *c, const struct endorsement *e, int dir,
		     struct attestation *ret, const char **ret_notice);

/* Flushes key and session. */
void attestation_close(struct context *c, struct attestation *a);

/* Checks what a command returned, and copies it: without TPM2B's size in front. -EIO. */
int attestation_take(struct context *c, const TPM2B_ATTEST *attest, const TPMT_SIGNATURE *signature,
		     struct tpm_quoted *ret);

/*
 * TPM2_ActivateCredential, the secret encrypted on its way by a session salted with the endorsement
 * key. *ret is to be wiped by the caller. -EBADMSG: the TPM says that it was not made for these
 * keys.
 */
int attestation_activate(struct context *c, const struct endorsement *e,
			 const struct attestation *a, const TPM2B_ID_OBJECT *credential,
			 const TPM2B_ENCRYPTED_SECRET *secret, TPM2B_DIGEST *ret);
