/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jose: EC keys as JWK (RFC 7517), their thumbprints (RFC 7638), and JWS in compact serialisation
 * (RFC 7515) with ES256 or ES384. By OpenSSL directly: libjose's JWS call verified half as many per
 * second.
 */
#pragma once

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOSE_THUMBPRINT_SIZE 44 /* base64url of SHA-256, NUL-terminated */

/* A fresh key on P-256. */
int jose_key_new(EVP_PKEY **ret);

/* P-256 or P-384. @private: with "d". NULL: no memory. */
json_t *jose_jwk(EVP_PKEY *key, bool private);
/* -EINVAL: not an EC key on one of the two curves, a point beside it, "d" that is another key's. */
int jose_key_of_jwk(const json_t *jwk, EVP_PKEY **ret);
int jose_thumbprint(EVP_PKEY *key, char ret[static JOSE_THUMBPRINT_SIZE]);
/*
 * Of a JWK as it is written, whose point may be none: a fraction of what making a key of it takes.
 * -EINVAL.
 */
int jose_jwk_thumbprint(const json_t *jwk, char ret[static JOSE_THUMBPRINT_SIZE]);

/* r ‖ s over the bytes (RFC 7518, section 3.4): 64 bytes for P-256, 96 for P-384. */
int jose_sign(EVP_PKEY *key, const void *data, size_t len, uint8_t ret[static 96], size_t *ret_len);
/* 0; -EBADMSG: not that key's signature. */
int jose_verify(EVP_PKEY *key, const void *data, size_t len, const uint8_t *signature,
		size_t signature_len);

/* BASE64URL(header) "." BASE64URL(payload), to be freed. */
int jose_signing_input(const json_t *header, const json_t *payload, char **ret);
/* With "." BASE64URL(signature), to be freed. */
int jose_jws(EVP_PKEY *key, const char *signing_input, char **ret);

struct jose_parsed {
	json_t *header, *payload; /* objects; owned */
	size_t signing_input_len; /* prefix of the token */
	uint8_t signature[96];
	size_t signature_len;
};

/*
 * Three parts, strict base64url, JSON objects without doubled members, at most @depth deep.
 * -EBADMSG. No signature is checked, and "alg" is only a word in the header: the caller says which
 * key and curve it takes.
 */
int jose_parse(const char *token, size_t len, size_t depth, struct jose_parsed *ret);
void jose_parsed_clear(struct jose_parsed *p);

/*
 * json_loadb() for what strangers send: duplicates refused, nothing behind the value, at most
 * @depth levels of nesting and BOUNDS_JSON_VALUES values, counted before jansson builds anything.
 * -EBADMSG. How long it may be is for the caller to bound.
 */
int jose_json(const void *data, size_t len, size_t depth, json_t **ret);
