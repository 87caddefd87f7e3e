/* SPDX-License-Identifier: Apache-2.0 */
/* What a result becomes in an EAR: a status no better than the worst claim, whatever the refusal. */
#include "attest/ear.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "forge.h"

static struct forge f;
static const struct ear_options options[] = {
	{EAR_IETF, "https://affiant.dev", "0.1.0",
	 (const uint8_t *)"0123456789abcdef0123456789abcdef", FORGE_NONCE, FORGE_NOW},
	{EAR_VERAISON, "https://affiant.dev", "0.1.0",
	 (const uint8_t *)"0123456789abcdef0123456789abcdef", FORGE_NONCE, FORGE_NOW},
};

static const char *status(const json_t *claims, const char *submod, bool dotted)
{
	const json_t *o = json_object_get(json_object_get(claims, "submods"), submod);

	return json_string_value(json_object_get(o, dotted ? "ear.status" : "ear_status"));
}

static void test_affirmed(void **state)
{
	struct verify_result *r;
	struct jose_parsed p;
	EVP_PKEY *key;
	char *token;

	(void)state;
	forge_begin(&f);
	forge_build(&f);
	r = forge_verify(&f);
	assert_int_equal(jose_key_new(&key), 0);
	for (int dotted = 0; dotted < 2; dotted++) {
		const char *claims =
			dotted ? "ear.veraison.annotated-evidence" : "ear_attester_claims";

		assert_int_equal(ear_sign(r, &options[dotted], key, &token), 0);
		assert_int_equal(jose_parse(token, strlen(token), 16, &p), 0);
		assert_int_equal(
			jose_verify(key, token, p.signing_input_len, p.signature, p.signature_len),
			0);
		assert_string_equal(status(p.payload, "host", dotted), "affirming");
		assert_string_equal(status(p.payload, "agent", dotted), "affirming");
		assert_non_null(at(at(p.payload, "submods", "agent"), claims, "cnf"));
		jose_parsed_clear(&p);
		free(token);
	}
	EVP_PKEY_free(key);
	key = EVP_EC_gen("P-384");
	assert_int_equal(ear_sign(r, &options[0], key, &token), -EINVAL);
	EVP_PKEY_free(key);
	verify_result_free(r);
	forge_end(&f);
}

static bool is_undecided(enum verify_code c)
{
	return c <= VERIFY_host_evidence_needed;
}

/* No refusal, of whatever reason, leaves both submodules affirming; none that can't be judged says anything. */
static void test_refusals(void **state)
{
	struct verify_result *r = calloc(1, sizeof(*r));
	json_t *claims;

	(void)state;
	for (enum verify_code c = VERIFY_NONE + 1; c < VERIFY_CODES_END; c++)
		for (int host = 0; host < 2; host++) {
			const bool agents = c >= VERIFY_agent_unknown;
			const char *at;

			if (host && !agents)
				continue;
			r->code = c;
			r->verdict = is_undecided(c) ? AFFIANT_UNDECIDED : AFFIANT_REFUSED;
			r->has_host = host;
			r->tier = host ? AFFIANT_RUNTIME_MEASURED : AFFIANT_UNATTESTED;
			assert_int_equal(ear_claims(r, &options[0], &claims), 0);
			at = status(claims, agents ? "agent" : "host", false);
			if (strcmp(at, is_undecided(c) ? "none" : "contraindicated"))
				fail_msg("%s: %s", verify_code_name(c), at);
			at = status(claims, agents ? "host" : "agent", false);
			if (strcmp(at, host ? "affirming" : "none"))
				fail_msg("%s: %s", verify_code_name(c), at);
			json_decref(claims);
		}
	free(r);
}

/*
 * What a policy takes though it is not proven: the agent passes, and nothing is said of its
 * executables.
 */
static void test_unproven(void **state)
{
	const char *const names[] = {"ear_trustworthiness_vector", "ear.trustworthiness-vector"};

	(void)state;
	for (int unproven = 0; unproven < 2; unproven++) {
		struct verify_result *r;

		forge_begin(&f);
		if (unproven) {
			forge_restate(json_object_get(f.payload, "measurements"), 1, 0,
				      CLAIMS_UNPROVEN, "unproven_measurement");
			f.agents[0].states = AFFIANT_STATES_PROVEN | AFFIANT_STATE_UNPROVEN;
		}
		forge_build(&f);
		r = forge_verify(&f);
		assert_int_equal(r->verdict, AFFIANT_AFFIRMED);
		for (int dotted = 0; dotted < 2; dotted++) {
			json_t *claims, *vector;

			assert_int_equal(ear_claims(r, &options[dotted], &claims), 0);
			vector = at(at(claims, "submods", "agent"), names[dotted], "executables");
			assert_int_equal(!vector, unproven);
			assert_string_equal(status(claims, "agent", dotted), "affirming");
			json_decref(claims);
		}
		verify_result_free(r);
		forge_end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_affirmed),
		cmocka_unit_test(test_unproven),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
