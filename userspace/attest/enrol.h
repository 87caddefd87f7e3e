/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enrol: the files by which an attestation key gets its certificate (docs/evidence.md,
 * "Enrolment"), and what a verifier checks of them. Two valid certificates would not show that EK
 * and AK live in one TPM: that the TPM opens the credential does.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "attest/certificate.h"
#include "attest/claims.h"
#include "attest/credential.h"
#include "attest/tpm2.h"

#define ENROL_FILE_MAX 131072 /* bytes of any of them */
#define ENROL_DEPTH_MAX 3     /* of their JSON: for jose_json() */
#define ENROL_PUBLIC_MAX 1024 /* bytes of a TPMT_PUBLIC */
#define ENROL_KEY_SIZE 32

struct enrol_blob {
	uint8_t *data; /* owned */
	size_t len;
};

struct enrol_request {
	uint8_t host_id[16];
	struct enrol_blob ek_public, ak_public;            /* TPMT_PUBLIC */
	struct enrol_blob ek_chain[CERTIFICATE_CHAIN_MAX]; /* DER, the EK's own first */
	size_t ek_chain_count;                             /* 0: the TPM has none */
};

struct enrol_challenge {
	struct tpm2_bytes ak_name;
	struct credential credential;
};

/* What the verifier keeps until the answer comes: 0600, used once. */
struct enrol_pending {
	struct enrol_request request;
	uint8_t key[ENROL_KEY_SIZE]; /* what the credential holds */
	uint64_t expires;            /* seconds */
};

struct enrol_answer {
	struct tpm2_bytes ak_name;
	uint8_t proof[32];
};

void enrol_request_clear(struct enrol_request *r);
void enrol_pending_clear(struct enrol_pending *p);

/* NULL: no memory. */
json_t *enrol_request_json(const struct enrol_request *r);
json_t *enrol_challenge_json(const struct enrol_challenge *c);
json_t *enrol_pending_json(const struct enrol_pending *p);
json_t *enrol_answer_json(const struct enrol_answer *a);

/*
 * -EBADMSG: *@ret_why (static) is the member that is missing or malformed. Members that are not
 * known are passed over.
 */
int enrol_request_parse(const json_t *o, struct enrol_request *ret, const char **ret_why);
int enrol_challenge_parse(const json_t *o, struct enrol_challenge *ret, const char **ret_why);
int enrol_pending_parse(const json_t *o, struct enrol_pending *ret, const char **ret_why);
int enrol_answer_parse(const json_t *o, struct enrol_answer *ret, const char **ret_why);

/* HMAC-SHA-256(key, "affiant/enrol/v1" || 00 || ak_name) */
int enrol_proof(const uint8_t key[static ENROL_KEY_SIZE], const struct tpm2_bytes *ak_name,
		uint8_t ret[static 32]);

/*
 * An attestation key: restricted, signing and not decrypting, made in its TPM and never outside
 * (fixedTPM, fixedParent, sensitiveDataOrigin), with a fixed scheme and a hash of the SHA-2 family;
 * RSA of 2048 bits or more, P-256 or P-384. 0, or -EBADMSG and why not.
 */
int enrol_check_ak(const struct tpm2_public *ak, const char **ret_why);
/*
 * An endorsement key: restricted, decrypting and not signing, made in its TPM, P-256, P-384 or RSA
 * of 2048 bits or more.
 */
int enrol_check_ek(const struct tpm2_public *ek, const char **ret_why);

/*
 * What a request shows, checked at @at: both keys, and the EK's certificates against @store. @store
 * NULL: the EK is taken without a certificate (the caller knows it otherwise).
 */
struct enrol_checked {
	struct tpm2_public ek, ak;
	struct tpm2_bytes ak_name;
	uint8_t ueid[CLAIMS_UEID_SIZE];
	struct certificate_tpm tpm; /* empty without certificate */
};
int enrol_check_request(const struct enrol_request *r, const struct certificate_store *store,
			int64_t at, struct enrol_checked *ret, const char **ret_why);

/* A fresh key, and the credential that holds it. */
int enrol_challenge_make(const struct enrol_checked *c, uint8_t ret_key[static ENROL_KEY_SIZE],
			 struct enrol_challenge *ret);

/*
 * Whether @a answers what is pending, at @at. The comparison takes the same time wherever it fails.
 * 0 or -EBADMSG.
 */
int enrol_check_answer(const struct enrol_pending *p, const struct enrol_answer *a, int64_t at,
		       const char **ret_why);
