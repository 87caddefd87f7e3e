/* SPDX-License-Identifier: Apache-2.0 */
#include "tpm/endorsement.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "tpm/der.h"
#include "tpm/nv.h"

/*
 * Of the issuers' certificates (profile, 2.2.1.5.2), concatenated over as many indices as it takes.
 */
#define CHAIN_FIRST 0x01c00100u
#define CHAIN_END 0x01c00200u
#define CHAIN_INDICES 16

DEFINE_CLEANUP(X509 *, X509_free)

/*
 * The one certificate of an EK. -ENOENT: there is none. What is no certificate is a TPM gone wrong.
 */
static int read_certificate(struct context *c, const struct ek_template *t, struct tpm_blob *ret)
{
	_cleanup_free_ uint8_t *data = NULL;
	size_t len, der;
	int err;

	err = nv_read(c, t->certificate, &data, &len);
	if (err)
		return err;
	if (der_length(data, len, &der) || der > TPM_CERTIFICATE_MAX)
		return context_fail(c, -ENOENT, "NV index 0x%08x holds no certificate",
				    t->certificate);
	*ret = (struct tpm_blob){.len = der, .data = TAKE_PTR(data)};
	return 0;
}

static bool is_certificate(const uint8_t *der, size_t len)
{
	const unsigned char *at = der;
	_cleanup_(X509_freep) X509 *x = d2i_X509(NULL, &at, len);

	return x && at == der + len;
}

/* Certificates one behind the other, revocation lists among them, padding between them. */
static int split_chain(const uint8_t *data, size_t len, struct tpm_blob *chain, size_t *count)
{
	uint8_t *copy;
	size_t der;

	while (len > 0 && *count < TPM_CHAIN_MAX) {
		if (*data == 0x00 || *data == 0xff) {
			data++;
			len--;
			continue;
		}
		if (der_length(data, len, &der))
			break;
		if (der <= TPM_CERTIFICATE_MAX && is_certificate(data, der)) {
			copy = malloc(der);
			if (!copy)
				return -ENOMEM;
			memcpy(copy, data, der);
			chain[(*count)++] = (struct tpm_blob){.len = der, .data = copy};
		}
		data += der;
		len -= der;
	}
	return 0;
}

static int read_issuers(struct context *c, struct tpm_blob *chain, size_t *count)
{
	_cleanup_free_ uint8_t *all = NULL;
	TPM2_HANDLE indices[CHAIN_INDICES];
	size_t found, len = 0;
	int err;

	err = nv_list(c, CHAIN_FIRST, CHAIN_END, indices, CHAIN_INDICES, &found);
	for (size_t i = 0; !err && i < found; i++) {
		_cleanup_free_ uint8_t *part = NULL;
		size_t part_len;
		uint8_t *more;

		err = nv_read(c, indices[i], &part, &part_len);
		if (err == -ENOENT) {
			err = 0;
			continue;
		}
		if (err)
			break;
		more = realloc(all, len + part_len + 1);
		if (!more)
			return -ENOMEM;
		memcpy(more + len, part, part_len);
		all = more;
		len += part_len;
	}
	return err ?: split_chain(all, len, chain, count);
}

/*
 * The key's own coordinate or modulus stands in the certificate's key. Anything OpenSSL can't read
 * passes: a verifier judges certificates, not we.
 */
static bool certifies(const struct tpm_blob *certificate, const TPMT_PUBLIC *p)
{
	const unsigned char *at = certificate->data;
	_cleanup_(X509_freep) X509 *x = d2i_X509(NULL, &at, certificate->len);
	const TPM2B_PUBLIC_KEY_RSA *n = &p->unique.rsa;
	const TPM2B_ECC_PARAMETER *ecc = &p->unique.ecc.x;
	bool rsa = p->type == TPM2_ALG_RSA;
	EVP_PKEY *key = x ? X509_get0_pubkey(x) : NULL;
	BIGNUM *theirs = NULL, *ours;
	bool same;

	if (!key || !EVP_PKEY_get_bn_param(
			    key, rsa ? OSSL_PKEY_PARAM_RSA_N : OSSL_PKEY_PARAM_EC_PUB_X, &theirs))
		return !key;
	ours = rsa ? BN_bin2bn(n->buffer, n->size, NULL) : BN_bin2bn(ecc->buffer, ecc->size, NULL);
	same = ours && BN_cmp(ours, theirs) == 0;
	BN_free(ours);
	BN_free(theirs);
	return same;
}

/* The public area to make it from: the profile's, unless NV says otherwise. */
static int wanted_public(struct context *c, const struct ek_template *t, TPM2B_PUBLIC *ret)
{
	_cleanup_free_ uint8_t *custom = NULL, *nonce = NULL;
	size_t custom_len = 0, nonce_len = 0, offset = 0;
	int err = 0;

	if (t->nonce)
		err = nv_read(c, t->nonce, &nonce, &nonce_len);
	if (err && err != -ENOENT)
		return err;
	template_public(t, nonce, nonce_len, ret);
	err = t->custom ? nv_read(c, t->custom, &custom, &custom_len) : -ENOENT;
	if (err)
		return err == -ENOENT ? 0 : err;
	memset(ret, 0, sizeof(*ret));
	if (Tss2_MU_TPMT_PUBLIC_Unmarshal(custom, custom_len, &offset, &ret->publicArea))
		return context_fail(c, -EIO, "NV index 0x%08x holds no template of a key",
				    t->custom);
	return 0;
}

static int make_key(struct context *c, const struct ek_template *t, struct endorsement *ret)
{
	static const TPM2B_SENSITIVE_CREATE sensitive;
	static const TPM2B_DATA outside;
	static const TPML_PCR_SELECTION pcrs;
	_cleanup_free_ TPM2B_PUBLIC *public = NULL;
	TPM2B_PUBLIC wanted;
	ESYS_TR key;
	int err;

	err = wanted_public(c, t, &wanted);
	if (err)
		return err;
	err = TPM_COMMAND_WITHIN(c, CONTEXT_KEY_NS, Esys_CreatePrimary,
				 (c->esys, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD, ESYS_TR_NONE,
				  ESYS_TR_NONE, &sensitive, &wanted, &outside, &pcrs),
				 (c->esys, &key, &public, NULL, NULL, NULL));
	if (err)
		return err;
	*ret = (struct endorsement){.template = t, .key = key, .public = *public};
	return 0;
}

/* Makes the key if it has a certificate and that is of this key; else -ENOENT. */
static int make_certified(struct context *c, const struct ek_template *t, struct endorsement *ret,
			  struct tpm_blob *certificate)
{
	_cleanup_free_ uint8_t *owned = NULL;
	struct endorsement made;
	struct tpm_blob found;
	int err;

	err = read_certificate(c, t, &found);
	if (err)
		return err;
	owned = found.data;
	err = make_key(c, t, &made);
	if (err)
		return err;
	if (!certifies(&found, &made.public.publicArea)) {
		context_flush(c, &made.key);
		return context_fail(c, -ENOENT,
				    "the certificate in NV index 0x%08x is of another key",
				    t->certificate);
	}
	*certificate = found;
	owned = NULL;
	*ret = made;
	return 0;
}

/* The range that a TPM without certificates has: P-384 never was in the low one. */
static bool is_default(const struct ek_template *t, enum tpm_ek kind)
{
	return t->kind == (kind == TPM_EK_AUTO ? TPM_EK_ECC_P256 : kind) &&
	       t->high == (t->kind == TPM_EK_ECC_P384);
}

int endorsement_make(struct context *c, enum tpm_ek kind, struct endorsement *ret,
		     struct tpm_blob *chain, size_t *ret_count)
{
	int err = -ENOENT;

	*ret_count = 0;
	for (size_t i = 0; err == -ENOENT && i < templates_count; i++)
		if (kind == TPM_EK_AUTO || templates[i].kind == kind)
			err = make_certified(c, &templates[i], ret, &chain[0]);
	if (!err) {
		*ret_count = 1;
		return read_issuers(c, chain, ret_count);
	}
	for (size_t i = 0; err == -ENOENT && i < templates_count; i++)
		if (is_default(&templates[i], kind))
			err = make_key(c, &templates[i], ret);
	return err;
}

/* PolicySecret(endorsement), and in the high range PolicyOR behind it. */
static int satisfy(struct context *c, const struct endorsement *e, ESYS_TR session)
{
	_cleanup_free_ TPMT_TK_AUTH *ticket = NULL;
	_cleanup_free_ TPM2B_TIMEOUT *timeout = NULL;
	TPML_DIGEST policies;
	int err;

	err = TPM_COMMAND(c, Esys_PolicySecret,
			  (c->esys, ESYS_TR_RH_ENDORSEMENT, session, ESYS_TR_PASSWORD, ESYS_TR_NONE,
			   ESYS_TR_NONE, NULL, NULL, NULL, 0),
			  (c->esys, &timeout, &ticket));
	if (err || !e->template->high)
		return err;
	template_policies(e->template->name_alg, &policies);
	return TPM_COMMAND(c, Esys_PolicyOR,
			   (c->esys, session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &policies),
			   (c->esys));
}

int endorsement_authorise(struct context *c, const struct endorsement *e, ESYS_TR *ret)
{
	static const TPMT_SYM_DEF none = {.algorithm = TPM2_ALG_NULL};
	ESYS_TR session;
	int err;

	err = TPM_COMMAND(c, Esys_StartAuthSession,
			  (c->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
			   ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &none, e->public.publicArea.nameAlg),
			  (c->esys, &session));
	if (err)
		return err;
	err = satisfy(c, e, session);
	if (!err && Esys_TRSess_SetAttributes(c->esys, session, TPMA_SESSION_CONTINUESESSION, 0xff))
		err = context_fail(c, -EIO, "Esys_TRSess_SetAttributes failed");
	if (err) {
		context_flush(c, &session);
		return err;
	}
	*ret = session;
	return 0;
}
