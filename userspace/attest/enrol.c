/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/enrol.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

#include "attest/ossl.h"

DEFINE_CLEANUP(STACK_OF(X509) *, certificate_chain_free)

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EBADMSG;
}

int enrol_proof(const uint8_t key[static ENROL_KEY_SIZE], const struct tpm2_bytes *ak_name,
		uint8_t ret[static 32])
{
	static const char domain[] = "affiant/enrol/v1"; /* with its NUL */
	uint8_t message[sizeof(domain) + TPM2_NAME_MAX];

	memcpy(message, domain, sizeof(domain));
	memcpy(message + sizeof(domain), ak_name->data, ak_name->len);
	return HMAC(EVP_sha256(), key, ENROL_KEY_SIZE, message, sizeof(domain) + ak_name->len, ret,
		    NULL)
		       ? 0
		       : -ENOMEM;
}

/* Made in this TPM, and never to leave it. */
static bool is_of_tpm(const struct tpm2_public *p)
{
	const uint32_t born = TPM2_FIXED_TPM | TPM2_FIXED_PARENT | TPM2_SENSITIVE_DATA_ORIGIN;

	return (p->attributes & born) == born;
}

/* Strong enough, and a key at all. */
static bool is_key(const struct tpm2_public *p)
{
	_cleanup_key_ EVP_PKEY *key = NULL;

	if (p->type == TPM2_ECC && p->curve != TPM2_P256 && p->curve != TPM2_P384)
		return false;
	return tpm2_public_key(p, &key) == 0;
}

static bool is_sha2(uint16_t alg)
{
	return alg == TPM2_SHA256 || alg == TPM2_SHA384 || alg == TPM2_SHA512;
}

int enrol_check_ak(const struct tpm2_public *ak, const char **ret_why)
{
	bool scheme = ak->type == TPM2_ECC ? ak->scheme == TPM2_ECDSA
					   : ak->scheme == TPM2_RSASSA || ak->scheme == TPM2_RSAPSS;

	if (!(ak->attributes & TPM2_RESTRICTED))
		return refuse(ret_why,
			      "the AK is not restricted: it signs what did not come from its TPM");
	if (!(ak->attributes & TPM2_SIGN) || (ak->attributes & TPM2_DECRYPT))
		return refuse(ret_why, "the AK is not for signing alone");
	if (!is_of_tpm(ak))
		return refuse(ret_why, "the AK may have been made, or may go, outside its TPM");
	if (!scheme || !is_sha2(ak->scheme_hash))
		return refuse(ret_why, "the AK has no fixed scheme of ECDSA, RSASSA or RSAPSS with "
				       "a hash of SHA-2");
	if (!is_sha2(ak->name_alg))
		return refuse(ret_why, "the AK is named by a hash that is not of SHA-2");
	if (!is_key(ak))
		return refuse(
			ret_why,
			"the AK is neither RSA of 2048 bits or more nor a point of P-256 or P-384");
	return 0;
}

int enrol_check_ek(const struct tpm2_public *ek, const char **ret_why)
{
	if (!(ek->attributes & TPM2_RESTRICTED) || !(ek->attributes & TPM2_DECRYPT) ||
	    (ek->attributes & TPM2_SIGN))
		return refuse(ret_why, "the EK is no storage key");
	if (!is_of_tpm(ek))
		return refuse(ret_why, "the EK may have been made, or may go, outside its TPM");
	if (!is_sha2(ek->name_alg))
		return refuse(ret_why, "the EK is named by a hash that is not of SHA-2");
	if (!is_key(ek))
		return refuse(
			ret_why,
			"the EK is neither RSA of 2048 bits or more nor a point of P-256 or P-384");
	return 0;
}

static int check_chain(const struct enrol_request *r, const struct certificate_store *store,
		       int64_t at, struct enrol_checked *c, const char **ret_why)
{
	_cleanup_(certificate_chain_freep) STACK_OF(X509) *chain = certificate_chain_new();
	int err = chain ? 0 : -ENOMEM;

	if (r->ek_chain_count == 0)
		return refuse(ret_why, "the TPM has no certificate for its EK");
	for (size_t i = 0; !err && i < r->ek_chain_count; i++)
		err = certificate_chain_add(chain, r->ek_chain[i].data, r->ek_chain[i].len);
	if (err)
		return err == -EBADMSG ? refuse(ret_why, "a certificate of the EK is malformed")
				       : err;
	return certificate_check_ek(store, chain, &c->ek, at, &c->tpm, ret_why);
}

int enrol_check_request(const struct enrol_request *r, const struct certificate_store *store,
			int64_t at, struct enrol_checked *ret, const char **ret_why)
{
	struct enrol_checked c = {};
	int err;

	if (tpm2_public_parse(r->ek_public.data, r->ek_public.len, &c.ek))
		return refuse(ret_why, "ek_public is malformed");
	if (tpm2_public_parse(r->ak_public.data, r->ak_public.len, &c.ak))
		return refuse(ret_why, "ak_public is malformed");
	err = enrol_check_ek(&c.ek, ret_why) ?:
	      enrol_check_ak(&c.ak, ret_why) ?:
	      tpm2_name(c.ak.name_alg, r->ak_public.data, r->ak_public.len, &c.ak_name) ?:
	      claims_ueid(r->ek_public.data, r->ek_public.len, c.ueid) ?:
	      (store ? check_chain(r, store, at, &c, ret_why) : 0);
	if (!err)
		*ret = c;
	return err;
}

int enrol_challenge_make(const struct enrol_checked *c, uint8_t ret_key[static ENROL_KEY_SIZE],
			 struct enrol_challenge *ret)
{
	struct enrol_challenge made = {.ak_name = c->ak_name};
	uint8_t key[ENROL_KEY_SIZE];
	int err;

	if (RAND_priv_bytes(key, sizeof(key)) != 1)
		return -ENOMEM;
	err = credential_make(&c->ek, &c->ak_name, key, sizeof(key), &made.credential);
	if (!err) {
		memcpy(ret_key, key, sizeof(key));
		*ret = made;
	}
	OPENSSL_cleanse(key, sizeof(key));
	return err;
}

int enrol_check_answer(const struct enrol_pending *p, const struct enrol_answer *a, int64_t at,
		       const char **ret_why)
{
	struct tpm2_public ak;
	struct tpm2_bytes name;
	uint8_t proof[32];
	int err;

	if (at < 0 || (uint64_t)at >= p->expires)
		return refuse(ret_why, "the challenge has expired");
	err = tpm2_public_parse(p->request.ak_public.data, p->request.ak_public.len, &ak) ?:
	      tpm2_name(ak.name_alg, p->request.ak_public.data, p->request.ak_public.len, &name) ?:
	      enrol_proof(p->key, &name, proof);
	if (err)
		return err;
	if (a->ak_name.len != name.len || memcmp(a->ak_name.data, name.data, name.len))
		return refuse(ret_why, "the answer is for another AK");
	if (CRYPTO_memcmp(a->proof, proof, sizeof(proof)))
		return refuse(ret_why,
			      "the answer does not show that the TPM opened the credential");
	return 0;
}
