/* SPDX-License-Identifier: Apache-2.0 */
/* Any JSON as claims: refused with a reason, or written again and read again, and cut. */
#include "attest/claims.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *o, *again, *cut;
	const char *why = NULL;
	static struct claims c;

	if (jose_json(data, size, CLAIMS_DEPTH_MAX, &o) < 0)
		return 0;
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
