/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/tpm2.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct tpm2_signature x;
	static EVP_PKEY *keys[2];

	if (!keys[0]) {
		keys[0] = EVP_EC_gen("P-256");
		keys[1] = EVP_RSA_gen(2048);
	}
	if (tpm2_signature_parse(data, len, &x))
		return 0;
	for (int i = 0; i < 2; i++)
		if (tpm2_signature_verify(&x, keys[i], "", 0) == 0)
			abort(); /* nobody has signed anything */
	return 0;
}
