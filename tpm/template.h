/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template: the endorsement keys of the TCG EK Credential Profile for TPM Family 2.0 (2.5), annex
 * B: low range (L-1, L-2) and high range (H-1, H-2, H-3), and where NV keeps their certificates
 * (2.2.1.4, 2.2.1.5).
 */
#pragma once

#include <tss2/tss2_tpm2_types.h>

#include "tpm/worker.h"

struct ek_template {
	const char *name; /* "L-2" */
	enum tpm_ek kind;
	bool high;
	TPM2_HANDLE certificate;
	/* Low range, 0 otherwise: what replaces 'unique', and the whole template. */
	TPM2_HANDLE nonce, custom;
	TPMI_ALG_HASH name_alg;
};

/* All, in the order of preference: TPM_EK_AUTO takes the first that has a certificate. */
extern const struct ek_template templates[];
extern const size_t templates_count;

/* The public area to make the key from; @nonce (@len bytes, 0: none) is what NV holds for it. */
void template_public(const struct ek_template *t, const void *nonce, size_t len, TPM2B_PUBLIC *ret);

/*
 * The two policies that PolicyOR has in the high range: PolicySecret(endorsement), which we
 * satisfy, and PolicyAuthorizeNV (profile, B.6.3).
 */
void template_policies(TPMI_ALG_HASH name_alg, TPML_DIGEST *ret);

/* ECC P-256, ECDSA with SHA-256, restricted: signs only what the TPM made itself. */
void template_attestation_key(TPM2B_PUBLIC *ret);
