/* SPDX-License-Identifier: Apache-2.0 */
/* libaffiant-verify: affiant-verify.h over attest/. */
#include "attest/affiant-verify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attest/ear.h"
#include "attest/ossl.h"
#include "attest/verify.h"

#define EXPORT __attribute__((visibility("default")))

struct affiant_verifier {
	struct verifier *verifier;
	uint8_t policy[SHA256_SIZE];
};

struct affiant_result {
	struct verify_result *result;
	uint8_t policy[SHA256_SIZE];
	char *nonce;
};

EXPORT struct affiant_verifier *affiant_verifier_new(const struct affiant_policy *policy,
						     const char **ret_why)
{
	struct affiant_verifier *v = calloc(1, sizeof(*v));

	*ret_why = "no memory";
	if (!v || verifier_new(policy, &v->verifier, ret_why) < 0) {
		free(v);
		return NULL;
	}
	memcpy(v->policy, policy->digest, sizeof(v->policy));
	return v;
}

EXPORT void affiant_verifier_free(struct affiant_verifier *v)
{
	if (!v)
		return;
	verifier_free(v->verifier);
	free(v);
}

EXPORT bool affiant_verify_ueid(const void *evidence, size_t len, uint8_t ret[AFFIANT_UEID_SIZE])
{
	return verify_ueid(evidence, len, ret) == 0;
}

EXPORT bool affiant_verify_early(struct affiant_verifier *v, const void *evidence, size_t len,
				 const char *nonce, const char *audience, int64_t now,
				 uint8_t ret[AFFIANT_UEID_SIZE])
{
	const struct verify_request q = {
		.evidence = evidence,
		.len = len,
		.nonce = nonce,
		.audience = audience,
		.now = now,
	};

	return verify_early(v->verifier, &q, ret) == 0;
}

/* What is damaged counts as nothing: then host evidence is needed. */
static int parse_state(const void *state, size_t len, struct hoststate **ret)
{
	struct hoststate *s = state ? calloc(1, sizeof(*s)) : NULL;
	const char *why;
	int err;

	if (!s)
		return state ? -ENOMEM : 0;
	err = hoststate_parse(state, len, s, &why);
	if (!err)
		*ret = s;
	else
		free(s);
	return err == -ENOMEM ? err : 0;
}

EXPORT struct affiant_result *affiant_verify(struct affiant_verifier *v, const void *evidence,
					     size_t len, const char *nonce, const char *audience,
					     int64_t now, const void *state, size_t state_len)
{
	struct affiant_result *r = calloc(1, sizeof(*r));
	_cleanup_free_ struct hoststate *cached = NULL;
	struct verify_request q = {
		.evidence = evidence,
		.len = len,
		.nonce = nonce,
		.audience = audience,
		.now = now,
	};

	if (!r)
		return NULL;
	r->nonce = strdup(nonce);
	memcpy(r->policy, v->policy, sizeof(r->policy));
	if (!r->nonce || parse_state(state, state_len, &cached) < 0) {
		affiant_result_free(r);
		return NULL;
	}
	q.cached = cached;
	if (verify(v->verifier, &q, &r->result) < 0) {
		affiant_result_free(r);
		return NULL;
	}
	return r;
}

EXPORT enum affiant_verdict affiant_result_verdict(const struct affiant_result *r)
{
	return r->result->verdict;
}

EXPORT const char *affiant_result_code(const struct affiant_result *r)
{
	return verify_code_name(r->result->code);
}

EXPORT const char *affiant_result_reason(const struct affiant_result *r)
{
	return verify_reason(r->result);
}

EXPORT enum affiant_tier affiant_result_tier(const struct affiant_result *r)
{
	return r->result->tier;
}

EXPORT uint64_t affiant_result_ima_from(const struct affiant_result *r)
{
	return r->result->ima_from;
}

EXPORT char *affiant_result_json(const struct affiant_result *r)
{
	_cleanup_json_ json_t *o = verify_result_json(r->result);

	return o ? json_dumps(o, JSON_COMPACT) : NULL;
}

EXPORT char *affiant_result_state(const struct affiant_result *r)
{
	return r->result->has_host ? hoststate_encode(&r->result->host) : NULL;
}

EXPORT char *affiant_result_ear(const struct affiant_result *r, const char *jwk,
				const char *developer, const char *build, int64_t now,
				bool veraison)
{
	const struct ear_options o = {
		.profile = veraison ? EAR_VERAISON : EAR_IETF,
		.developer = developer,
		.build = build,
		.policy = r->policy,
		.nonce = r->nonce,
		.now = now,
	};
	_cleanup_json_ json_t *json = NULL;
	_cleanup_key_ EVP_PKEY *key = NULL;
	char *token;

	if (jose_json(jwk, strlen(jwk), 2, &json) || !json_object_get(json, "d") ||
	    jose_key_of_jwk(json, &key) || ear_sign(r->result, &o, key, &token))
		return NULL;
	return token;
}

EXPORT void affiant_result_free(struct affiant_result *r)
{
	if (!r)
		return;
	verify_result_free(r->result);
	free(r->nonce);
	free(r);
}
