/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/certificate.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "attest/ossl.h"
#include "base/base64url.h"

#define EK_PURPOSE "2.23.133.8.1" /* tcg-kp-EKCertificate */
#define SECURITY_BITS_MIN 112

DEFINE_CLEANUP(X509_STORE_CTX *, X509_STORE_CTX_free)
DEFINE_CLEANUP(GENERAL_NAMES *, GENERAL_NAMES_free)
DEFINE_CLEANUP(STACK_OF(X509) *, certificate_chain_free)
DEFINE_CLEANUP(BIO *, BIO_free_all)

struct certificate_store {
	X509_STORE *trusted;
	STACK_OF(X509) * software;
};

int certificate_store_new(struct certificate_store **ret)
{
	struct certificate_store *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->trusted = X509_STORE_new();
	s->software = sk_X509_new_null();
	if (!s->trusted || !s->software) {
		certificate_store_free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

void certificate_store_free(struct certificate_store *s)
{
	if (!s)
		return;
	X509_STORE_free(s->trusted);
	certificate_chain_free(s->software);
	free(s);
}

int certificate_store_add(struct certificate_store *s, const void *pem, size_t len, bool software)
{
	_cleanup_(certificate_chain_freep) STACK_OF(X509) *list = NULL;
	int err = certificate_chain_of_pem(pem, len, &list);
	X509 *x;

	for (int i = 0; !err && i < sk_X509_num(list); i++) {
		x = sk_X509_value(list, i);
		if (X509_STORE_add_cert(s->trusted, x) != 1)
			return -ENOMEM;
		if (!software)
			continue;
		X509_up_ref(x);
		if (!sk_X509_push(s->software, x)) {
			X509_free(x);
			return -ENOMEM;
		}
	}
	return err;
}

STACK_OF(X509) * certificate_chain_new(void)
{
	return sk_X509_new_null();
}

void certificate_chain_free(STACK_OF(X509) * chain)
{
	sk_X509_pop_free(chain, X509_free);
}

/* Takes @x in any case. */
static int push(STACK_OF(X509) * chain, X509 *x)
{
	if (sk_X509_num(chain) < CERTIFICATE_CHAIN_MAX && sk_X509_push(chain, x))
		return 0;
	X509_free(x);
	return sk_X509_num(chain) < CERTIFICATE_CHAIN_MAX ? -ENOMEM : -EBADMSG;
}

int certificate_chain_of_pem(const void *pem, size_t len, STACK_OF(X509) * *ret)
{
	_cleanup_(certificate_chain_freep) STACK_OF(X509) *chain = sk_X509_new_null();
	_cleanup_(BIO_free_allp) BIO *in = NULL;
	unsigned long error;
	int err = 0;
	X509 *x;

	if (len > CERTIFICATE_PEM_MAX)
		return -EBADMSG;
	in = BIO_new_mem_buf(pem, len);
	if (!in || !chain)
		return -ENOMEM;
	ERR_set_mark();
	while (!err && (x = PEM_read_bio_X509(in, NULL, NULL, NULL)))
		err = push(chain, x);
	error = ERR_peek_last_error();
	ERR_pop_to_mark();
	/* The end says so; anything else is a certificate that could not be read. */
	if (!err && (ERR_GET_LIB(error) != ERR_LIB_PEM ||
		     ERR_GET_REASON(error) != PEM_R_NO_START_LINE || sk_X509_num(chain) == 0))
		err = -EBADMSG;
	if (!err)
		*ret = TAKE_PTR(chain);
	return err;
}

int certificate_chain_add(STACK_OF(X509) * chain, const void *der, size_t len)
{
	const uint8_t *at = der, *end = at + len;
	X509 *x;

	if (len == 0 || len > CERTIFICATE_DER_MAX)
		return -EBADMSG;
	ERR_set_mark();
	x = d2i_X509(NULL, &at, len);
	ERR_pop_to_mark();
	if (!x)
		return -EBADMSG;
	for (const uint8_t *padding = at; padding < end; padding++)
		if (*padding != *at || (*at != 0x00 && *at != 0xff)) {
			X509_free(x);
			return -EBADMSG;
		}
	return push(chain, x);
}

int certificate_chain_pem(const STACK_OF(X509) * chain, struct buffer *ret)
{
	_cleanup_(BIO_free_allp) BIO *out = BIO_new(BIO_s_mem());
	char *data;
	long len;

	if (!out)
		return -ENOMEM;
	for (int i = 0; i < sk_X509_num(chain); i++)
		if (PEM_write_bio_X509(out, sk_X509_value(chain, i)) != 1)
			return -ENOMEM;
	len = BIO_get_mem_data(out, &data);
	buffer_add(ret, data, len);
	return buffer_error(ret);
}

/*
 * Some makers label the EK id-RSAES-OAEP (RFC 4055), and OpenSSL finds no key there. For such a
 * leaf: the same with the label of a usual RSA key, so that all checks can be made, but that the
 * signature is over the original; else the leaf.
 */
static X509 *readable(X509 *leaf)
{
	_cleanup_key_ EVP_PKEY *key = NULL;
	ASN1_OBJECT *algorithm;
	const uint8_t *bytes;
	X509 *twin = NULL;
	int len;

	if (X509_PUBKEY_get0_param(&algorithm, &bytes, &len, NULL, X509_get_X509_PUBKEY(leaf)) ==
		    1 &&
	    OBJ_obj2nid(algorithm) == NID_rsaesOaep) {
		key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &bytes, len);
		twin = key ? X509_dup(leaf) : NULL;
		if (twin && X509_set_pubkey(twin, key) == 1)
			return twin;
		X509_free(twin);
	}
	return X509_up_ref(leaf) == 1 ? leaf : NULL;
}

/*
 * The leaf's signature is the original's (the application's data): checked here when it differs, by
 * its issuer's key.
 */
static int judge(int ok, X509_STORE_CTX *c)
{
	X509 *original = X509_STORE_CTX_get_app_data(c);
	X509 *issuer = sk_X509_value(X509_STORE_CTX_get0_chain(c), 1);

	if (ok || X509_STORE_CTX_get_error(c) != X509_V_ERR_CERT_SIGNATURE_FAILURE ||
	    X509_STORE_CTX_get_error_depth(c) != 0 ||
	    X509_STORE_CTX_get_current_cert(c) == original || !issuer ||
	    X509_verify(original, X509_get0_pubkey(issuer)) != 1)
		return ok;
	X509_STORE_CTX_set_error(c, X509_V_OK);
	return 1;
}

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EBADMSG;
}

/*
 * No signature on the way, and no key that made one, is weaker than 112 bits. An anchor's own
 * signature is nobody's word.
 */
static bool is_sound(const STACK_OF(X509) * chain)
{
	int bits, last = sk_X509_num(chain) - 1;

	for (int i = 0; i <= last; i++) {
		X509 *x = sk_X509_value(chain, i);

		if (i < last && (X509_get_signature_info(x, NULL, NULL, &bits, NULL) != 1 ||
				 bits < SECURITY_BITS_MIN))
			return false;
		if (i > 0 && (!X509_get0_pubkey(x) ||
			      EVP_PKEY_get_security_bits(X509_get0_pubkey(x)) < SECURITY_BITS_MIN))
			return false;
	}
	return true;
}

/*
 * What X509_check_ca() does not tell: it calls a certificate with cA=true and another key usage
 * none of a CA's. Doubled or unreadable constraints are as bad as those of a CA; whoever certifies
 * keys is version 3, where extensions are.
 */
static bool is_end(X509 *x, bool must_say)
{
	BASIC_CONSTRAINTS *c;
	int critical;
	bool end;

	if (X509_get_version(x) != X509_VERSION_3 || X509_get_extension_flags(x) & EXFLAG_INVALID)
		return false;
	c = X509_get_ext_d2i(x, NID_basic_constraints, &critical, NULL);
	end = c ? !c->ca && !c->pathlen : critical == -1 && !must_say;
	BASIC_CONSTRAINTS_free(c);
	return end && (X509_get_key_usage(x) == UINT32_MAX ||
		       !(X509_get_key_usage(x) & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)));
}

/* By the certificate that vouches: any of the verified chain. */
static bool is_marked(const struct certificate_store *s, const STACK_OF(X509) * chain)
{
	for (int i = 0; i < sk_X509_num(chain); i++)
		for (int k = 0; k < sk_X509_num(s->software); k++)
			if (!X509_cmp(sk_X509_value(chain, i), sk_X509_value(s->software, k)))
				return true;
	return false;
}

/* @leaf: the first of @chain, or what readable() made of it. */
static int check_chain(const struct certificate_store *s, X509 *leaf, STACK_OF(X509) * chain,
		       int64_t at, unsigned long flags, bool *ret_software, const char **ret_why)
{
	_cleanup_(X509_STORE_CTX_freep) X509_STORE_CTX *c = X509_STORE_CTX_new();
	int err = 0;

	if (!c || X509_STORE_CTX_init(c, s->trusted, leaf, chain) != 1)
		return -ENOMEM;
	X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(c), at);
	X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(c),
				    flags | X509_V_FLAG_PARTIAL_CHAIN);
	X509_STORE_CTX_set_verify_cb(c, judge);
	X509_STORE_CTX_set_app_data(c, sk_X509_value(chain, 0));
	ERR_set_mark();
	if (X509_verify_cert(c) != 1)
		err = refuse(ret_why, X509_verify_cert_error_string(X509_STORE_CTX_get_error(c)));
	else if (!is_sound(X509_STORE_CTX_get0_chain(c)))
		err = refuse(ret_why, "a signature or a key of the chain is weaker than 112 bits");
	else
		*ret_software = is_marked(s, X509_STORE_CTX_get0_chain(c));
	ERR_pop_to_mark();
	return err;
}

static int check_key(X509 *x, const struct tpm2_public *public, const char **ret_why)
{
	_cleanup_key_ EVP_PKEY *certified = NULL, *shown = NULL;
	int err = tpm2_public_key(public, &shown);

	if (err)
		return err == -ENOMEM ? err : refuse(ret_why, "the TPM's public key is malformed");
	ERR_set_mark();
	certified = X509_get_pubkey(x);
	ERR_pop_to_mark();
	if (!certified)
		return refuse(ret_why, "the certificate's key can't be read");
	return EVP_PKEY_eq(certified, shown) == 1
		       ? 0
		       : refuse(ret_why, "the certificate is for another key");
}

/* Whether @x is restricted to purposes, and whether @oid is among them. */
static bool has_purpose(X509 *x, const char *oid, bool *ret_restricted)
{
	EXTENDED_KEY_USAGE *list = X509_get_ext_d2i(x, NID_ext_key_usage, NULL, NULL);
	bool found = false;
	char text[64];

	for (int i = 0; i < sk_ASN1_OBJECT_num(list); i++)
		if (OBJ_obj2txt(text, sizeof(text), sk_ASN1_OBJECT_value(list, i), 1) > 0 &&
		    !strcmp(text, oid))
			found = true;
	*ret_restricted = X509_get_ext_by_NID(x, NID_ext_key_usage, -1) >= 0;
	sk_ASN1_OBJECT_pop_free(list, ASN1_OBJECT_free);
	return found;
}

/* UTF-8 of what a name says, or "" when it does not fit. */
static void take_text(const X509_NAME_ENTRY *e, char *ret, size_t size)
{
	unsigned char *text = NULL;
	int len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(e));

	if (len > 0 && (size_t)len < size && !memchr(text, '\0', len)) {
		memcpy(ret, text, len);
		ret[len] = '\0';
	}
	OPENSSL_free(text);
}

static void take_name(const X509_NAME *name, struct certificate_tpm *ret)
{
	char oid[64];

	for (int i = 0; i < X509_NAME_entry_count(name); i++) {
		X509_NAME_ENTRY *e = X509_NAME_get_entry(name, i);

		if (OBJ_obj2txt(oid, sizeof(oid), X509_NAME_ENTRY_get_object(e), 1) <= 0)
			continue;
		if (!strcmp(oid, "2.23.133.2.1"))
			take_text(e, ret->manufacturer, sizeof(ret->manufacturer));
		else if (!strcmp(oid, "2.23.133.2.2"))
			take_text(e, ret->model, sizeof(ret->model));
		else if (!strcmp(oid, "2.23.133.2.3"))
			take_text(e, ret->version, sizeof(ret->version));
	}
}

static void take_tpm(X509 *x, struct certificate_tpm *ret)
{
	_cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *names =
		X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);

		if (n->type == GEN_DIRNAME)
			take_name(n->d.directoryName, ret);
	}
}

static bool is_software(const struct certificate_tpm *t)
{
	return !strcasecmp(t->manufacturer, "id:00001014") || strcasestr(t->model, "swtpm") ||
	       strcasestr(t->model, "simulator");
}

int certificate_check_ek(const struct certificate_store *s, STACK_OF(X509) * chain,
			 const struct tpm2_public *ek, int64_t at, struct certificate_tpm *ret,
			 const char **ret_why)
{
	struct certificate_tpm tpm = {};
	_cleanup_(X509_freep) X509 *x = NULL;
	bool restricted;
	uint32_t usage;
	int err;

	if (sk_X509_num(chain) < 1)
		return refuse(ret_why, "there is no certificate");
	ERR_set_mark();
	x = readable(sk_X509_value(chain, 0));
	ERR_pop_to_mark();
	err = x ? check_chain(s, x, chain, at, 0, &tpm.software, ret_why) : -ENOMEM;
	if (err)
		return err;
	if (!is_end(x, false))
		return refuse(ret_why, "the certificate is a CA's, or of a version before 3");
	if (!has_purpose(x, EK_PURPOSE, &restricted) && restricted)
		return refuse(ret_why, "the certificate's extended key usage is not that of an EK");
	usage = X509_get_key_usage(x); /* all ones: it says nothing of it */
	if (!(usage & (KU_KEY_ENCIPHERMENT | KU_KEY_AGREEMENT)))
		return refuse(ret_why, "the certificate's key usage is not that of an EK");
	err = check_key(x, ek, ret_why);
	if (err)
		return err;
	take_tpm(x, &tpm);
	tpm.software = tpm.software || is_software(&tpm);
	*ret = tpm;
	return 0;
}

/* The one URI of the one subject alternative name. */
static int take_ueid(X509 *x, uint8_t ret[static CLAIMS_UEID_SIZE])
{
	_cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *names =
		X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	static const size_t prefix = sizeof(CERTIFICATE_UEID_URI) - 1;
	const GENERAL_NAME *n;
	const char *text;
	size_t len;

	if (sk_GENERAL_NAME_num(names) != 1)
		return -EBADMSG;
	n = sk_GENERAL_NAME_value(names, 0);
	if (n->type != GEN_URI)
		return -EBADMSG;
	text = (const char *)ASN1_STRING_get0_data(n->d.uniformResourceIdentifier);
	len = ASN1_STRING_length(n->d.uniformResourceIdentifier);
	if (len < prefix || memcmp(text, CERTIFICATE_UEID_URI, prefix))
		return -EBADMSG;
	return base64url_decode_exact(text + prefix, len - prefix, ret, CLAIMS_UEID_SIZE)
		       ?: (ret[0] == 1 ? 0 : -EBADMSG);
}

int certificate_check_ak(const struct certificate_store *s, STACK_OF(X509) * chain,
			 const struct tpm2_public *ak, int64_t at,
			 uint8_t ret[static CLAIMS_UEID_SIZE], const char **ret_why)
{
	uint8_t ueid[CLAIMS_UEID_SIZE];
	bool software, restricted;
	X509 *x = sk_X509_value(chain, 0);
	int err;

	if (!x)
		return refuse(ret_why, "there is no certificate");
	err = check_chain(s, x, chain, at, X509_V_FLAG_X509_STRICT, &software, ret_why);
	if (err)
		return err;
	if (!is_end(x, true))
		return refuse(ret_why, "the certificate does not say that it is no CA's");
	if (!has_purpose(x, CERTIFICATE_AK_PURPOSE, &restricted))
		return refuse(ret_why, "the certificate's extended key usage is not that of an AK");
	if (X509_get_key_usage(x) != KU_DIGITAL_SIGNATURE)
		return refuse(ret_why, "the certificate's key usage is not digitalSignature alone");
	err = check_key(x, ak, ret_why);
	if (err)
		return err;
	if (take_ueid(x, ueid))
		return refuse(ret_why, "the certificate does not name one ueid");
	memcpy(ret, ueid, sizeof(ueid));
	return 0;
}
