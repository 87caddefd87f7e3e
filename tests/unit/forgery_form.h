/* SPDX-License-Identifier: Apache-2.0 */
/* forgery_form: forgeries of the collection's JSON, its members, and the token's form. For test_forgery.c. */
#pragma once

#include "attest/bounds.h"
#include "forgery.h"

/* ---- the collection ---- */

/* The evidence as text, with the first @from written as @to. */
static void rewrite(const char *from, const char *to)
{
	char *at, *text;

	if (f.collection)
		as_text();
	at = strstr(f.text, from);
	assert_non_null(at);
	assert_true(asprintf(&text, "%.*s%s%s", (int)(at - f.text), f.text, to, at + strlen(from)) >
		    0);
	free(f.text);
	f.text = text;
}

static json_t *record(const char *name)
{
	return json_object_get(f.collection, name);
}

static void record_of_two(void)
{
	json_array_remove(record("quote"), 2);
}
static void record_of_four(void)
{
	json_array_append_new(record("quote"), json_integer(4));
}
static void reference_values(void)
{
	json_array_set_new(record("eat"), 2, json_integer(1));
}
static void indicator_as_text(void)
{
	json_array_set_new(record("eat"), 2, json_string("4"));
}
static void indicator_as_fraction(void)
{
	json_array_set_new(record("eat"), 2, json_real(4));
}
static void media_type_of_another(void)
{
	json_array_set_new(record("quote"), 0, json_string(CMW_TPMT_SIGNATURE));
}
static void media_type_with_parameter(void)
{
	json_array_set_new(record("eat"), 0, json_string(CMW_EAT "; charset=utf-8"));
}
static void content_as_object(void)
{
	json_array_set_new(record("pcrs"), 1, json_object());
}
static void content_null(void)
{
	json_array_set_new(record("path"), 1, json_null());
}
static void type_missing(void)
{
	json_object_del(f.collection, "__cmwc_t");
}
static void type_doubled(void)
{
	rewrite("{", "{\"__cmwc_t\":\"" CMW_TYPE_EVIDENCE "\",");
}
/* What a reader that takes the last one, and one that does not know escapes, would see. */
static void member_escaped_twice(void)
{
	rewrite(",\"quote\":", ",\"\\u0065at\":[\"" CMW_EAT "\",\"AAAA\",4],\"quote\":");
}
static void host_doubled(void)
{
	rewrite(",\"host\":", ",\"host\":{\"__cmwc_t\":\"" CMW_TYPE_HOST "\"},\"host\":");
}
static void comma_behind(void)
{
	rewrite(",\"host\":", ",,\"host\":");
}
static void byte_order_mark(void)
{
	rewrite("{", "\xef\xbb\xbf{");
}
static void base64_of_mail(void)
{
	json_array_set_new(record("quote"), 1, json_string("_/8+"));
}
static void base64_with_spare_bits(void)
{
	json_array_set_new(record("quote"), 1, json_string("AB"));
}
static void base64_escaped_control(void)
{
	json_array_set_new(record("quote"), 1, json_string("AAAA\n"));
}
static void quote_empty(void)
{
	json_array_set_new(record("quote"), 1, json_string(""));
}

static void make_long(json_t *o, const char *name, size_t size)
{
	char *text = malloc(size + 1);

	memset(text, 'A', size);
	text[size] = '\0';
	json_array_set_new(json_object_get(o, name), 1, json_string(text));
	free(text);
}
static void quote_long(void)
{
	make_long(f.collection, "quote", BASE64URL_LEN(BOUNDS_QUOTE + 3));
}
static void token_long(void)
{
	make_long(f.collection, "eat", BASE64URL_LEN(BOUNDS_TOKEN + 3));
}
static void chain_long(void)
{
	make_long(f.host, "ek_chain", BASE64URL_LEN(BOUNDS_CHAIN + 3));
}
static void host_claims_long(void)
{
	make_long(f.host, "claims", BASE64URL_LEN(BOUNDS_HOST_CLAIMS + 3));
}
static void boot_log_long(void)
{
	make_long(f.host, "boot_log", BASE64URL_LEN(BOUNDS_BOOT_LOG + 3));
}

/* ---- host evidence ---- */

static void host_as_list(void)
{
	set(f.collection, "host", json_array());
}
static void host_type_other(void)
{
	set(f.host, "__cmwc_t", json_string(CMW_TYPE_EVIDENCE));
}
static void host_member_unknown(void)
{
	put_member(f.host, "policy", CMW_JSON_SEQ, "x", 1);
}
static void host_key_doubled(void)
{
	rewrite(",\"ak_public\":",
		",\"ak_public\":[\"" CMW_TPMT_PUBLIC "\",\"AAAA\",4],\"ak_public\":");
}
static void host_in_host(void)
{
	set(f.host, "host", cmw_collection(CMW_TYPE_HOST));
}
static void range_negative(void)
{
	const char range[] = "{\"from\":-1,\"entries\":4}";

	put_member(f.host, "ima_range", CMW_IMA_RANGE, range, strlen(range));
}
static void range_fraction(void)
{
	const char range[] = "{\"from\":0.0,\"entries\":4}";

	put_member(f.host, "ima_range", CMW_IMA_RANGE, range, strlen(range));
}
static void list_without_range(void)
{
	json_object_del(f.host, "ima_range");
}

/* ---- the token, written by hand and signed by its own key ---- */

static void write_token(const char *header, const char *payload)
{
	char *first = base64url_new(header, strlen(header));
	char *second = base64url_new(payload, strlen(payload)), *input;

	assert_true(asprintf(&input, "%s.%s", first, second) > 0);
	free(f.token);
	assert_int_equal(jose_jws(f.evidence_key, input, &f.token), 0);
	forge_wrap(&f);
	free(first);
	free(second);
	free(input);
}

/* The genuine payload under a header of @format, which has the genuine key as its %s. */
static void write_header(const char *format)
{
	char *jwk = json_dumps(json_object_get(f.header, "jwk"), JSON_COMPACT);
	char *payload = json_dumps(f.payload, JSON_COMPACT), *header;
	const char *at = strstr(format, "%s");

	assert_non_null(at);
	assert_true(asprintf(&header, "%.*s%s%s", (int)(at - format), format, jwk, at + 2) > 0);
	write_token(header, payload);
	free(payload);
	free(header);
	free(jwk);
}

static void header_doubled(void)
{
	write_header("{\"alg\":\"none\",\"alg\":\"ES256\",\"typ\":\"eat+jwt\",\"jwk\":%s}");
}
static void header_doubled_by_escape(void)
{
	write_header("{\"alg\":\"ES256\",\"typ\":\"eat+jwt\",\"jwk\":%s,\"\\u0061lg\":\"none\"}");
}
static void header_unencoded(void)
{
	write_header("{\"alg\":\"ES256\",\"typ\":\"eat+jwt\",\"jwk\":%s,\"b64\":false,"
		     "\"crit\":[\"b64\"]}");
}
static void header_kid(void)
{
	write_header("{\"alg\":\"ES256\",\"typ\":\"eat+jwt\",\"jwk\":%s,\"kid\":\"../../key\"}");
}
static void header_x5c(void)
{
	write_header("{\"alg\":\"ES256\",\"typ\":\"eat+jwt\",\"jwk\":%s,\"x5c\":[\"AAAA\"]}");
}
static void header_without_key(void)
{
	write_header("{\"alg\":\"ES256\",\"typ\":\"eat+jwt\",\"key\":%s}");
}
static void header_without_type(void)
{
	write_header("{\"alg\":\"ES256\",\"cty\":\"eat+jwt\",\"jwk\":%s}");
}
static void header_type_in_capitals(void)
{
	write_header("{\"alg\":\"ES256\",\"typ\":\"EAT+JWT\",\"jwk\":%s}");
}
static void header_algorithm_in_small(void)
{
	write_header("{\"alg\":\"es256\",\"typ\":\"eat+jwt\",\"jwk\":%s}");
}
static void header_algorithm_list(void)
{
	write_header("{\"alg\":[\"ES256\"],\"typ\":\"eat+jwt\",\"jwk\":%s}");
}
static void header_of_values(void)
{
	struct buffer b = {};

	buffer_add_text(&b, "{\"alg\":\"ES256\",\"typ\":\"eat+jwt\",\"jwk\":%s,\"x\":[0");
	for (size_t i = 0; i < BOUNDS_JSON_VALUES; i++)
		buffer_add_text(&b, ",0");
	buffer_add(&b, "]}", 3);
	write_header(b.data);
	buffer_done(&b);
}

/* The key of the header changed, and the claim kid with it, where it has a thumbprint. */
static void write_key(const char *member, json_t *value)
{
	json_t *jwk = json_object_get(f.header, "jwk");
	char thumbprint[JOSE_THUMBPRINT_SIZE];

	set(jwk, member, value);
	if (!jose_jwk_thumbprint(jwk, thumbprint))
		set(f.payload, "kid", json_string(thumbprint));
	sign_anew(f.evidence_key);
}

static void key_off_the_curve(void)
{
	write_key("y", json_string("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
}
static void key_of_another_curve(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-384");

	set(f.header, "jwk", jose_jwk(key, false));
	sign_anew(f.evidence_key);
	EVP_PKEY_free(key);
}
static void key_short(void)
{
	write_key("x", json_string("AAAA"));
}
static void key_symmetric(void)
{
	write_key("kty", json_string("oct"));
}

static void change_token(const char *format)
{
	char *text;

	assert_true(asprintf(&text, "%.*s%s", (int)f.signing_input_len, f.token, format) > 0);
	free(f.token);
	f.token = text;
	forge_wrap(&f);
}
static void signature_gone(void)
{
	change_token(".");
}
static void signature_zero(void)
{
	char zero[1 + BASE64URL_LEN(64) + 1] = ".";

	memset(zero + 1, 'A', BASE64URL_LEN(64));
	change_token(zero);
}
static void signature_short(void)
{
	char part[1 + BASE64URL_LEN(63) + 1] = ".";

	memset(part + 1, 'A', BASE64URL_LEN(63));
	change_token(part);
}
static void four_parts(void)
{
	char *text;

	assert_true(asprintf(&text, "%s.e30", f.token) > 0);
	free(f.token);
	f.token = text;
	forge_wrap(&f);
}
static void payload_detached(void)
{
	char *dot = strchr(f.token, '.'), *last = strrchr(f.token, '.'), *text;

	assert_true(asprintf(&text, "%.*s.%s", (int)(dot - f.token), f.token, last) > 0);
	free(f.token);
	f.token = text;
	forge_wrap(&f);
}
static void payload_as_list(void)
{
	char *header = json_dumps(f.header, JSON_COMPACT);

	write_token(header, "[]");
	free(header);
}

#define FORGERIES_OF_FORM                                                                          \
	A(record_of_two, malformed_evidence), A(record_of_four, malformed_evidence),               \
		A(reference_values, malformed_evidence), A(indicator_as_text, malformed_evidence), \
		A(indicator_as_fraction, malformed_evidence),                                      \
		A(media_type_of_another, malformed_evidence),                                      \
		A(media_type_with_parameter, malformed_evidence),                                  \
		A(content_as_object, malformed_evidence), A(content_null, malformed_evidence),     \
		A(type_missing, malformed_evidence), A(type_doubled, malformed_evidence),          \
		A(member_escaped_twice, malformed_evidence), A(host_doubled, malformed_evidence),  \
		A(comma_behind, malformed_evidence), A(byte_order_mark, malformed_evidence),       \
		A(base64_of_mail, malformed_evidence),                                             \
		A(base64_with_spare_bits, malformed_evidence),                                     \
		A(base64_escaped_control, malformed_evidence), A(quote_empty, malformed_quote),    \
		A(quote_long, malformed_evidence), A(token_long, malformed_evidence),              \
		A(chain_long, malformed_host), A(host_claims_long, malformed_host),                \
		A(boot_log_long, malformed_host), A(host_as_list, malformed_host),                 \
		A(host_type_other, malformed_host), A(host_member_unknown, malformed_host),        \
		A(host_key_doubled, malformed_host), A(host_in_host, malformed_host),           \
		A(range_negative, malformed_host), A(range_fraction, malformed_host),              \
		A(list_without_range, malformed_host), A(header_doubled, malformed_token),         \
		A(header_doubled_by_escape, malformed_token), A(header_unencoded, token_header),   \
		A(header_kid, token_header), A(header_x5c, token_header),                          \
		A(header_without_key, token_header), A(header_without_type, token_header),         \
		A(header_type_in_capitals, token_header),                                          \
		A(header_algorithm_in_small, token_algorithm),                                     \
		A(header_algorithm_list, token_algorithm), A(header_of_values, malformed_token),   \
		A(key_off_the_curve, token_key), A(key_of_another_curve, token_key),               \
		A(key_short, token_key), A(key_symmetric, token_key),                              \
		A(signature_gone, malformed_token), A(signature_zero, token_signature),            \
		A(signature_short, malformed_token), A(four_parts, malformed_token),               \
		A(payload_detached, malformed_token), A(payload_as_list, malformed_token)
