/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a JWS; a JWK in its header becomes a key, whose thumbprint and own JWK read back. */
#include "attest/jose.h"

#include <stdlib.h>

/* What is read without jansson is what jansson reads. */
static void check_json(const uint8_t *data, size_t size)
{
	json_t *ours = NULL,
	       *theirs = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);

	if (!jose_json(data, size, 6, &ours) && !json_equal(ours, theirs))
		abort();
	json_decref(ours);
	json_decref(theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char thumbprint[JOSE_THUMBPRINT_SIZE];
	struct jose_parsed p;
	EVP_PKEY *key, *again;
	json_t *jwk;

	check_json(data, size);
	if (jose_parse((const char *)data, size, 6, &p) < 0)
		return 0;
	if (p.signing_input_len >= size || (p.signature_len != 64 && p.signature_len != 96))
		abort();
	if (!jose_key_of_jwk(json_object_get(p.header, "jwk"), &key)) {
		jwk = jose_jwk(key, false);
		if (!jwk || jose_thumbprint(key, thumbprint) < 0 ||
		    jose_key_of_jwk(jwk, &again) < 0 || EVP_PKEY_eq(key, again) != 1)
			abort();
		(void)jose_verify(key, data, p.signing_input_len, p.signature, p.signature_len);
		EVP_PKEY_free(again);
		EVP_PKEY_free(key);
		json_decref(jwk);
	}
	jose_parsed_clear(&p);
	return 0;
}
