/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/jose.h"

#include <errno.h>
#include <openssl/ec.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64url.h"

/* RFC 7515, appendix A.3 */
#define A3_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define A3_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define A3_D "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"
static const char a3_token[] =
	"eyJhbGciOiJFUzI1NiJ9."
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290"
	"Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-"
	"Kg6NU1Q";

/*
 * RFC 9449: the key of its proofs (figure 2), and the thumbprint that its tokens are bound to
 * (figure 9)
 */
#define DPOP_X "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs"
#define DPOP_Y "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"
#define DPOP_JKT "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"

#define JWK(kty, crv, x, y, more)                                                                  \
	"{\"kty\":\"" kty "\",\"crv\":\"" crv "\",\"x\":\"" x "\",\"y\":\"" y "\"" more "}"

static EVP_PKEY *key_of(const char *text)
{
	json_t *jwk = json_loads(text, 0, NULL);
	EVP_PKEY *key = NULL;

	assert_non_null(jwk);
	assert_int_equal(jose_key_of_jwk(jwk, &key), 0);
	json_decref(jwk);
	return key;
}

static void test_rfc_7515(void **state)
{
	EVP_PKEY *key = key_of(JWK("EC", "P-256", A3_X, A3_Y, ",\"d\":\"" A3_D "\""));
	struct jose_parsed p;
	uint8_t signature[96];
	size_t len;

	(void)state;
	assert_int_equal(jose_parse(a3_token, strlen(a3_token), 2, &p), 0);
	assert_string_equal(json_string_value(json_object_get(p.header, "alg")), "ES256");
	assert_int_equal(json_integer_value(json_object_get(p.payload, "exp")), 1300819380);
	assert_int_equal(
		jose_verify(key, a3_token, p.signing_input_len, p.signature, p.signature_len), 0);
	assert_int_equal(jose_sign(key, a3_token, p.signing_input_len, signature, &len), 0);
	assert_int_equal(len, 64);
	assert_int_equal(jose_verify(key, a3_token, p.signing_input_len, signature, len), 0);
	jose_parsed_clear(&p);
	EVP_PKEY_free(key);
}

static void test_thumbprint(void **state)
{
	EVP_PKEY *key = key_of(JWK("EC", "P-256", DPOP_X, DPOP_Y, ",\"kid\":\"anything\""));
	char thumbprint[JOSE_THUMBPRINT_SIZE];

	(void)state;
	assert_int_equal(jose_thumbprint(key, thumbprint), 0);
	assert_string_equal(thumbprint, DPOP_JKT);
	EVP_PKEY_free(key);
}

static void test_jwk(void **state)
{
	EVP_PKEY *key = NULL, *again;
	json_t *jwk, *other;

	(void)state;
	for (int i = 0; i < 300;
	     i++) { /* one coordinate in 256 begins with a zero byte, and keeps it */
		assert_int_equal(jose_key_new(&key), 0);
		jwk = jose_jwk(key, i % 2);
		assert_int_equal(json_object_size(jwk), i % 2 ? 5 : 4);
		assert_int_equal(json_string_length(json_object_get(jwk, "x")), 43);
		assert_int_equal(json_string_length(json_object_get(jwk, "y")), 43);
		assert_int_equal(jose_key_of_jwk(jwk, &again), 0);
		other = jose_jwk(again, i % 2);
		assert_true(json_equal(jwk, other));
		json_decref(other);
		json_decref(jwk);
		EVP_PKEY_free(again);
		EVP_PKEY_free(key);
	}
	key = EVP_EC_gen("P-521");
	assert_null(jose_jwk(key, false));
	EVP_PKEY_free(key);
}

static void test_jwk_refused(void **state)
{
	static const char *const bad[] = {
		JWK("RSA", "P-256", A3_X, A3_Y, ""),
		JWK("EC", "P-384", A3_X, A3_Y, ""),
		JWK("EC", "secp256k1", A3_X, A3_Y, ""),
		JWK("EC", "P-256", A3_X, DPOP_Y, ""), /* beside the curve */
		JWK("EC", "P-256", A3_X, A3_X, ""),
		JWK("EC", "P-256", A3_X "A", A3_Y, ""),
		JWK("EC", "P-256", "AA" A3_X, A3_Y, ""),
		JWK("EC", "P-256", A3_X "=", A3_Y, ""),
		JWK("EC", "P-256", "", "", ""),
		JWK("EC", "P-256", DPOP_X, DPOP_Y, ",\"d\":\"" A3_D "\""), /* another key's */
		JWK("EC", "P-256", A3_X, A3_Y, ",\"d\":\"\""),
		JWK("EC", "P-256", A3_X, A3_Y, ",\"d\":7"),
		JWK("EC", "P-256", A3_X, A3_Y,
		    ",\"d\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\""),
		/* the field's prime as a coordinate */
		JWK("EC", "P-256", "_____wAAAAEAAAAAAAAAAAAAAAD_______________8", A3_Y, ""),
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" A3_X "\"}",
		"{\"kty\":1,\"crv\":\"P-256\",\"x\":\"" A3_X "\",\"y\":\"" A3_Y "\"}",
		"{}",
		"[]",
	};
	EVP_PKEY *key = (EVP_PKEY *)0xa5;
	json_t *jwk;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		jwk = json_loads(bad[i], 0, NULL);
		assert_non_null(jwk);
		assert_int_equal(jose_key_of_jwk(jwk, &key), -EINVAL);
		assert_ptr_equal(key, (EVP_PKEY *)0xa5);
		json_decref(jwk);
	}
	assert_int_equal(jose_key_of_jwk(NULL, &key), -EINVAL);
}

static void round_trip(const char *curve, size_t size)
{
	EVP_PKEY *key = EVP_EC_gen(curve), *other = EVP_EC_gen(curve);
	json_t *header = json_pack("{ssss}", "alg", "ES", "typ", "eat+jwt"),
	       *payload = json_pack("{si}", "iat", 7);
	struct jose_parsed p;
	char *input, *token;

	assert_int_equal(jose_signing_input(header, payload, &input), 0);
	assert_int_equal(jose_jws(key, input, &token), 0);
	assert_int_equal(jose_parse(token, strlen(token), 1, &p), 0);
	assert_int_equal(p.signing_input_len, strlen(input));
	assert_memory_equal(token, input, p.signing_input_len);
	assert_int_equal(p.signature_len, size);
	assert_true(json_equal(p.header, header));
	assert_true(json_equal(p.payload, payload));
	assert_int_equal(jose_verify(key, token, p.signing_input_len, p.signature, size), 0);
	assert_int_equal(jose_verify(other, token, p.signing_input_len, p.signature, size),
			 -EBADMSG);
	assert_int_equal(jose_verify(key, token, p.signing_input_len - 1, p.signature, size),
			 -EBADMSG);
	for (size_t i = 0; i < size * 8; i++) {
		p.signature[i / 8] ^= 1 << i % 8;
		assert_int_equal(jose_verify(key, token, p.signing_input_len, p.signature, size),
				 -EBADMSG);
		p.signature[i / 8] ^= 1 << i % 8;
	}
	for (size_t len = 0; len < size; len++)
		assert_int_equal(jose_verify(key, token, p.signing_input_len, p.signature, len),
				 -EBADMSG);
	memset(p.signature, 0, sizeof(p.signature));
	assert_int_equal(jose_verify(key, token, p.signing_input_len, p.signature, size), -EBADMSG);
	memset(p.signature, 0xff, sizeof(p.signature));
	assert_int_equal(jose_verify(key, token, p.signing_input_len, p.signature, size), -EBADMSG);
	jose_parsed_clear(&p);
	free(token);
	free(input);
	json_decref(header);
	json_decref(payload);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

static void test_round_trip(void **state)
{
	(void)state;
	round_trip("P-256", 64);
	round_trip("P-384", 96);
}

static void test_truncated(void **state)
{
	struct jose_parsed p;

	(void)state;
	memset(&p, 0xa5, sizeof(p));
	for (size_t len = 0; len < strlen(a3_token); len++) {
		char *exact = strndup(a3_token, len), *guarded = malloc(len ?: 1);

		memcpy(guarded, exact, len); /* without a NUL: an overrun is the sanitizer's */
		assert_int_equal(jose_parse(guarded, len, 8, &p), -EBADMSG);
		assert_int_equal(p.signature_len, (size_t)0xa5a5a5a5a5a5a5a5);
		free(guarded);
		free(exact);
	}
}

/* With a signature of 64 zero bytes: nothing is checked about it here. */
static int parse(const char *header, const char *payload, const char *rest, size_t depth)
{
	char *h = base64url_new(header, strlen(header)),
	     *b = base64url_new(payload, strlen(payload)), *token;
	char signature[BASE64URL_LEN(64) + 1];
	static const uint8_t zero[64];
	struct jose_parsed p;
	int err;

	base64url_encode(zero, sizeof(zero), signature);
	assert_true(asprintf(&token, "%s.%s.%s%s", h, b, signature, rest) > 0);
	err = jose_parse(token, strlen(token), depth, &p);
	if (!err)
		jose_parsed_clear(&p);
	free(token);
	free(h);
	free(b);
	return err;
}

static void test_refused(void **state)
{
	(void)state;
	assert_int_equal(parse("{}", "{}", "", 1), 0);
	assert_int_equal(parse("{}", "{}", "=", 1), -EBADMSG);
	assert_int_equal(parse("{}", "{}", ".", 1), -EBADMSG);
	assert_int_equal(parse("{}", "{}", ".e30", 1), -EBADMSG);
	assert_int_equal(parse("{}", "{}", "AAAA", 1), -EBADMSG);
	assert_int_equal(parse("[]", "{}", "", 1), -EBADMSG);
	assert_int_equal(parse("{}", "[]", "", 1), -EBADMSG);
	assert_int_equal(parse("{}", "7", "", 1), -EBADMSG);
	assert_int_equal(parse("", "{}", "", 1), -EBADMSG);
	assert_int_equal(parse("{\"alg\":\"none\",\"alg\":\"ES256\"}", "{}", "", 1), -EBADMSG);
	assert_int_equal(parse("{}", "{\"aud\":1,\"\\u0061ud\":2}", "", 1), -EBADMSG);
	assert_int_equal(parse("{}", "{}x", "", 1), -EBADMSG);
	assert_int_equal(parse("{}", "{\"a\":{}}", "", 1), -EBADMSG);
	assert_int_equal(parse("{}", "{\"a\":{}}", "", 2), 0);
}

static void test_depth(void **state)
{
	char text[512];
	json_t *value;

	(void)state;
	for (size_t n = 1; n < 20; n++) {
		memset(text, '[', n);
		memset(text + n, ']', n);
		assert_int_equal(jose_json(text, 2 * n, n, &value), 0);
		json_decref(value);
		assert_int_equal(jose_json(text, 2 * n, n - 1, &value), -EBADMSG);
	}
	/* Brackets in strings are letters, behind an escaped quote too. */
	strcpy(text, "[\"[[[\\\"[[[\\\\\",\"]\",[1]]");
	assert_int_equal(jose_json(text, strlen(text), 2, &value), 0);
	json_decref(value);
	/* Closing first does not make room. */
	strcpy(text, "]]]][[[[]]]]");
	assert_int_equal(jose_json(text, strlen(text), 4, &value), -EBADMSG);
	/* A million levels are counted, not entered. */
	char *deep = malloc(1 << 20);

	memset(deep, '[', 1 << 20);
	assert_int_equal(jose_json(deep, 1 << 20, 16, &value), -EBADMSG);
	free(deep);
}

/* Wherever it stands: jansson passes over one behind a number. */
static void test_nul(void **state)
{
	static const char good[] = "{\"a\": [1, true, \"b\", 2.5]}";

	(void)state;
	for (size_t at = 0; at <= strlen(good); at++) {
		char text[sizeof(good) + 1] = {};
		json_t *value;

		memcpy(text, good, at);
		memcpy(text + at + 1, good + at, strlen(good) - at);
		assert_int_equal(jose_json(text, sizeof(good), 8, &value), -EBADMSG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nul),         cmocka_unit_test(test_rfc_7515),
		cmocka_unit_test(test_thumbprint),  cmocka_unit_test(test_jwk),
		cmocka_unit_test(test_jwk_refused), cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_truncated),   cmocka_unit_test(test_refused),
		cmocka_unit_test(test_depth),
	};

	return cmocka_run_group_tests_name("jose", tests, NULL, NULL);
}
