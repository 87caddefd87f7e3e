/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/proof.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attest/jose.h"

static const struct uuid jti = {{1, 2, 3}};

static json_t *payload_of(EVP_PKEY *key, const char *token)
{
	struct jose_parsed p;
	json_t *payload;

	assert_int_equal(jose_parse(token, strlen(token), 3, &p), 0);
	assert_int_equal(jose_verify(key, token, p.signing_input_len, p.signature, p.signature_len),
			 0);
	payload = json_incref(p.payload);
	jose_parsed_clear(&p);
	return payload;
}

static void test_dpop(void **state)
{
	static const struct {
		const char *htu, *expected;
	} uris[] = {
		{"https://a.example/x", "https://a.example/x"},
		{"https://a.example/x?q=1", "https://a.example/x"},
		{"https://a.example/x#f?q", "https://a.example/x"},
	};
	EVP_PKEY *key;
	json_t *payload;
	char *token;

	(void)state;
	assert_int_equal(jose_key_new(&key), 0);
	for (size_t i = 0; i < sizeof(uris) / sizeof(*uris); i++) {
		struct proof_dpop p = {.htm = "POST", .htu = uris[i].htu};

		assert_int_equal(proof_dpop(key, &p, &jti, 7, &token), 0);
		payload = payload_of(key, token);
		assert_string_equal(json_string_value(json_object_get(payload, "htu")),
				    uris[i].expected);
		assert_int_equal(json_object_size(payload), 4);
		json_decref(payload);
		free(token);
	}
	EVP_PKEY_free(key);
}

static void test_refused(void **state)
{
	static const struct proof_dpop dpops[] = {
		{NULL, "https://a/"},      {"GET", NULL},
		{"GET /", "https://a/"},   {"GET", "//a"},
		{"GET", "https://a/ b"},   {"GET", "https://a/", "\xff"},
		{"GET", "https://a/", ""}, {"GET", "https://a/", NULL, ""},
	};
	static const struct proof_wpt wpts[] = {
		{NULL, "wit"}, {"https://a/", NULL},      {"https://a/", ""},
		{"a", "wit"},  {"https://a/", "wit", ""},
	};
	char *token = (char *)0xa5;
	EVP_PKEY *key;

	(void)state;
	assert_int_equal(jose_key_new(&key), 0);
	for (size_t i = 0; i < sizeof(dpops) / sizeof(*dpops); i++)
		assert_int_equal(proof_dpop(key, &dpops[i], &jti, 7, &token), -EINVAL);
	for (size_t i = 0; i < sizeof(wpts) / sizeof(*wpts); i++)
		assert_int_equal(proof_wpt(key, &wpts[i], &jti, &token), -EINVAL);
	assert_ptr_equal(token, (char *)0xa5);
	EVP_PKEY_free(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dpop),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("proof", tests, NULL, NULL);
}
