/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ear: a result for those who never see evidence: an EAT attestation result (draft-ietf-rats-ear-04), a JWT that the
 * verifier signs. The trustworthiness claims are AR4SI's (draft-ietf-rats-ar4si).
 */
#pragma once

#include "attest/verify.h"

/* Names differ between the draft and what deployed verifiers write. */
enum ear_profile {
	EAR_IETF,     /* tag:ietf.org,2026:rats/ear#04: ear_status */
	EAR_VERAISON, /* tag:github.com,2023:veraison/ear: ear.status */
};

struct ear_options {
	enum ear_profile profile;
	const char *developer, *build; /* who judged: ear_verifier_id */
	const uint8_t *policy;         /* its digest, 32 bytes */
	const char *nonce;             /* of the evidence */
	int64_t now;                   /* seconds */
};

/*
 * Submodules "host" and "agent", each with a status no better than the worst of its claims: what was not reached is
 * "none". The agent's claims (sub, cnf, ...) are in it only when it was affirmed. -ENOMEM.
 */
int ear_claims(const struct verify_result *r, const struct ear_options *o, json_t **ret);

/* The JWT by @key, which is private, on P-256; to be freed. -EINVAL: another key. */
int ear_sign(const struct verify_result *r, const struct ear_options *o, EVP_PKEY *key, char **ret);
