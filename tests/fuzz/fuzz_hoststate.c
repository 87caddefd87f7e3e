/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what is kept of a host: refused with a reason, or the same when written and read again. */
#include "attest/hoststate.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct hoststate s, again;
	const char *why = NULL;
	char *text, *second;

	if (hoststate_parse(data, size, &s, &why) < 0) {
		if (!why)
			abort();
		return 0;
	}
	text = hoststate_encode(&s);
	if (!text || hoststate_parse(text, strlen(text), &again, &why) < 0)
		abort();
	second = hoststate_encode(&again);
	if (!second || strcmp(text, second))
		abort();
	free(text);
	free(second);
	return 0;
}
