/* SPDX-License-Identifier: Apache-2.0 */
/* verify: what was sent, taken apart, and the token. */
#include <errno.h>
#include <string.h>

#include "attest/member.h"
#include "attest/verify_impl.h"

/*
 * Those that are decoded once the quote was found good: who can't sign one has none of them read.
 */
static bool is_log(enum host_member m)
{
	return m == BOOT_LOG || m == IMA_LOG || m == SYSTEMD_LOG;
}

static bool malformed(struct verification *v, enum verify_code code, const char *what)
{
	return fail(v, code, "evidence: format", "%.120s is malformed", what);
}

static bool decode(struct verification *v, struct cmw_item *item, enum verify_code code)
{
	int err = cmw_decode(item);

	if (err == -ENOMEM)
		return broken(v, err);
	return !err || malformed(v, code, item->name);
}

static bool decode_host(struct verification *v, bool logs)
{
	for (enum host_member m = 0; m < HOST_MEMBERS; m++)
		if (is_log(m) == logs && !decode(v, &v->host[m], VERIFY_malformed_host))
			return false;
	return true;
}

static bool parse_range(struct verification *v)
{
	const struct cmw_item *item = &v->host[IMA_RANGE];
	_cleanup_json_ json_t *o = NULL;
	const char *why = NULL;
	uint64_t entries;

	if (!item->text.at != !v->host[IMA_LOG].text.at)
		return malformed(v, VERIFY_malformed_host, "ima_range");
	if (!item->text.at)
		return true;
	if (jose_json(item->content, item->len, 2, &o) ||
	    member_number(&why, o, "from", INT64_MAX, &v->ima_from) ||
	    member_number(&why, o, "entries", INT64_MAX, &entries))
		return malformed(v, VERIFY_malformed_host, "ima_range");
	return true;
}

/* Where each member stands. */
static bool find_members(struct verification *v)
{
	const struct verify_request *q = v->request;
	struct cmw_fault fault;

	parts_init(&v->parts);
	v->items = v->parts.items;
	v->host = v->parts.host_items;
	if (q->len > BOUNDS_EVIDENCE)
		return fail(v, VERIFY_malformed_evidence, "evidence: format",
			    "%zu bytes are too many", q->len);
	if (cmw_read(q->evidence, q->len, &v->parts.evidence, &fault))
		return malformed(v,
				 fault.in == &v->parts.host ? VERIFY_malformed_host
							    : VERIFY_malformed_evidence,
				 fault.member);
	for (size_t i = 0; i < MEMBERS; i++)
		if (!v->items[i].text.at)
			return malformed(v, VERIFY_malformed_evidence, v->items[i].name);
	v->has_host = v->parts.host.present;
	for (enum host_member m = HOST_CLAIMS; v->has_host && m <= AK_PUBLIC; m++)
		if (!v->host[m].text.at)
			return malformed(v, VERIFY_malformed_host, v->host[m].name);
	return true;
}

static bool parse_claims(struct verification *v)
{
	struct verify_result *r = v->result;
	const struct cmw_item *eat = &v->items[EAT];
	const char *why = "";
	int err;

	err = jose_parse((const char *)eat->content, eat->len, CLAIMS_DEPTH_MAX, &v->token);
	if (err)
		return err == -ENOMEM ? broken(v, err)
				      : malformed(v, VERIFY_malformed_token, "the token");
	err = claims_parse(v->token.payload, &r->claims, &why);
	if (err)
		return err == -ENOMEM ? broken(v, err) : malformed(v, VERIFY_malformed_claims, why);
	r->has_claims = true;
	r->payload = json_incref(v->token.payload);
	return true;
}

bool verify_parse(struct verification *v)
{
	return find_members(v) && decode(v, &v->items[EAT], VERIFY_malformed_evidence) &&
	       parse_claims(v);
}

bool verify_members(struct verification *v)
{
	const struct cmw_item *quote = &v->items[QUOTE], *signature = &v->items[SIGNATURE];

	for (size_t i = 0; i < MEMBERS; i++)
		if (!decode(v, &v->items[i], VERIFY_malformed_evidence))
			return false;
	if (!decode_host(v, false) || !parse_range(v))
		return false;
	if (tpm2_attest_parse(quote->content, quote->len, &v->attest))
		return malformed(v, VERIFY_malformed_quote, "the quote");
	if (tpm2_signature_parse(signature->content, signature->len, &v->signature))
		return malformed(v, VERIFY_malformed_signature, "the quote's signature");
	return pass(v, "evidence: format", "%zu bytes%s", v->request->len,
		    v->has_host ? ", with host evidence" : "");
}

bool verify_logs(struct verification *v)
{
	return decode_host(v, true);
}

/* ---- the token ---- */

static bool is_text(const json_t *o, const char *name, const char *text)
{
	const char *is = json_string_value(json_object_get(o, name));

	return is && !strcmp(is, text);
}

/* The header names nothing that is chosen by it: one algorithm, one type, one key, whose thumbprint
 * is a claim. */
static bool check_header(struct verification *v)
{
	const json_t *header = v->token.header, *jwk = json_object_get(header, "jwk");

	if (!is_text(header, "alg", "ES256") || v->token.signature_len != 64)
		return fail(v, VERIFY_token_algorithm, "token: header",
			    "the algorithm is not ES256");
	if (!is_text(header, "typ", "eat+jwt") || json_object_size(header) != 3 || !jwk)
		return fail(v, VERIFY_token_header, "token: header",
			    "it is not alg, typ eat+jwt and jwk alone");
	return true;
}

static bool not_a_key(struct verification *v)
{
	return fail(v, VERIFY_token_key, "token: key", "it is not a public key on P-256");
}

/* The key in the header: the thumbprint names it alone. */
static bool take_key(struct verification *v, EVP_PKEY **ret)
{
	const json_t *jwk = json_object_get(v->token.header, "jwk");
	char thumbprint[JOSE_THUMBPRINT_SIZE];
	struct sha256 name;
	EVP_PKEY *key;
	int err;

	if (!is_text(jwk, "crv", "P-256") || json_object_get(jwk, "d"))
		return not_a_key(v);
	err = jose_jwk_thumbprint(jwk, thumbprint);
	if (err)
		return err == -ENOMEM ? broken(v, err) : not_a_key(v);
	if (strcmp(thumbprint, v->result->claims.kid))
		return fail(v, VERIFY_token_key, "token: key",
			    "the claim kid is another key's thumbprint");
	err = sha256_of(thumbprint, strlen(thumbprint), &name);
	if (err)
		return broken(v, err);
	*ret = verifier_key(v->verifier, &name);
	if (*ret)
		return true;
	err = jose_key_of_jwk(jwk, &key);
	if (err)
		return err == -ENOMEM ? broken(v, err) : not_a_key(v);
	*ret = verifier_keep(v->verifier, &name, key);
	return true;
}

bool verify_token(struct verification *v)
{
	const char *token = (const char *)v->items[EAT].content;
	EVP_PKEY *key;
	int err;

	if (!check_header(v) || !take_key(v, &key))
		return false;
	err = jose_verify(key, token, v->token.signing_input_len, v->token.signature,
			  v->token.signature_len);
	if (err)
		return err == -ENOMEM ? broken(v, err)
				      : fail(v, VERIFY_token_signature, "token: signature",
					     "it is not by the token's key");
	return pass(v, "token: signature", "ES256 by %s", v->result->claims.kid);
}

bool verify_binding(struct verification *v)
{
	const struct claims *c = &v->result->claims;
	const struct verify_request *q = v->request;
	const int64_t skew = v->policy->skew, age = v->policy->max_age;
	const int64_t iat = c->iat, exp = c->exp;

	if (strcmp(c->nonce, q->nonce))
		return fail(v, VERIFY_nonce, "token: nonce", "it is another one");
	if (strcmp(c->audience, q->audience))
		return fail(v, VERIFY_audience, "token: audience", "made for another one");
	if (iat > q->now + skew)
		return fail(v, VERIFY_not_yet_valid, "token: times", "made in %lld s",
			    (long long)(iat - q->now));
	if (exp + skew <= q->now)
		return fail(v, VERIFY_expired, "token: times", "expired %lld s ago",
			    (long long)(q->now - exp));
	if (q->now - iat > age + skew)
		return fail(v, VERIFY_too_old, "token: times",
			    "made %lld s ago; the policy takes %lld", (long long)(q->now - iat),
			    (long long)age);
	return pass(v, "token: binding", "nonce, audience; %lld s old",
		    (long long)(q->now > iat ? q->now - iat : 0));
}
