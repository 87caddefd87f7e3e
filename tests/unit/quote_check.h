/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quote_check: a quote or certification judged by attest/, which knows no TSS, with the key that
 * the worker names.
 */
#pragma once

#include "attest/tpm2.h"
#include "base/cleanup.h"
#include "softtpm.h"

DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free)

static inline void check_signed(struct tpm_worker *w, const struct tpm_quoted *q,
				const uint8_t extra[static 32], struct tpm2_attest *ret)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	struct tpm2_bytes ek_name, ak_name, ek_qualified, qualified;
	const uint8_t endorsement[] = {0x40, 0, 0, 0x0b};
	struct tpm2_bytes hierarchy = {.len = 4};
	struct tpm2_public ek, ak;
	struct tpm2_signature signature;
	struct tpm_identity i;

	memcpy(hierarchy.data, endorsement, sizeof(endorsement));
	assert_int_equal(tpm_worker_identity(w, &i), 0);
	assert_int_equal(tpm2_public_parse(i.ek_public, i.ek_public_len, &ek), 0);
	assert_int_equal(tpm2_public_parse(i.ak_public, i.ak_public_len, &ak), 0);
	assert_int_equal(ak.attributes, TPM2_FIXED_TPM | TPM2_FIXED_PARENT |
						TPM2_SENSITIVE_DATA_ORIGIN | TPM2_USER_WITH_AUTH |
						TPM2_NO_DA | TPM2_RESTRICTED | TPM2_SIGN);
	assert_int_equal(tpm2_public_key(&ak, &key), 0);
	assert_int_equal(tpm2_signature_parse(q->signature, q->signature_len, &signature), 0);
	assert_int_equal(tpm2_signature_verify(&signature, key, q->attest, q->attest_len), 0);

	assert_int_equal(tpm2_attest_parse(q->attest, q->attest_len, ret), 0);
	assert_int_equal(ret->magic, TPM2_GENERATED);
	assert_int_equal(ret->extra.len, 32);
	assert_memory_equal(ret->extra.data, extra, 32);
	/* The AK is a child of this EK, which is of the endorsement hierarchy. */
	assert_int_equal(tpm2_name(ek.name_alg, i.ek_public, i.ek_public_len, &ek_name), 0);
	assert_int_equal(tpm2_name(ak.name_alg, i.ak_public, i.ak_public_len, &ak_name), 0);
	assert_int_equal(ak_name.len, i.ak_name_len);
	assert_memory_equal(ak_name.data, i.ak_name, ak_name.len);
	assert_int_equal(tpm2_qualified_name(&hierarchy, &ek_name, &ek_qualified), 0);
	assert_int_equal(tpm2_qualified_name(&ek_qualified, &ak_name, &qualified), 0);
	assert_int_equal(ret->qualified_signer.len, qualified.len);
	assert_memory_equal(ret->qualified_signer.data, qualified.data, qualified.len);
	tpm_identity_clear(&i);
}

static inline void check_quote(struct tpm_worker *w, const struct tpm_quoted *q,
			       const uint8_t extra[static 32])
{
	uint8_t all[TPM_PCRS * TPM_PCR_SIZE];
	struct tpm2_attest attest;
	struct sha256 digest;
	size_t len = 0;

	check_signed(w, q, extra, &attest);
	assert_int_equal(attest.type, TPM2_ST_ATTEST_QUOTE);
	assert_int_equal(attest.selections_count, 1);
	assert_int_equal(attest.selections[0].alg, TPM2_SHA256);
	assert_int_equal(attest.selections[0].pcrs, DEFAULT_PCRS);
	assert_int_equal(q->pcrs, DEFAULT_PCRS);
	for (unsigned int pcr = 0; pcr < TPM_PCRS; pcr++)
		if (DEFAULT_PCRS & 1u << pcr) {
			memcpy(all + len, q->values[pcr], TPM_PCR_SIZE);
			len += TPM_PCR_SIZE;
		}
	assert_int_equal(sha256_of(all, len, &digest), 0);
	assert_int_equal(attest.pcr_digest.len, sizeof(digest.bytes));
	assert_memory_equal(attest.pcr_digest.data, digest.bytes, sizeof(digest.bytes));
}

/* A quote that must succeed, checked. */
static inline void quote_well(struct tpm_worker *w, uint32_t number)
{
	uint8_t extra[32] = "a nonce of its own";
	struct tpm_status status;
	struct outcome o;

	memcpy(extra + 28, &number, sizeof(number));
	if (quote(w, extra, &o)) {
		tpm_worker_status(w, &status);
		fail_msg("quote: %d: %s", o.err, status.error);
	}
	check_quote(w, &o.quoted, extra);
}
