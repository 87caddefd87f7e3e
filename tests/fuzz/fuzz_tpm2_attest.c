/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/tpm2.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct tpm2_attest x;

	if (tpm2_attest_parse(data, len, &x) == 0 &&
	    (x.selections_count > TPM2_SELECTIONS_MAX || x.pcr_digest.len > TPM2_DIGEST_MAX ||
	     x.extra.len > TPM2_NAME_MAX || x.qualified_signer.len > TPM2_NAME_MAX))
		abort();
	return 0;
}
