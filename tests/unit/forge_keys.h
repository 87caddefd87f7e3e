/* SPDX-License-Identifier: Apache-2.0 */
/* forge_keys: what a TPM and those who vouch for it have, made with OpenSSL. Include after
 * cmocka.h. */
#pragma once

#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "attest/authority.h"
#include "attest/certificate.h"
#include "attest/ossl.h"
#include "attest/tpm2.h"

#define FORGE_NOW INT64_C(1793600010)
#define AK_ATTRIBUTES                                                                              \
	(TPM2_FIXED_TPM | TPM2_FIXED_PARENT | TPM2_SENSITIVE_DATA_ORIGIN | TPM2_USER_WITH_AUTH |   \
	 TPM2_NO_DA | TPM2_RESTRICTED | TPM2_SIGN)
#define EK_ATTRIBUTES                                                                              \
	(TPM2_FIXED_TPM | TPM2_FIXED_PARENT | TPM2_SENSITIVE_DATA_ORIGIN |                         \
	 TPM2_ADMIN_WITH_POLICY | TPM2_RESTRICTED | TPM2_DECRYPT)

struct bytes {
	uint8_t data[2048];
	size_t len;
};

static inline void add(struct bytes *b, const void *data, size_t len)
{
	assert_true(b->len + len <= sizeof(b->data));
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

static inline void add_be(struct bytes *b, uint64_t value, size_t size)
{
	for (size_t i = size; i-- > 0;) {
		uint8_t byte = value >> (8 * i);

		add(b, &byte, 1);
	}
}

static inline void add_sized(struct bytes *b, const void *data, size_t len)
{
	add_be(b, len, 2);
	add(b, data, len);
}

static inline void add_number(struct bytes *b, EVP_PKEY *key, const char *name, size_t size)
{
	uint8_t number[512];
	BIGNUM *n = NULL;

	assert_int_equal(EVP_PKEY_get_bn_param(key, name, &n), 1);
	assert_int_equal(BN_bn2binpad(n, number, size), (int)size);
	BN_free(n);
	add_sized(b, number, size);
}

/* A kind of AK, by what its TPMT_PUBLIC says. */
struct ak_kind {
	uint16_t type, name_alg, scheme, hash, curve;
	uint32_t attributes;
};

static inline bool is_ecc(const struct ak_kind *k)
{
	return k->type == TPM2_ECC;
}

static inline EVP_PKEY *key_new(const struct ak_kind *k)
{
	EVP_PKEY *key = !is_ecc(k) ? EVP_RSA_gen(2048)
				   : EVP_EC_gen(k->curve == TPM2_P384 ? "P-384" : "P-256");

	assert_non_null(key);
	return key;
}

/* TPMT_PUBLIC of a signing key. */
static inline struct bytes ak_public(EVP_PKEY *key, const struct ak_kind *k)
{
	const size_t size = k->curve == TPM2_P384 ? 48 : 32;
	struct bytes b = {};

	add_be(&b, k->type, 2);
	add_be(&b, k->name_alg, 2);
	add_be(&b, k->attributes, 4);
	add_be(&b, 0, 2);
	add_be(&b, TPM2_NULL, 2);
	add_be(&b, k->scheme, 2);
	if (k->scheme != TPM2_NULL)
		add_be(&b, k->hash, 2);
	if (is_ecc(k)) {
		add_be(&b, k->curve, 2);
		add_be(&b, TPM2_NULL, 2);
		add_number(&b, key, OSSL_PKEY_PARAM_EC_PUB_X, size);
		add_number(&b, key, OSSL_PKEY_PARAM_EC_PUB_Y, size);
	} else {
		add_be(&b, 2048, 2);
		add_be(&b, 0, 4);
		add_number(&b, key, OSSL_PKEY_PARAM_RSA_N, 256);
	}
	return b;
}

/* TPMT_PUBLIC of an EK on P-256, by the TCG's template. */
static inline struct bytes ek_public(EVP_PKEY *key, uint32_t attributes)
{
	static const uint8_t policy[32] = {0x83, 0x71, 0x97, 0x67};
	struct bytes b = {};

	add_be(&b, TPM2_ECC, 2);
	add_be(&b, TPM2_SHA256, 2);
	add_be(&b, attributes, 4);
	add_sized(&b, policy, sizeof(policy));
	add_be(&b, TPM2_AES, 2);
	add_be(&b, 128, 2);
	add_be(&b, TPM2_CFB, 2);
	add_be(&b, TPM2_NULL, 2);
	add_be(&b, TPM2_P256, 2);
	add_be(&b, TPM2_NULL, 2);
	add_number(&b, key, OSSL_PKEY_PARAM_EC_PUB_X, 32);
	add_number(&b, key, OSSL_PKEY_PARAM_EC_PUB_Y, 32);
	return b;
}

static inline void add_extension(X509 *x, X509V3_CTX *c, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, c, nid, value);

	assert_non_null(e);
	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

/* An EK certificate by @ca, valid until @until. */
static inline X509 *ek_certificate(const struct authority *ca, EVP_PKEY *ek, const char *maker,
				   int64_t until)
{
	X509_NAME *directory = X509_NAME_new();
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	GENERAL_NAME *name = GENERAL_NAME_new();
	X509 *x = X509_new();
	X509V3_CTX c;

	OBJ_create("2.23.133.2.1", "tpmManufacturer", "tpmManufacturer");
	assert_int_equal(X509_NAME_add_entry_by_txt(directory, "2.23.133.2.1", MBSTRING_UTF8,
						    (const uint8_t *)maker, -1, -1, 0),
			 1);
	name->type = GEN_DIRNAME;
	name->d.directoryName = directory;
	sk_GENERAL_NAME_push(names, name);
	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
	X509_set_issuer_name(x, X509_get_subject_name(ca->certificate));
	ASN1_TIME_set(X509_getm_notBefore(x), FORGE_NOW - 86400);
	ASN1_TIME_set(X509_getm_notAfter(x), until);
	X509_set_pubkey(x, ek);
	X509V3_set_ctx(&c, ca->certificate, x, NULL, NULL, 0);
	add_extension(x, &c, NID_basic_constraints, "critical,CA:FALSE");
	add_extension(x, &c, NID_key_usage, "critical,keyAgreement");
	add_extension(x, &c, NID_authority_key_identifier, "keyid:always");
	assert_int_equal(X509_add1_ext_i2d(x, NID_subject_alt_name, names, 1, 0), 1);
	assert_true(X509_sign(x, ca->key, EVP_sha256()) > 0);
	GENERAL_NAMES_free(names);
	return x;
}

static inline void put_pem(X509 *x, char *ret, size_t size)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *data;
	long len;

	assert_int_equal(PEM_write_bio_X509(b, x), 1);
	len = BIO_get_mem_data(b, &data);
	assert_true((size_t)len < size);
	memcpy(ret, data, len);
	ret[len] = '\0';
	BIO_free(b);
}

/* TPMT_SIGNATURE over @data, as the AK's kind has it, or of another scheme. */
static inline struct bytes tpm_sign(EVP_PKEY *key, uint16_t scheme, uint16_t hash, const void *data,
				    size_t len)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	uint8_t signature[512];
	size_t signature_len = sizeof(signature);
	const uint8_t *at = signature;
	EVP_PKEY_CTX *p;
	struct bytes b = {};

	assert_int_equal(EVP_DigestSignInit(c, &p, tpm2_digest(hash), NULL, key), 1);
	if (scheme == TPM2_RSAPSS) {
		EVP_PKEY_CTX_set_rsa_padding(p, RSA_PKCS1_PSS_PADDING);
		EVP_PKEY_CTX_set_rsa_pss_saltlen(p, RSA_PSS_SALTLEN_MAX);
	}
	assert_int_equal(EVP_DigestSign(c, signature, &signature_len, data, len), 1);
	EVP_MD_CTX_free(c);
	add_be(&b, scheme, 2);
	add_be(&b, hash, 2);
	if (scheme == TPM2_ECDSA) {
		ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &at, signature_len);
		uint8_t number[66];
		int n;

		n = BN_bn2bin(ECDSA_SIG_get0_r(s), number);
		add_sized(&b, number, n);
		n = BN_bn2bin(ECDSA_SIG_get0_s(s), number);
		add_sized(&b, number, n);
		ECDSA_SIG_free(s);
	} else {
		add_sized(&b, signature, signature_len);
	}
	return b;
}
