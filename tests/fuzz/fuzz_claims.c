/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any JSON as claims, and as a host's: refused with a reason, or written again and read again, and
 * cut.
 */
#include "attest/claims.h"

#include <stdlib.h>
#include <string.h>

static void try_host(const json_t *o)
{
	struct sha256 digest, again;
	struct claims_host h;
	char *text, *second;
	const char *why = NULL;
	json_t *parsed;

	if (claims_host_parse(o, &h, &why) < 0) {
		if (!why || h.kernel)
			abort();
		return;
	}
	if (claims_host_encode(&h, &text, &digest, &why) < 0)
		abort();
	claims_host_clear(&h);
	parsed = json_loads(text, 0, NULL);
	if (claims_host_parse(parsed, &h, &why) < 0 ||
	    claims_host_encode(&h, &second, &again, &why) < 0 ||
	    memcmp(&digest, &again, sizeof(digest)))
		abort();
	claims_host_clear(&h);
	json_decref(parsed);
	free(text);
	free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *o, *again, *cut;
	const char *why = NULL;
	static struct claims c;

	if (jose_json(data, size, CLAIMS_DEPTH_MAX, &o) < 0)
		return 0;
	try_host(o);
	if (claims_parse(o, &c, &why) < 0) {
		if (!why || c.files_count || c.nonce)
			abort();
		json_decref(o);
		return 0;
	}
	json_decref(o);
	if (claims_encode(&c, &again, &why) < 0 || claims_fit(&c, size / 2, &cut, &why) < 0)
		abort();
	claims_clear(&c);
	if (claims_parse(again, &c, &why) < 0)
		abort();
	claims_clear(&c);
	if (claims_parse(cut, &c, &why) < 0)
		abort();
	claims_clear(&c);
	json_decref(again);
	json_decref(cut);
	return 0;
}
