/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as certificates of an EK and of an AK, one behind the other with their lengths in
 * front, held against a store that trusts each of them: so that more than the first check is
 * reached.
 */
#include "attest/certificate.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "base/reader.h"

static int fill(struct reader *r, STACK_OF(X509) * chain)
{
	struct reader one;
	uint16_t len;
	int err = 0;

	while (!err && r->left) {
		err = reader_u16be(r, &len) ?: reader_bytes(r, len, &one);
		err = err ?: certificate_chain_add(chain, one.at, one.left);
	}
	return err;
}

/*
 * The leaf's own key, as a TPM would show it: what comes behind the comparison of keys is reached
 * too.
 */
static struct tpm2_public public_of(X509 *leaf)
{
	struct tpm2_public p = {.type = TPM2_ECC, .curve = TPM2_P256, .x.len = 32, .y.len = 32};
	EVP_PKEY *key = X509_get0_pubkey(leaf);
	BIGNUM *x = NULL, *y = NULL;

	if (key && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &x) == 1 &&
	    EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &y) == 1 &&
	    BN_num_bytes(x) <= 32 && BN_num_bytes(y) <= 32) {
		BN_bn2binpad(x, p.x.data, 32);
		BN_bn2binpad(y, p.y.data, 32);
	}
	BN_free(x);
	BN_free(y);
	return p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tpm2_public key;
	STACK_OF(X509) *chain = certificate_chain_new(), *again;
	struct reader r = reader_of(data, size);
	struct certificate_store *store;
	uint8_t ueid[CLAIMS_UEID_SIZE];
	struct buffer pem = {};
	struct certificate_tpm tpm;
	const char *why;

	if (fill(&r, chain) == 0 && sk_X509_num(chain) > 0 && certificate_store_new(&store) == 0) {
		if (certificate_chain_pem(chain, &pem) < 0)
			abort();
		if (pem.len <= CERTIFICATE_PEM_MAX &&
		    certificate_chain_of_pem(pem.data, pem.len, &again) == 0) {
			(void)certificate_store_add(store, pem.data, pem.len, size & 1);
			certificate_chain_free(again);
		}
		key = public_of(sk_X509_value(chain, 0));
		why = NULL;
		/* One of the two, by a bit of the size: each takes OpenSSL a quarter of a millisecond. */
		if ((size & 2 ? certificate_check_ek(store, chain, &key, 1793600000, &tpm, &why)
			      : certificate_check_ak(store, chain, &key, 1793600000, ueid, &why)) <
			    0 &&
		    !why)
			abort();
		certificate_store_free(store);
	}
	buffer_done(&pem);
	certificate_chain_free(chain);
	/* Texts that are kept there look like a leak, and each input would be searched for it. */
	ERR_clear_error();
	return 0;
}
