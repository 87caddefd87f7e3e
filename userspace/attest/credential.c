/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/credential.h"

#include <endian.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <string.h>

#include "attest/ossl.h"

#define COORDINATE_MAX 48
#define IDENTITY "IDENTITY"

static void put_u16(uint8_t *to, size_t value)
{
	to[0] = value >> 8;
	to[1] = value;
}

static void put_u32(uint8_t *to, uint32_t value)
{
	put_u16(to, value >> 16);
	put_u16(to + 2, value);
}

struct seed {
	size_t len;
	uint8_t data[TPM2_DIGEST_MAX];
};

/*
 * KDFa (11.4.10.2): HMAC in counter mode, over the label with its NUL. One block is enough for all
 * keys made here: none is longer than the digest.
 */
static int kdfa(const EVP_MD *md, const struct seed *key, const char *label,
		const struct tpm2_bytes *context, size_t len, uint8_t *ret)
{
	uint8_t input[4 + 16 + TPM2_NAME_MAX + 4] = {0, 0, 0, 1}, block[EVP_MAX_MD_SIZE];
	size_t at = 4, label_len = strlen(label) + 1;

	memcpy(input + at, label, label_len);
	at += label_len;
	memcpy(input + at, context->data, context->len);
	at += context->len;
	put_u32(input + at, 8 * len);
	if (!HMAC(md, key->data, key->len, input, at + 4, block, NULL))
		return -ENOMEM;
	memcpy(ret, block, len);
	OPENSSL_cleanse(block, sizeof(block));
	return 0;
}

/* KDFe (11.4.10.3), of one block: H(1 ‖ Z ‖ label ‖ x of the ephemeral key ‖ x of the EK). */
static int kdfe(const EVP_MD *md, const uint8_t *z, const uint8_t *ephemeral_x, const uint8_t *ek_x,
		size_t size, struct seed *ret)
{
	_cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *c = EVP_MD_CTX_new();
	uint32_t counter = htobe32(1);
	unsigned int len;

	if (!c || EVP_DigestInit_ex(c, md, NULL) != 1 ||
	    EVP_DigestUpdate(c, &counter, sizeof(counter)) != 1 ||
	    EVP_DigestUpdate(c, z, size) != 1 ||
	    EVP_DigestUpdate(c, IDENTITY, sizeof(IDENTITY)) != 1 ||
	    EVP_DigestUpdate(c, ephemeral_x, size) != 1 || EVP_DigestUpdate(c, ek_x, size) != 1 ||
	    EVP_DigestFinal_ex(c, ret->data, &len) != 1)
		return -ENOMEM;
	ret->len = len;
	return 0;
}

/* Annex B.4: OAEP with the name algorithm, and the label's NUL. */
static int seal_rsa(EVP_PKEY *ek, const EVP_MD *md, struct seed *seed, struct credential *ret)
{
	_cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, ek, NULL);
	unsigned char *label = (unsigned char *)OPENSSL_strdup(IDENTITY);
	size_t len = sizeof(ret->encrypted) - 2;

	seed->len = EVP_MD_get_size(md);
	if (!c || !label || EVP_PKEY_encrypt_init(c) != 1 ||
	    EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING) != 1 ||
	    EVP_PKEY_CTX_set_rsa_oaep_md(c, md) != 1 || EVP_PKEY_CTX_set_rsa_mgf1_md(c, md) != 1 ||
	    EVP_PKEY_CTX_set0_rsa_oaep_label(c, label, sizeof(IDENTITY)) != 1) {
		OPENSSL_free(label);
		return -ENOMEM;
	}
	/* The label is the context's now. */
	if (RAND_priv_bytes(seed->data, seed->len) != 1 ||
	    EVP_PKEY_encrypt(c, ret->encrypted + 2, &len, seed->data, seed->len) != 1)
		return -EINVAL;
	put_u16(ret->encrypted, len);
	ret->encrypted_len = 2 + len;
	return 0;
}

static int coordinate(EVP_PKEY *key, const char *param, size_t size, uint8_t *ret)
{
	_cleanup_(BN_freep) BIGNUM *n = NULL;

	return EVP_PKEY_get_bn_param(key, param, &n) == 1 && BN_bn2binpad(n, ret, size) == (int)size
		       ? 0
		       : -EINVAL;
}

/*
 * One-pass Diffie-Hellman (Annex C.6.1) with a key for this once; the secret is TPMS_ECC_POINT of
 * its public part.
 */
static int seal_ecc(EVP_PKEY *ek, const EVP_MD *md, size_t size, struct seed *seed,
		    struct credential *ret)
{
	_cleanup_key_ EVP_PKEY *once = EVP_EC_gen(size == 32 ? "P-256" : "P-384");
	_cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *c =
		once ? EVP_PKEY_CTX_new_from_pkey(NULL, once, NULL) : NULL;
	uint8_t z[COORDINATE_MAX], ek_x[COORDINATE_MAX], *at = ret->encrypted + 2;
	size_t z_len = sizeof(z);
	int err;

	if (!c || EVP_PKEY_derive_init(c) != 1)
		return -ENOMEM;
	if (EVP_PKEY_derive_set_peer(c, ek) != 1 || EVP_PKEY_derive(c, z, &z_len) != 1 ||
	    z_len != size)
		return -EINVAL;
	put_u16(at, size);
	put_u16(at + 2 + size, size);
	err = coordinate(once, OSSL_PKEY_PARAM_EC_PUB_X, size, at + 2) ?:
	      coordinate(once, OSSL_PKEY_PARAM_EC_PUB_Y, size, at + 2 + size + 2) ?:
	      coordinate(ek, OSSL_PKEY_PARAM_EC_PUB_X, size, ek_x) ?:
	      kdfe(md, z, at + 2, ek_x, size, seed);
	OPENSSL_cleanse(z, sizeof(z));
	put_u16(ret->encrypted, 2 * (2 + size));
	ret->encrypted_len = 2 + 2 * (2 + size);
	return err;
}

/* @data, in place, under a key that is used this once: the IV is zero (24.4). */
static int encrypt(const struct tpm2_public *ek, const uint8_t *key, uint8_t *data, int len)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	const EVP_CIPHER *cipher =
		ek->symmetric_bits == 128 ? EVP_aes_128_cfb128() : EVP_aes_256_cfb128();
	static const uint8_t iv[16];
	int got, err = 0;

	if (!c || EVP_EncryptInit_ex(c, cipher, NULL, key, iv) != 1 ||
	    EVP_EncryptUpdate(c, data, &got, data, len) != 1)
		err = -ENOMEM;
	EVP_CIPHER_CTX_free(c);
	return err;
}

/* TPM2B_ID_OBJECT: size, TPM2B_DIGEST of the HMAC, and the secret as an encrypted TPM2B_DIGEST. */
static int wrap(const struct tpm2_public *ek, const EVP_MD *md, const struct seed *seed,
		const struct tpm2_bytes *name, const void *secret, size_t len,
		struct credential *ret)
{
	size_t digest = EVP_MD_get_size(md);
	uint8_t key[32], *mac = ret->id_object + 2, *identity = mac + 2 + digest;
	uint8_t covered[2 + CREDENTIAL_SECRET_MAX + TPM2_NAME_MAX];
	static const struct tpm2_bytes nothing;
	struct seed mac_key = {.len = digest};
	int err;

	put_u16(identity, len);
	memcpy(identity + 2, secret, len);
	err = kdfa(md, seed, "STORAGE", name, ek->symmetric_bits / 8, key) ?:
	      encrypt(ek, key, identity, 2 + len) ?:
	      kdfa(md, seed, "INTEGRITY", &nothing, digest, mac_key.data);
	memcpy(covered, identity, 2 + len);
	memcpy(covered + 2 + len, name->data, name->len);
	put_u16(mac, digest);
	if (!err &&
	    !HMAC(md, mac_key.data, mac_key.len, covered, 2 + len + name->len, mac + 2, NULL))
		err = -ENOMEM;
	put_u16(ret->id_object, 2 + digest + 2 + len);
	ret->id_object_len = 2 + 2 + digest + 2 + len;
	OPENSSL_cleanse(key, sizeof(key));
	OPENSSL_cleanse(&mac_key, sizeof(mac_key));
	return err;
}

int credential_make(const struct tpm2_public *ek, const struct tpm2_bytes *name, const void *secret,
		    size_t len, struct credential *ret)
{
	size_t size = ek->type == TPM2_ECC ? tpm2_curve_size(ek->curve) : 0;
	const EVP_MD *md = tpm2_digest(ek->name_alg);
	_cleanup_key_ EVP_PKEY *key = NULL;
	struct credential made = {};
	struct seed seed = {};
	int err;

	if (!md || EVP_MD_get_size(md) < SHA256_SIZE || ek->symmetric != TPM2_AES ||
	    ek->symmetric_mode != TPM2_CFB ||
	    (ek->symmetric_bits != 128 && ek->symmetric_bits != 256) || size > COORDINATE_MAX ||
	    len == 0 || len > CREDENTIAL_SECRET_MAX || name->len == 0 ||
	    name->len > sizeof(name->data))
		return -EINVAL;
	err = tpm2_public_key(ek, &key);
	if (err)
		return err;
	ERR_set_mark();
	err = (size ? seal_ecc(key, md, size, &seed, &made) : seal_rsa(key, md, &seed, &made))
		      ?: wrap(ek, md, &seed, name, secret, len, &made);
	ERR_pop_to_mark();
	OPENSSL_cleanse(&seed, sizeof(seed));
	if (!err)
		*ret = made;
	return err;
}
