/* SPDX-License-Identifier: Apache-2.0 */
/* tpm2: the part that calculates. */
#include <endian.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

#include "attest/ossl.h"
#include "attest/tpm2.h"
#include "base/cleanup.h"

#define RSA_BITS_MIN 2048
#define POINT_MAX (1 + 2 * 66)

/* A digest that names and signatures may rest on: collisions of SHA-1 can be had. */
static const EVP_MD *sound_digest(uint16_t alg)
{
	return alg == TPM2_SHA1 ? NULL : tpm2_digest(alg);
}

/* alg ‖ H(a ‖ b) */
static int name_of(uint16_t alg, const void *a, size_t a_len, const void *b, size_t b_len,
		   struct tpm2_bytes *ret)
{
	_cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	const EVP_MD *md = sound_digest(alg);
	const uint16_t head = htobe16(alg);
	struct tpm2_bytes n = {};
	unsigned int len;

	if (!md)
		return -EINVAL;
	memcpy(n.data, &head, sizeof(head));
	if (!ctx || EVP_DigestInit_ex(ctx, md, NULL) != 1 || EVP_DigestUpdate(ctx, a, a_len) != 1 ||
	    EVP_DigestUpdate(ctx, b, b_len) != 1 ||
	    EVP_DigestFinal_ex(ctx, n.data + sizeof(head), &len) != 1)
		return -ENOMEM;
	n.len = sizeof(head) + len;
	*ret = n;
	return 0;
}

int tpm2_name(uint16_t name_alg, const void *data, size_t len, struct tpm2_bytes *ret)
{
	return name_of(name_alg, data, len, NULL, 0, ret);
}

int tpm2_qualified_name(const struct tpm2_bytes *parent, const struct tpm2_bytes *name,
			struct tpm2_bytes *ret)
{
	if (name->len < 2)
		return -EINVAL;
	return name_of(name->data[0] << 8 | name->data[1], parent->data, parent->len, name->data,
		       name->len, ret);
}

struct tpm2_bytes tpm2_handle_name(uint32_t handle)
{
	struct tpm2_bytes name = {.len = sizeof(handle)};

	handle = htobe32(handle);
	memcpy(name.data, &handle, sizeof(handle));
	return name;
}

static int key_of(const char *type, OSSL_PARAM_BLD *build, EVP_PKEY **ret)
{
	_cleanup_(OSSL_PARAM_freep) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
	_cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx =
		EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;

	if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1)
		return -ENOMEM;
	if (EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		return -EINVAL;
	*ret = key;
	return 0;
}

static int rsa_key(const struct tpm2_public *p, EVP_PKEY **ret)
{
	_cleanup_(BN_freep) BIGNUM *n = BN_bin2bn(p->n.data, p->n.len, NULL);
	_cleanup_(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();

	if (!n || !build)
		return -ENOMEM;
	if (BN_num_bits(n) < RSA_BITS_MIN || !BN_is_odd(n) || p->exponent < 65537 ||
	    !(p->exponent & 1))
		return -EINVAL;
	if (OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
	    OSSL_PARAM_BLD_push_uint(build, OSSL_PKEY_PARAM_RSA_E, p->exponent) != 1)
		return -ENOMEM;
	return key_of("RSA", build, ret);
}

static int ecc_key(const struct tpm2_public *p, EVP_PKEY **ret)
{
	_cleanup_(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	const size_t size = tpm2_curve_size(p->curve);
	const char *group = size == 32 ? "P-256" : size == 48 ? "P-384" : "P-521";
	uint8_t point[POINT_MAX] = {POINT_CONVERSION_UNCOMPRESSED};

	if (!size || p->x.len > size || p->y.len > size)
		return -EINVAL;
	/* Some TPMs leave out leading zeros. */
	memcpy(point + 1 + size - p->x.len, p->x.data, p->x.len);
	memcpy(point + 1 + 2 * size - p->y.len, p->y.data, p->y.len);
	if (!build ||
	    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) != 1 ||
	    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * size) !=
		    1)
		return -ENOMEM;
	return key_of("EC", build, ret);
}

int tpm2_public_key(const struct tpm2_public *p, EVP_PKEY **ret)
{
	int err;

	ERR_set_mark();
	err = p->type == TPM2_RSA   ? rsa_key(p, ret)
	      : p->type == TPM2_ECC ? ecc_key(p, ret)
				    : -EINVAL;
	ERR_pop_to_mark();
	return err;
}

/* DER, as OpenSSL wants it. */
static int ecdsa_der(const struct tpm2_signature *s, uint8_t **ret, size_t *ret_len)
{
	_cleanup_(ECDSA_SIG_freep) ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r_number = BN_bin2bn(s->r.data, s->r.len, NULL);
	BIGNUM *s_number = BN_bin2bn(s->s.data, s->s.len, NULL);
	int len;

	if (!sig || !r_number || !s_number || ECDSA_SIG_set0(sig, r_number, s_number) != 1) {
		BN_free(r_number);
		BN_free(s_number);
		return -ENOMEM;
	}
	len = i2d_ECDSA_SIG(sig, ret);
	if (len < 0)
		return -ENOMEM;
	*ret_len = len;
	return 0;
}

static int verify(EVP_PKEY *key, const EVP_MD *md, int padding, const uint8_t *signature,
		  size_t signature_len, const void *data, size_t len)
{
	_cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *key_ctx;

	if (!ctx || EVP_DigestVerifyInit(ctx, &key_ctx, md, NULL, key) != 1)
		return -ENOMEM;
	if (padding && EVP_PKEY_CTX_set_rsa_padding(key_ctx, padding) != 1)
		return -EINVAL;
	if (padding == RSA_PKCS1_PSS_PADDING &&
	    EVP_PKEY_CTX_set_rsa_pss_saltlen(key_ctx, RSA_PSS_SALTLEN_AUTO) != 1)
		return -EINVAL;
	return EVP_DigestVerify(ctx, signature, signature_len, data, len) == 1 ? 0 : -EBADMSG;
}

int tpm2_signature_verify(const struct tpm2_signature *s, EVP_PKEY *key, const void *data,
			  size_t len)
{
	const bool ecdsa = s->scheme == TPM2_ECDSA;
	const EVP_MD *md = sound_digest(s->hash);
	uint8_t *der = NULL;
	size_t der_len;
	int err;

	if (!md || !EVP_PKEY_is_a(key, ecdsa ? "EC" : "RSA"))
		return -EINVAL;
	ERR_set_mark();
	if (ecdsa) {
		err = ecdsa_der(s, &der, &der_len) ?: verify(key, md, 0, der, der_len, data, len);
		OPENSSL_free(der);
	} else {
		err = verify(key, md,
			     s->scheme == TPM2_RSAPSS ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING,
			     s->rsa.data, s->rsa.len, data, len);
	}
	ERR_pop_to_mark();
	return err;
}
