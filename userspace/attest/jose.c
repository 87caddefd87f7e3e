/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/jose.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <pthread.h>
#include <string.h>

#include "attest/ossl.h"
#include "base/base64url.h"
#include "base/buffer.h"
#include "base/digest.h"

#define COORDINATE_MAX 48
#define DER_MAX 128 /* of an ECDSA signature: two integers of 49 bytes, and headers */

static const struct curve {
	const char *name;  /* RFC 7518, section 6.2.1.1 */
	const char *group; /* as OpenSSL calls it */
	size_t size;       /* of a coordinate */
	const EVP_MD *(*digest)(void);
} curves[] = {
	{"P-256", "prime256v1", 32, EVP_sha256},
	{"P-384", "secp384r1", 48, EVP_sha384},
};

static const struct curve *curve_of(const EVP_PKEY *key)
{
	char group[32];

	if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
	    EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group),
					   NULL) != 1)
		return NULL;
	for (size_t i = 0; i < sizeof(curves) / sizeof(*curves); i++)
		if (!strcmp(group, curves[i].group))
			return &curves[i];
	return NULL;
}

/* The curve alone, made once: to look it up by its name costs as much as the key. */
static EVP_PKEY *p256;

static void make_p256(void)
{
	_cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *c =
		EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);

	if (!c || EVP_PKEY_paramgen_init(c) != 1 ||
	    EVP_PKEY_CTX_set_group_name(c, curves[0].group) != 1 ||
	    EVP_PKEY_paramgen(c, &p256) != 1)
		p256 = NULL;
}

static EVP_PKEY *p256_parameters(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_p256);
	return p256;
}

int jose_key_new(EVP_PKEY **ret)
{
	EVP_PKEY *parameters = p256_parameters();
	_cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *c =
		parameters ? EVP_PKEY_CTX_new_from_pkey(NULL, parameters, NULL) : NULL;
	EVP_PKEY *key = NULL;

	if (!c || EVP_PKEY_keygen_init(c) != 1 || EVP_PKEY_keygen(c, &key) != 1)
		return -ENOMEM;
	*ret = key;
	return 0;
}

/* One number of the key, as long as a coordinate of its curve (RFC 7518, section 6.2.1.2). */
static int number_text(EVP_PKEY *key, const char *param, size_t size,
		       char ret[BASE64URL_LEN(COORDINATE_MAX) + 1])
{
	uint8_t bytes[COORDINATE_MAX];
	BIGNUM *n = NULL;
	int err = -EINVAL;

	if (EVP_PKEY_get_bn_param(key, param, &n) == 1 &&
	    BN_bn2binpad(n, bytes, size) == (int)size) {
		base64url_encode(bytes, size, ret);
		err = 0;
	}
	OPENSSL_cleanse(bytes, sizeof(bytes));
	BN_clear_free(n);
	return err;
}

struct coordinates {
	char x[BASE64URL_LEN(COORDINATE_MAX) + 1], y[BASE64URL_LEN(COORDINATE_MAX) + 1];
};

/* From the point as a whole: each coordinate asked for by itself costs OpenSSL as much. */
static int coordinates_of(EVP_PKEY *key, const struct curve *curve, struct coordinates *ret)
{
	uint8_t point[1 + 2 * COORDINATE_MAX];
	size_t len;

	if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point),
					    &len) != 1 ||
	    len != 1 + 2 * curve->size || point[0] != POINT_CONVERSION_UNCOMPRESSED)
		return -EINVAL;
	base64url_encode(point + 1, curve->size, ret->x);
	base64url_encode(point + 1 + curve->size, curve->size, ret->y);
	return 0;
}

json_t *jose_jwk(EVP_PKEY *key, bool private)
{
	const struct curve *curve = curve_of(key);
	char d[BASE64URL_LEN(COORDINATE_MAX) + 1];
	struct coordinates c;
	json_t *jwk;

	if (!curve || coordinates_of(key, curve, &c) < 0)
		return NULL;
	jwk = json_pack("{ssssssss}", "kty", "EC", "crv", curve->name, "x", c.x, "y", c.y);
	if (!jwk || !private)
		return jwk;
	if (number_text(key, OSSL_PKEY_PARAM_PRIV_KEY, curve->size, d) < 0 ||
	    json_object_set_new(jwk, "d", json_string(d)) < 0) {
		json_decref(jwk);
		jwk = NULL;
	}
	OPENSSL_cleanse(d, sizeof(d));
	return jwk;
}

/* The required members, sorted, without white space (RFC 7638, section 3). */
static int thumbprint_of(const char *curve, const char *x, const char *y,
			 char ret[static JOSE_THUMBPRINT_SIZE])
{
	_cleanup_buffer_ struct buffer b = {};
	struct sha256 digest;
	int err;

	buffer_print(&b, "{\"crv\":\"%s\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", curve, x, y);
	err = buffer_error(&b) ?: sha256_of(b.data, b.len, &digest);
	if (!err)
		base64url_encode(&digest, sizeof(digest), ret);
	return err;
}

int jose_thumbprint(EVP_PKEY *key, char ret[static JOSE_THUMBPRINT_SIZE])
{
	const struct curve *curve = curve_of(key);
	struct coordinates c;

	if (!curve)
		return -EINVAL;
	return coordinates_of(key, curve, &c) ?: thumbprint_of(curve->name, c.x, c.y, ret);
}

static int member_bytes(const json_t *jwk, const char *name, uint8_t *ret, size_t size)
{
	const json_t *value = json_object_get(jwk, name);

	if (!json_is_string(value) ||
	    base64url_decode_exact(json_string_value(value), json_string_length(value), ret, size))
		return -EINVAL;
	return 0;
}

/* OpenSSL takes no point that is not on the curve, which is enough: it has none of another order. */
static int p256_public(const uint8_t *point, EVP_PKEY **ret)
{
	_cleanup_key_ EVP_PKEY *key = EVP_PKEY_new();
	EVP_PKEY *parameters = p256_parameters();

	if (!key || !parameters || EVP_PKEY_copy_parameters(key, parameters) != 1)
		return -ENOMEM;
	if (EVP_PKEY_set1_encoded_public_key(key, point, 1 + 2 * curves[0].size) != 1)
		return -EINVAL;
	*ret = TAKE_PTR(key);
	return 0;
}

/* @d: NULL for a public key. The point is on the curve, or the key is not made. */
static int key_of(const struct curve *curve, const uint8_t *point, const BIGNUM *d, EVP_PKEY **ret)
{
	_cleanup_(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	_cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *make =
		EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	_cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *check = NULL;
	_cleanup_(OSSL_PARAM_freep) OSSL_PARAM *params = NULL;
	_cleanup_key_ EVP_PKEY *key = NULL;

	if (!build || !make ||
	    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0) !=
		    1 ||
	    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point,
					     1 + 2 * curve->size) != 1 ||
	    (d && OSSL_PARAM_BLD_push_BN_pad(build, OSSL_PKEY_PARAM_PRIV_KEY, d, curve->size) != 1))
		return -ENOMEM;
	params = OSSL_PARAM_BLD_to_param(build);
	if (!params)
		return -ENOMEM;
	if (EVP_PKEY_fromdata_init(make) != 1 ||
	    EVP_PKEY_fromdata(make, &key, d ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) != 1)
		return -EINVAL;
	/* That the point is on the curve was seen; these curves have no points of another order. */
	check = d ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
	if (d &&
	    (!check || EVP_PKEY_private_check(check) != 1 || EVP_PKEY_pairwise_check(check) != 1))
		return -EINVAL;
	*ret = TAKE_PTR(key);
	return 0;
}

/* The curve that a JWK names, and its two numbers, each in its one encoding. NULL: it is not like that. */
static const struct curve *point_of(const json_t *jwk, uint8_t ret[static 1 + 2 * COORDINATE_MAX])
{
	const char *kty = json_string_value(json_object_get(jwk, "kty"));
	const char *crv = json_string_value(json_object_get(jwk, "crv"));
	const struct curve *curve = NULL;

	for (size_t i = 0; crv && i < sizeof(curves) / sizeof(*curves); i++)
		if (!strcmp(crv, curves[i].name))
			curve = &curves[i];
	ret[0] = POINT_CONVERSION_UNCOMPRESSED;
	if (!kty || strcmp(kty, "EC") || !curve || member_bytes(jwk, "x", ret + 1, curve->size) ||
	    member_bytes(jwk, "y", ret + 1 + curve->size, curve->size))
		return NULL;
	return curve;
}

int jose_jwk_thumbprint(const json_t *jwk, char ret[static JOSE_THUMBPRINT_SIZE])
{
	uint8_t point[1 + 2 * COORDINATE_MAX];
	const struct curve *curve = point_of(jwk, point);

	return curve ? thumbprint_of(curve->name, json_string_value(json_object_get(jwk, "x")),
				     json_string_value(json_object_get(jwk, "y")), ret)
		     : -EINVAL;
}

int jose_key_of_jwk(const json_t *jwk, EVP_PKEY **ret)
{
	uint8_t point[1 + 2 * COORDINATE_MAX], d[COORDINATE_MAX];
	const struct curve *curve = point_of(jwk, point);
	BIGNUM *number = NULL;
	int err;

	if (!curve)
		return -EINVAL;
	if (json_object_get(jwk, "d")) {
		err = member_bytes(jwk, "d", d, curve->size);
		number = err ? NULL : BN_bin2bn(d, curve->size, NULL);
		OPENSSL_cleanse(d, sizeof(d));
		if (!number)
			return err ?: -ENOMEM;
		BN_set_flags(number, BN_FLG_CONSTTIME);
	}
	err = curve == &curves[0] && !number ? p256_public(point, ret)
					     : key_of(curve, point, number, ret);
	BN_clear_free(number);
	return err;
}

int jose_sign(EVP_PKEY *key, const void *data, size_t len, uint8_t ret[static 96], size_t *ret_len)
{
	_cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *c = EVP_MD_CTX_new();
	_cleanup_(ECDSA_SIG_freep) ECDSA_SIG *signature = NULL;
	const struct curve *curve = curve_of(key);
	uint8_t der[DER_MAX];
	const uint8_t *at = der;
	size_t der_len = sizeof(der);

	if (!curve)
		return -EINVAL;
	if (!c || EVP_DigestSignInit(c, NULL, curve->digest(), NULL, key) != 1 ||
	    EVP_DigestSign(c, der, &der_len, data, len) != 1)
		return -ENOMEM;
	signature = d2i_ECDSA_SIG(NULL, &at, der_len);
	if (!signature || BN_bn2binpad(ECDSA_SIG_get0_r(signature), ret, curve->size) < 0 ||
	    BN_bn2binpad(ECDSA_SIG_get0_s(signature), ret + curve->size, curve->size) < 0)
		return -ENOMEM;
	*ret_len = 2 * curve->size;
	return 0;
}

/* r ‖ s as the DER that OpenSSL takes; returns its length, or 0. */
static size_t to_der(const uint8_t *signature, size_t size, uint8_t ret[static DER_MAX])
{
	_cleanup_(ECDSA_SIG_freep) ECDSA_SIG *s = ECDSA_SIG_new();
	_cleanup_(BN_freep) BIGNUM *r_number = BN_bin2bn(signature, size, NULL);
	_cleanup_(BN_freep) BIGNUM *s_number = BN_bin2bn(signature + size, size, NULL);
	int len;

	if (!s || !r_number || !s_number || ECDSA_SIG_set0(s, r_number, s_number) != 1)
		return 0;
	r_number = s_number = NULL; /* they are its own now */
	len = i2d_ECDSA_SIG(s, &ret);
	return len > 0 ? len : 0;
}

int jose_verify(EVP_PKEY *key, const void *data, size_t len, const uint8_t *signature,
		size_t signature_len)
{
	_cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *c = NULL;
	const struct curve *curve = curve_of(key);
	uint8_t der[DER_MAX];
	size_t der_len;

	if (!curve || signature_len != 2 * curve->size)
		return -EBADMSG;
	c = EVP_MD_CTX_new();
	der_len = to_der(signature, curve->size, der);
	if (!c || !der_len || EVP_DigestVerifyInit(c, NULL, curve->digest(), NULL, key) != 1)
		return -ENOMEM;
	return EVP_DigestVerify(c, der, der_len, data, len) == 1 ? 0 : -EBADMSG;
}
