/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request of the local socket, as any local user can write it. The first byte: how many
 * descriptors came.
 */
#include "daemon/request.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Affiant__V1__Request *request = NULL;
	const char *why = NULL;

	if (!size)
		return 0;
	if (request_decode(data + 1, size - 1, data[0], &request, &why) && !why)
		abort();
	if (request)
		affiant__v1__request__free_unpacked(request, NULL);
	return 0;
}
