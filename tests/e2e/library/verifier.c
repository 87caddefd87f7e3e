/* SPDX-License-Identifier: Apache-2.0 */
/* A token service of a few lines: verifier NONCE AUDIENCE < evidence, by a policy that knows nobody. */
#include <affiant-verify.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	static char evidence[1 << 20];
	const struct affiant_policy policy = {.max_age = 60};
	const char *why;
	struct affiant_verifier *v = affiant_verifier_new(&policy, &why);
	size_t len = fread(evidence, 1, sizeof(evidence), stdin);
	uint8_t ueid[AFFIANT_UEID_SIZE];
	struct affiant_result *r;
	char *json;

	if (argc != 3 || !v)
		return 64;
	if (affiant_verify_early(v, evidence, len, argv[1], argv[2], 0, ueid))
		return 71;
	r = affiant_verify(v, evidence, len, argv[1], argv[2], 0, NULL, 0);
	json = r ? affiant_result_json(r) : NULL;
	if (!json || affiant_result_state(r))
		return 70;
	printf("%d %s %d\n%s\n", affiant_result_verdict(r), affiant_result_code(r), affiant_result_tier(r), json);
	free(json);
	affiant_result_free(r);
	affiant_verifier_free(v);
	return 0;
}
