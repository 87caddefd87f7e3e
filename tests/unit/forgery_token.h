/* SPDX-License-Identifier: Apache-2.0 */
/* forgery_token: forgeries of the format and of the token. For test_forgery.c. */
#pragma once

#include "forgery.h"

/* ---- format ---- */

static void not_json(void)
{
	as_text();
	f.text[0] = '[';
}

static void doubled_member(void)
{
	char *text;

	as_text();
	assert_true(asprintf(&text, "%.*s,\"eat\":[]}", (int)strlen(f.text) - 1, f.text) > 0);
	free(f.text);
	f.text = text;
}

static void tail_of_json(void)
{
	char *text;

	as_text();
	assert_true(asprintf(&text, "%s{}", f.text) > 0);
	free(f.text);
	f.text = text;
}

static void nested_json(void)
{
	as_text();
	free(f.text);
	f.text = calloc(1, 200001);
	memset(f.text, '[', 100000);
	memset(f.text + 100000, ']', 100000);
}

static void token_garbage(void)
{
	replace(f.collection, "eat", &(struct bytes){"e30.e30.e30", 11});
}
static void systemd_garbage(void)
{
	put_member(f.host, "systemd_log", CMW_JSON_SEQ, "x", 1);
}
static void unknown_member(void)
{
	set(f.collection, "policy", json_pack("[ssi]", "text/plain", "AA", 4));
}
static void missing_quote(void)
{
	json_object_del(f.collection, "quote");
}
static void other_type(void)
{
	set(f.collection, "__cmwc_t", json_string(CMW_TYPE_HOST));
}
static void padded_base64(void)
{
	json_array_set_new(json_object_get(f.collection, "quote"), 1, json_string("AA=="));
}
static void quote_tail(void)
{
	append(f.collection, "quote");
}
static void signature_tail(void)
{
	append(f.collection, "signature");
}
static void pcrs_tail(void)
{
	append(f.collection, "pcrs");
}
static void path_tail(void)
{
	append(f.collection, "path");
}
static void ek_tail(void)
{
	append(f.host, "ek_public");
}
static void ak_tail(void)
{
	append(f.host, "ak_public");
}
static void boot_log_tail(void)
{
	append(f.host, "boot_log");
}
static void host_member_missing(void)
{
	json_object_del(f.host, "claims");
}
static void range_without_list(void)
{
	json_object_del(f.host, "ima_log");
}
static void claim_missing(void)
{
	json_object_del(f.payload, "cnf");
}
static void two_nonces(void)
{
	set(f.payload, "eat_nonce", json_pack("[ss]", FORGE_NONCE, "another-nonce"));
}
static void host_claim_missing(void)
{
	json_object_del(f.host_claims, "lockdown");
}

/* A selection of four bytes: PCRs behind 23 that nobody looks at. */
static void wide_selection(void)
{
	struct bytes b = member(f.collection, "quote");
	struct bytes wide = {};
	size_t head = b.len - 34 - 3;

	add(&wide, b.data, head - 1);
	add_be(&wide, 4, 1);
	add(&wide, b.data + head, 3);
	add_be(&wide, 0, 1);
	add(&wide, b.data + b.len - 34, 34);
	replace(f.collection, "quote", &wide);
}

/* ---- token ---- */

static void header_is(json_t *header)
{
	f.header = header;
	f.keep_header = true;
}

static json_t *own_jwk(void)
{
	return jose_jwk(f.evidence_key, false);
}

static void algorithm_none(void)
{
	header_is(json_pack("{ssssso}", "alg", "none", "typ", "eat+jwt", "jwk", own_jwk()));
}
static void algorithm_hmac(void)
{
	header_is(json_pack("{ssssso}", "alg", "HS256", "typ", "eat+jwt", "jwk", own_jwk()));
}
static void type_other(void)
{
	header_is(json_pack("{ssssso}", "alg", "ES256", "typ", "JWT", "jwk", own_jwk()));
}
static void header_critical(void)
{
	header_is(json_pack("{sssssos[s]}", "alg", "ES256", "typ", "eat+jwt", "jwk", own_jwk(),
			    "crit", "exp"));
}
static void header_jku(void)
{
	header_is(json_pack("{sssssoss}", "alg", "ES256", "typ", "eat+jwt", "jwk", own_jwk(), "jku",
			    "https://example.org"));
}
static void header_private(void)
{
	header_is(json_pack("{ssssso}", "alg", "ES256", "typ", "eat+jwt", "jwk",
			    jose_jwk(f.evidence_key, true)));
}

static void algorithm_longer(void)
{
	EVP_PKEY_free(f.evidence_key);
	f.evidence_key = EVP_EC_gen("P-384");
}

static void kid_other(void)
{
	f.keep_kid = true;
}

/* The genuine claims, signed by a key of the attacker's, who names it. */
static void token_resigned(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char kid[JOSE_THUMBPRINT_SIZE];

	jose_thumbprint(key, kid);
	set(f.payload, "kid", json_string(kid));
	set(f.header, "jwk", jose_jwk(key, false));
	sign_anew(key);
	EVP_PKEY_free(key);
}

static void token_signature_other(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	sign_anew(key);
	EVP_PKEY_free(key);
}

static void claims_changed(void)
{
	set(workload(), "lost", json_integer(1));
	sign_anew(f.evidence_key);
}

static void nonce_other(void)
{
	f.nonce = "bZ4vQ0h8T2a9Yc1LrB7uXw";
}
static void nonce_prefix(void)
{
	f.nonce = "mZ4vQ0h8T2a9Yc1LrB7uX";
}
static void audience_other(void)
{
	f.audience = "https://sts.example.org/tokens";
}
static void expired(void)
{
	f.now = 1793600305;
	f.policy.max_age = 3600;
}
static void not_yet(void)
{
	f.now = 1793599990;
}
static void too_old(void)
{
	f.policy.max_age = 60;
	f.now = 1793600070;
}
