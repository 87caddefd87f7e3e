/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credential: TPM2_MakeCredential without a TPM (TPM 2.0 Library, Part 1, section 24). What it
 * wraps can be had only from the TPM that has the EK, and only while that TPM has the object of
 * that name loaded: this, and not two certificate chains, shows that EK and AK live in one TPM.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "attest/tpm2.h"

#define CREDENTIAL_SECRET_MAX 32 /* fits the digest of every name algorithm that an EK may have */
#define CREDENTIAL_ID_MAX 256    /* TPM2B_ID_OBJECT */
#define CREDENTIAL_ENCRYPTED_MAX 514 /* TPM2B_ENCRYPTED_SECRET: RSA 4096 */

struct credential {
	uint8_t id_object[CREDENTIAL_ID_MAX];
	size_t id_object_len;
	uint8_t encrypted[CREDENTIAL_ENCRYPTED_MAX];
	size_t encrypted_len;
};

/*
 * @ek: RSA of 2048 bits or more, or ECC P-256 or P-384, with AES-128 or AES-256 in CFB mode, named
 * with SHA-256, SHA-384 or SHA-512: else -EINVAL. @name: of the object. @secret: 1 to
 * CREDENTIAL_SECRET_MAX bytes.
 */
int credential_make(const struct tpm2_public *ek, const struct tpm2_bytes *name, const void *secret,
		    size_t len, struct credential *ret);
