/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attester: what evidence is made of, whoever asks for it: the TPM and who it is, the evidence key,
 * what the host says of itself, and the logs. evidence.c decides who gets some.
 */
#pragma once

#include <openssl/evp.h>

#include "attest/claims.h"
#include "attest/measure.h"
#include "base/buffer.h"
#include "tpm/worker.h"

struct attester_config {
	const char *tcti;      /* NULL: there is to be no TPM */
	struct tpm_config tpm; /* its tcti and state_dir are set here */
	int state_dir;         /* descriptor: "tpm/" is made below it */
	int root;              /* of the file system, for the logs; borrowed */
	uint8_t boot_id[16], host_id[16];
	struct sha256 config_digest; /* of the configuration */
	const void *bpf;             /* the BPF object that was loaded */
	size_t bpf_len;
};

struct attester;

/*
 * Starts the TPM's thread, makes the evidence key and measures affiantd itself; before privileges
 * are dropped. A TPM that is not there is no error: attester_ready() tells. On failure *@ret_why is
 * a line for a person, or NULL.
 */
int attester_new(const struct attester_config *config, struct attester **ret, char **ret_why);
void attester_free(struct attester *a);

/* NULL: none is configured. */
struct tpm_worker *attester_tpm(struct attester *a);

/*
 * Whether the TPM was reached and its keys are known; else @ret_why (@size bytes) says what is the
 * matter.
 */
bool attester_ready(struct attester *a, char *ret_why, size_t size);

/*
 * Who the TPM is, and the AK's certificate chain (PEM), NULL without. Borrowed; NULL before it is
 * ready.
 */
const struct tpm_identity *attester_identity(const struct attester *a);
const char *attester_ak_chain(const struct attester *a);

/*
 * Keeps @pem, an AK certificate and its issuers, if the first is of this AK: -EBADMSG: it is not,
 * or no certificate. Written to disk before it counts.
 */
int attester_install(struct attester *a, const void *pem, size_t len);

/* The enrolment request (docs/evidence.md), JSON, to be freed. attester_ready() first. */
int attester_enrolment(const struct attester *a, char **ret);

/*
 * Fills in ueid, kid, version, host id and the digest of the host claims: 0 or -ENOMEM.
 * attester_ready() first.
 */
int attester_claims(struct attester *a, struct claims *ret);

/* What the batch's leaf is made from: BASE64URL(header) "." BASE64URL(claims), to be freed. */
int attester_signing_input(struct attester *a, const json_t *claims, char **ret);
/* The JWS, to be freed. */
int attester_sign(struct attester *a, const char *signing_input, char **ret);

/*
 * Host evidence as of now, the collection of docs/evidence.md, but for the logs, which handout.h
 * adds, and the brace that ends it. attester_ready() first.
 */
int attester_put_host(struct attester *a, struct buffer *b);
