/* SPDX-License-Identifier: Apache-2.0 */
#include "tpm/template.h"

#include <string.h>

const struct ek_template templates[] = {
	{"L-2", TPM_EK_ECC_P256, false, 0x01c0000a, 0x01c0000b, 0x01c0000c, TPM2_ALG_SHA256},
	{"H-2", TPM_EK_ECC_P256, true, 0x01c00014, 0, 0, TPM2_ALG_SHA256},
	{"H-3", TPM_EK_ECC_P384, true, 0x01c00016, 0, 0, TPM2_ALG_SHA384},
	{"L-1", TPM_EK_RSA_2048, false, 0x01c00002, 0x01c00003, 0x01c00004, TPM2_ALG_SHA256},
	{"H-1", TPM_EK_RSA_2048, true, 0x01c00012, 0, 0, TPM2_ALG_SHA256},
};
const size_t templates_count = sizeof(templates) / sizeof(*templates);

#define POLICY(bytes)                                                                              \
	{                                                                                          \
		.size = sizeof(bytes) - 1, .buffer = bytes                                         \
	}

/* PolicyA of the profile: PolicySecret(TPM_RH_ENDORSEMENT). */
static const TPM2B_DIGEST a_sha256 =
	POLICY("\x83\x71\x97\x67\x44\x84\xb3\xf8\x1a\x90\xcc\x8d\x46\xa5\xd7\x24"
	       "\xfd\x52\xd7\x6e\x06\x52\x0b\x64\xf2\xa1\xda\x1b\x33\x14\x69\xaa");
static const TPM2B_DIGEST a_sha384 =
	POLICY("\x8b\xbf\x22\x66\x53\x7c\x17\x1c\xb5\x6e\x40\x3c\x4d\xc1\xd4\xb6"
	       "\x4f\x43\x26\x11\xdc\x38\x6e\x6f\x53\x20\x50\xc3\x27\x8c\x93\x0e"
	       "\x14\x3e\x8b\xb1\x13\x38\x24\xcc\xb4\x31\x05\x38\x71\xc6\xdb\x53");
/* PolicyC: PolicyAuthorizeNV with index 0x01C07F01 (SHA-256), 0x01C07F02 (SHA-384). */
static const TPM2B_DIGEST c_sha256 =
	POLICY("\x37\x67\xe2\xed\xd4\x3f\xf4\x5a\x3a\x7e\x1e\xae\xfc\xef\x78\x64"
	       "\x3d\xca\x96\x46\x32\xe7\xaa\xd8\x2c\x67\x3a\x30\xd8\x63\x3f\xde");
static const TPM2B_DIGEST c_sha384 =
	POLICY("\xd6\x03\x2c\xe6\x1f\x2f\xb3\xc2\x40\xeb\x3c\xf6\xa3\x32\x37\xef"
	       "\x2b\x6a\x16\xf4\x29\x3c\x22\xb4\x55\xe2\x61\xcf\xfd\x21\x7a\xd5"
	       "\xb4\x94\x7c\x2d\x73\xe6\x30\x05\xee\xd2\xdc\x2b\x35\x93\xd1\x65");
/* PolicyB: PolicyOR(PolicyA, PolicyC), the policy of the high range. */
static const TPM2B_DIGEST b_sha256 =
	POLICY("\xca\x3d\x0a\x99\xa2\xb9\x39\x06\xf7\xa3\x34\x24\x14\xef\xcf\xb3"
	       "\xa3\x85\xd4\x4c\xd1\xfd\x45\x90\x89\xd1\x9b\x50\x71\xc0\xb7\xa0");
static const TPM2B_DIGEST b_sha384 =
	POLICY("\xb2\x6e\x7d\x28\xd1\x1a\x50\xbc\x53\xd8\x82\xbc\xf5\xfd\x3a\x1a"
	       "\x07\x41\x48\xbb\x35\xd3\xb4\xe4\xcb\x1c\x0a\xd9\xbd\xe4\x19\xca"
	       "\xcb\x47\xba\x09\x69\x96\x46\x15\x0f\x9f\xc0\x00\xf3\xf8\x0e\x12");

void template_policies(TPMI_ALG_HASH name_alg, TPML_DIGEST *ret)
{
	bool sha384 = name_alg == TPM2_ALG_SHA384;

	*ret = (TPML_DIGEST){
		.count = 2,
		.digests = {sha384 ? a_sha384 : a_sha256, sha384 ? c_sha384 : c_sha256}};
}

static const TPM2B_DIGEST *policy_of(const struct ek_template *t)
{
	if (!t->high)
		return &a_sha256;
	return t->name_alg == TPM2_ALG_SHA384 ? &b_sha384 : &b_sha256;
}

static void fill_rsa(const struct ek_template *t, const void *nonce, size_t len, TPMT_PUBLIC *p)
{
	p->type = TPM2_ALG_RSA;
	p->parameters.rsaDetail = (TPMS_RSA_PARMS){
		.symmetric = {.algorithm = TPM2_ALG_AES,
			      .keyBits.aes = 128,
			      .mode.aes = TPM2_ALG_CFB},
		.scheme.scheme = TPM2_ALG_NULL,
		.keyBits = 2048,
	};
	p->unique.rsa.size = t->high ? 0 : 256;
	if (len)
		memcpy(p->unique.rsa.buffer, nonce, len);
}

static void fill_ecc(const struct ek_template *t, const void *nonce, size_t len, TPMT_PUBLIC *p)
{
	bool p384 = t->kind == TPM_EK_ECC_P384;

	p->type = TPM2_ALG_ECC;
	p->parameters.eccDetail = (TPMS_ECC_PARMS){
		.symmetric = {.algorithm = TPM2_ALG_AES,
			      .keyBits.aes = p384 ? 256 : 128,
			      .mode.aes = TPM2_ALG_CFB},
		.scheme.scheme = TPM2_ALG_NULL,
		.curveID = p384 ? TPM2_ECC_NIST_P384 : TPM2_ECC_NIST_P256,
		.kdf.scheme = TPM2_ALG_NULL,
	};
	p->unique.ecc.x.size = p->unique.ecc.y.size = t->high ? 0 : 32;
	if (len)
		memcpy(p->unique.ecc.x.buffer, nonce, len);
}

void template_public(const struct ek_template *t, const void *nonce, size_t len, TPM2B_PUBLIC *ret)
{
	TPMT_PUBLIC *p = &ret->publicArea;
	bool rsa = t->kind == TPM_EK_RSA_2048;
	size_t room = t->high ? 0 : rsa ? 256 : 32;

	memset(ret, 0, sizeof(*ret));
	p->nameAlg = t->name_alg;
	p->objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
			      TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_ADMINWITHPOLICY |
			      TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT |
			      (t->high ? TPMA_OBJECT_USERWITHAUTH : 0);
	p->authPolicy = *policy_of(t);
	if (rsa)
		fill_rsa(t, nonce, len < room ? len : room, p);
	else
		fill_ecc(t, nonce, len < room ? len : room, p);
}

void template_attestation_key(TPM2B_PUBLIC *ret)
{
	*ret = (TPM2B_PUBLIC){
		.publicArea = {
			.type = TPM2_ALG_ECC,
			.nameAlg = TPM2_ALG_SHA256,
			/*
			 * No dictionary attack protection: 256 random bits need none, and with it
			 *   anybody who reaches the TPM could keep us from quoting by guessing
			 *   wrong.
			 */
			.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
					    TPMA_OBJECT_SENSITIVEDATAORIGIN |
					    TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA |
					    TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT,
			.parameters.eccDetail =
				{
					.symmetric.algorithm = TPM2_ALG_NULL,
					.scheme = {.scheme = TPM2_ALG_ECDSA,
						   .details.ecdsa.hashAlg = TPM2_ALG_SHA256},
					.curveID = TPM2_ECC_NIST_P256,
					.kdf.scheme = TPM2_ALG_NULL,
				},
		}};
}
