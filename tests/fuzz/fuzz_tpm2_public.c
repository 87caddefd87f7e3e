/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/tpm2.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct tpm2_public x;
	EVP_PKEY *key;

	if (tpm2_public_parse(data, len, &x) == 0 && tpm2_public_key(&x, &key) == 0) {
		if (EVP_PKEY_get_bits(key) < 256)
			abort();
		EVP_PKEY_free(key);
	}
	return 0;
}
