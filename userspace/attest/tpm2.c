/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/tpm2.h"

#include <errno.h>
#include <string.h>

#include "base/reader.h"

static const struct {
	uint16_t alg;
	size_t size;
	const EVP_MD *(*md)(void);
} digests[] = {
	{TPM2_SHA1, 20, EVP_sha1},         {TPM2_SHA256, 32, EVP_sha256},
	{TPM2_SHA384, 48, EVP_sha384},     {TPM2_SHA512, 64, EVP_sha512},
	{TPM2_SM3_256, 32, NULL},          {TPM2_SHA3_256, 32, EVP_sha3_256},
	{TPM2_SHA3_384, 48, EVP_sha3_384}, {TPM2_SHA3_512, 64, EVP_sha3_512},
};

size_t tpm2_digest_size(uint16_t alg)
{
	for (size_t i = 0; i < sizeof(digests) / sizeof(*digests); i++)
		if (digests[i].alg == alg)
			return digests[i].size;
	return 0;
}

const EVP_MD *tpm2_digest(uint16_t alg)
{
	for (size_t i = 0; i < sizeof(digests) / sizeof(*digests); i++)
		if (digests[i].alg == alg)
			return digests[i].md ? digests[i].md() : NULL;
	return NULL;
}

/* A TPM2B: two bytes of length, at most @max bytes. */
static int get_sized(struct reader *r, size_t max, uint8_t *ret, size_t *ret_len)
{
	uint16_t len;
	int err;

	err = reader_u16be(r, &len);
	if (err)
		return err;
	if (len > max)
		return -EBADMSG;
	err = reader_copy(r, len, ret);
	if (!err)
		*ret_len = len;
	return err;
}

static int get_bytes(struct reader *r, size_t max, struct tpm2_bytes *ret)
{
	return get_sized(r, max, ret->data, &ret->len);
}

/* TPMS_CLOCK_INFO (Part 2, 10.11.1) */
static int get_clock(struct reader *r, struct tpm2_clock *ret)
{
	uint8_t safe;
	int err;

	err = reader_u64be(r, &ret->ms) ?:
	      reader_u32be(r, &ret->resets) ?:
	      reader_u32be(r, &ret->restarts) ?:
	      reader_u8(r, &safe);
	if (err)
		return err;
	if (safe > 1) /* TPMI_YES_NO: anything else is not a TPM speaking */
		return -EBADMSG;
	ret->safe = safe;
	return 0;
}

/* TPMS_PCR_SELECTION (10.9.8) */
static int get_selection(struct reader *r, struct tpm2_selection *ret)
{
	uint8_t size, bits[3];
	int err;

	err = reader_u16be(r, &ret->alg) ?: reader_u8(r, &size);
	if (err)
		return err;
	if (size != sizeof(bits))
		return -EBADMSG;
	err = reader_copy(r, sizeof(bits), bits);
	if (err)
		return err;
	ret->pcrs = bits[0] | bits[1] << 8 | bits[2] << 16;
	return 0;
}

/* TPMS_QUOTE_INFO (10.12.1) */
static int get_quote(struct reader *r, struct tpm2_attest *ret)
{
	uint32_t count;
	int err;

	err = reader_u32be(r, &count);
	if (err)
		return err;
	if (count > TPM2_SELECTIONS_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < count; i++) {
		err = get_selection(r, &ret->selections[i]);
		if (err)
			return err;
	}
	ret->selections_count = count;
	return get_bytes(r, TPM2_DIGEST_MAX, &ret->pcr_digest);
}

/* TPMS_NV_CERTIFY_INFO (10.12.8), of a counter */
static int get_nv_certify(struct reader *r, struct tpm2_attest *ret)
{
	uint16_t size;
	int err;

	err = get_bytes(r, TPM2_NAME_MAX, &ret->nv_name) ?:
	      reader_u16be(r, &ret->nv_offset) ?:
	      reader_u16be(r, &size);
	if (err)
		return err;
	return size == sizeof(ret->nv_counter) ? reader_u64be(r, &ret->nv_counter) : -EBADMSG;
}

int tpm2_attest_parse(const void *data, size_t len, struct tpm2_attest *ret)
{
	struct reader r = reader_of(data, len);
	struct tpm2_attest a = {};
	int err;

	err = reader_u32be(&r, &a.magic) ?:
	      reader_u16be(&r, &a.type) ?:
	      get_bytes(&r, TPM2_NAME_MAX, &a.qualified_signer) ?:
	      get_bytes(&r, TPM2_NAME_MAX, &a.extra) ?:
	      get_clock(&r, &a.clock) ?:
	      reader_u64be(&r, &a.firmware);
	if (!err && a.type == TPM2_ST_ATTEST_QUOTE)
		err = get_quote(&r, &a) ?: reader_end(&r);
	else if (!err && a.type == TPM2_ST_ATTEST_NV)
		err = get_nv_certify(&r, &a) ?: reader_end(&r);
	if (err)
		return err;
	*ret = a;
	return 0;
}

int tpm2_signature_parse(const void *data, size_t len, struct tpm2_signature *ret)
{
	struct reader r = reader_of(data, len);
	struct tpm2_signature s = {};
	int err;

	err = reader_u16be(&r, &s.scheme) ?: reader_u16be(&r, &s.hash);
	if (err)
		return err;
	switch (s.scheme) {
	case TPM2_ECDSA:
		err = get_sized(&r, sizeof(s.r.data), s.r.data, &s.r.len)
			      ?: get_sized(&r, sizeof(s.s.data), s.s.data, &s.s.len);
		break;
	case TPM2_RSASSA:
	case TPM2_RSAPSS:
		err = get_sized(&r, sizeof(s.rsa.data), s.rsa.data, &s.rsa.len);
		break;
	default:
		err = -EBADMSG;
	}
	if (!err)
		err = reader_end(&r);
	if (err)
		return err;
	*ret = s;
	return 0;
}

/* TPMT_SYM_DEF_OBJECT (11.1.7): a storage key's, none for a signing key. */
static int get_symmetric(struct reader *r, struct tpm2_public *ret)
{
	int err = reader_u16be(r, &ret->symmetric);

	if (err || ret->symmetric == TPM2_NULL)
		return err;
	if (ret->symmetric != TPM2_AES)
		return -EBADMSG;
	return reader_u16be(r, &ret->symmetric_bits) ?: reader_u16be(r, &ret->symmetric_mode);
}

/*
 * TPMT_RSA_SCHEME (11.2.4.2), TPMT_ECC_SCHEME (11.2.5.6): what we know of them has a hash behind
 * it, or nothing.
 */
static int get_scheme(struct reader *r, struct tpm2_public *ret)
{
	int err = reader_u16be(r, &ret->scheme);

	if (err)
		return err;
	switch (ret->scheme) {
	case TPM2_NULL:
	case TPM2_RSAES:
		ret->scheme_hash = TPM2_NULL;
		return 0;
	case TPM2_RSASSA:
	case TPM2_RSAPSS:
	case TPM2_OAEP:
	case TPM2_ECDSA:
	case TPM2_ECDH:
		return reader_u16be(r, &ret->scheme_hash);
	}
	return -EBADMSG;
}

/* TPMS_RSA_PARMS (12.2.3.5) and the modulus */
static int get_rsa(struct reader *r, struct tpm2_public *ret)
{
	int err;

	err = get_symmetric(r, ret) ?:
	      get_scheme(r, ret) ?:
	      reader_u16be(r, &ret->bits) ?:
	      reader_u32be(r, &ret->exponent) ?:
	      get_sized(r, sizeof(ret->n.data), ret->n.data, &ret->n.len);
	if (err)
		return err;
	if (ret->n.len * 8 != ret->bits || !ret->bits)
		return -EBADMSG;
	if (!ret->exponent)
		ret->exponent = 65537;
	return 0;
}

size_t tpm2_curve_size(uint16_t curve)
{
	switch (curve) {
	case TPM2_P256:
		return 32;
	case TPM2_P384:
		return 48;
	case TPM2_P521:
		return 66;
	}
	return 0;
}

/* TPMS_ECC_PARMS (12.2.3.6) and the point */
static int get_ecc(struct reader *r, struct tpm2_public *ret)
{
	uint16_t kdf, kdf_hash;
	size_t size;
	int err;

	err = get_symmetric(r, ret) ?:
	      get_scheme(r, ret) ?:
	      reader_u16be(r, &ret->curve) ?:
	      reader_u16be(r, &kdf);
	if (!err && kdf != TPM2_NULL)
		err = reader_u16be(r, &kdf_hash);
	if (err)
		return err;
	size = tpm2_curve_size(ret->curve);
	if (!size)
		return -EBADMSG;
	return get_sized(r, size, ret->x.data, &ret->x.len)
		       ?: get_sized(r, size, ret->y.data, &ret->y.len);
}

int tpm2_public_parse(const void *data, size_t len, struct tpm2_public *ret)
{
	struct reader r = reader_of(data, len);
	struct tpm2_public p = {};
	int err;

	err = reader_u16be(&r, &p.type) ?:
	      reader_u16be(&r, &p.name_alg) ?:
	      reader_u32be(&r, &p.attributes) ?:
	      get_bytes(&r, TPM2_DIGEST_MAX, &p.policy);
	if (err)
		return err;
	if (p.type == TPM2_RSA)
		err = get_rsa(&r, &p);
	else if (p.type == TPM2_ECC)
		err = get_ecc(&r, &p);
	else
		err = -EBADMSG;
	if (!err)
		err = reader_end(&r);
	if (err)
		return err;
	*ret = p;
	return 0;
}
