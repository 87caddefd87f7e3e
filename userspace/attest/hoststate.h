/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hoststate: what a verifier remembers of a host it has judged, so that the logs need not come with
 * every request. It excuses no quote: the next one must have the same static PCRs, and a PCR 10
 * that follows from the IMA entries since.
 *
 * A verifier writes and reads it, nobody else: its integrity is its directory's.
 */
#pragma once

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest/claims.h"
#include "attest/ima.h"
#include "attest/pcr.h"
#include "attest/tpm2.h"

#define HOSTSTATE_TYPE "tag:affiant.dev,2026:host-state#1"
#define HOSTSTATE_SIZE_MAX 65536
#define HOSTSTATE_CLAIMS_MAX 16384 /* bytes of the host claims */
#define HOSTSTATE_PUBLIC_MAX 1024

struct hoststate {
	uint8_t policy[32]; /* the policy's digest, by which it was judged */
	int64_t until;      /* seconds: the first of its certificates to expire */
	int64_t enrolled;   /* seconds: the AK's certificate is valid from then on */
	bool software;      /* a software TPM */
	bool boot, ima;     /* judged, and good */
	bool daemon; /* this executable of affiantd was in the attested part of the IMA list */
	struct sha256 daemon_digest;
	struct uuid boot_id;
	uint8_t host_id[16]; /* of the host claims: the token's issuer */
	uint8_t ueid[CLAIMS_UEID_SIZE];
	struct {
		size_t len;
		uint8_t data[HOSTSTATE_PUBLIC_MAX];
	} ek, ak; /* TPMT_PUBLIC */
	struct tpm2_clock clock;
	uint64_t firmware;
	uint32_t pcrs;        /* bit n: PCR n was quoted, in the bank below */
	struct pcr_bank bank; /* SHA-256 */
	struct ima_state list;
	struct {
		size_t len;
		uint8_t data[HOSTSTATE_CLAIMS_MAX];
	} claims; /* the host claims' bytes */
};

/* As JSON, to be freed; NULL: no memory. */
char *hoststate_encode(const struct hoststate *s);
/* -EBADMSG: malformed, of another version, or out of bounds: *@ret_why names the member. */
int hoststate_parse(const void *data, size_t len, struct hoststate *ret, const char **ret_why);
