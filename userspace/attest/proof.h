/* SPDX-License-Identifier: Apache-2.0 */
/* proof: JWTs that show possession of the key that a credential is bound to. */
#pragma once

#include <openssl/evp.h>
#include <stdint.h>

#include "base/uuid.h"

#define PROOF_TEXT_MAX 8192 /* bytes of each text */

/* DPoP (RFC 9449, section 4.2). NULL: not there. */
struct proof_dpop {
	const char *htm, *htu; /* method; URI, whose query and fragment are left out (4.2) */
	const char *nonce;
	const char *access_token; /* becomes ath */
};

/* WIMSE workload proof token (draft-ietf-wimse-wpt). */
struct proof_wpt {
	const char *aud;
	const char *wit;          /* the workload identity token: becomes wth */
	const char *access_token; /* becomes ath; NULL: not there */
	uint64_t exp;             /* seconds */
};

/*
 * ES256 by @key, a private one on P-256. @jti makes it unique, @iat: seconds. *@ret is to be freed.
 * -EINVAL: a text is missing, too long or no UTF-8; htm is no token of HTTP; htu or aud is no
 * absolute URI.
 */
int proof_dpop(EVP_PKEY *key, const struct proof_dpop *p, const struct uuid *jti, uint64_t iat,
	       char **ret);
int proof_wpt(EVP_PKEY *key, const struct proof_wpt *p, const struct uuid *jti, char **ret);
