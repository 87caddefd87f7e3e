/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/proof.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "attest/jose.h"
#include "attest/ossl.h"
#include "base/base64url.h"
#include "base/digest.h"

static const char alphanumeric[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

static bool is_text(const char *text)
{
	size_t len = text ? strlen(text) : 0;

	return len > 0 && len <= PROOF_TEXT_MAX;
}

/* token, RFC 9110, section 5.6.2 */
static bool is_method(const char *text)
{
	return is_text(text) &&
	       !text[strspn(text,
			    "!#$%&'*+-.^_`|~ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			    "0123456789")];
}

/* RFC 3986: a scheme, a colon and more, of the characters that a URI may have. */
static bool is_uri(const char *text)
{
	size_t scheme;

	if (!is_text(text) || text[strspn(text, "-._~:/?#[]@!$&'()*+,;=%ABCDEFGHIJKLMNOPQRSTUVWXYZ"
						"abcdefghijklmnopqrstuvwxyz0123456789")])
		return false;
	scheme = strspn(text, alphanumeric);
	return scheme > 0 && text[scheme] == ':' && text[scheme + 1];
}

/* base64url(SHA-256(text)); NULL: no memory. */
static json_t *hash_json(const char *text)
{
	char encoded[BASE64URL_LEN(SHA256_SIZE) + 1];
	struct sha256 digest;

	if (sha256_of(text, strlen(text), &digest) < 0)
		return NULL;
	base64url_encode(&digest, sizeof(digest), encoded);
	return json_string(encoded);
}

static json_t *jti_json(const struct uuid *jti)
{
	char text[UUID_TEXT_SIZE];

	uuid_format(jti, text);
	return json_string(text);
}

static int sign(EVP_PKEY *key, const json_t *header, const json_t *payload, char **ret)
{
	_cleanup_free_ char *input = NULL;

	if (!header || !payload)
		return -ENOMEM;
	return jose_signing_input(header, payload, &input) ?: jose_jws(key, input, ret);
}

/* The public half, or NULL when it is not on P-256: ES256 is what these proofs are signed with. */
static json_t *p256_jwk(EVP_PKEY *key)
{
	_cleanup_json_ json_t *jwk = jose_jwk(key, false);
	const char *crv = json_string_value(json_object_get(jwk, "crv"));

	return crv && !strcmp(crv, "P-256") ? TAKE_PTR(jwk) : NULL;
}

int proof_dpop(EVP_PKEY *key, const struct proof_dpop *p, const struct uuid *jti, uint64_t iat,
	       char **ret)
{
	_cleanup_json_ json_t *jwk = NULL, *header = NULL, *payload = NULL;

	if (!is_method(p->htm) || !is_uri(p->htu) || (p->nonce && !is_text(p->nonce)) ||
	    (p->access_token && !is_text(p->access_token)))
		return -EINVAL;
	jwk = p256_jwk(key);
	if (!jwk)
		return -EINVAL;
	header = json_pack("{sssssO}", "typ", "dpop+jwt", "alg", "ES256", "jwk", jwk);
	payload = json_pack("{s:o, s:s, s:s%, s:I}", "jti", jti_json(jti), "htm", p->htm, "htu",
			    p->htu, strcspn(p->htu, "?#"), "iat", (json_int_t)iat);
	if (p->nonce && json_object_set_new(payload, "nonce", json_string(p->nonce)) < 0)
		return -EINVAL;
	if (p->access_token && json_object_set_new(payload, "ath", hash_json(p->access_token)) < 0)
		return -ENOMEM;
	return sign(key, header, payload, ret);
}

int proof_wpt(EVP_PKEY *key, const struct proof_wpt *p, const struct uuid *jti, char **ret)
{
	_cleanup_json_ json_t *jwk = NULL, *header = NULL, *payload = NULL;

	if (!is_uri(p->aud) || !is_text(p->wit) || (p->access_token && !is_text(p->access_token)))
		return -EINVAL;
	jwk = p256_jwk(key);
	if (!jwk)
		return -EINVAL;
	header = json_pack("{ssss}", "typ", "wpt+jwt", "alg", "ES256");
	payload = json_pack("{sssIsoso}", "aud", p->aud, "exp", (json_int_t)p->exp, "jti",
			    jti_json(jti), "wth", hash_json(p->wit));
	if (p->access_token && json_object_set_new(payload, "ath", hash_json(p->access_token)) < 0)
		return -ENOMEM;
	return sign(key, header, payload, ret);
}
