/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a policy, which names no files: a mistake with its place, or rules that a verifier takes. */
#include "cli/policy.h"

#include <errno.h>
#include <stdlib.h>

#include "attest/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct verifier *v;
	struct policy *p;
	const char *mistake;
	char *why = NULL;

	if (policy_parse("fuzz", data, size, -1, &p, &why) < 0) {
		if (!why)
			abort();
		free(why);
		return 0;
	}
	if (verifier_new(policy_rules(p), &v, &mistake) < 0)
		abort();
	verifier_free(v);
	policy_free(p);
	return 0;
}
