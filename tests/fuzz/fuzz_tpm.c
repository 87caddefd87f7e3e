/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the TPM's driver of ours parses itself: the header of a response (first byte even), the end
 * of a certificate.
 */
#include <stdlib.h>

#include "tpm/der.h"
#include "tpm/tcti.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t found;

	if (size == 0)
		return 0;
	if (data[0] % 2) {
		if (der_length(data + 1, size - 1, &found) == 0 && (found < 2 || found > size - 1))
			abort();
	} else if (tcti_response_size(data + 1, size - 1, TCTI_RESPONSE_MAX, &found) == 0) {
		/* Either more is needed, or all is there, or will be. */
		if (found > TCTI_RESPONSE_MAX || (found && found < size - 1))
			abort();
	}
	return 0;
}
