/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/authority.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "attest/certificate.h"
#include "attest/ossl.h"
#include "base/base64url.h"

#define DAY 86400
#define SKEW 300 /* seconds that clocks may differ: a certificate is valid when it arrives */

DEFINE_CLEANUP(BIO *, BIO_free_all)
DEFINE_CLEANUP(X509_NAME *, X509_NAME_free)

void authority_clear(struct authority *a)
{
	X509_free(a->certificate);
	EVP_PKEY_free(a->key);
	*a = (struct authority){};
}

static const EVP_MD *digest_for(const EVP_PKEY *key)
{
	return EVP_PKEY_get_bits(key) > 256 ? EVP_sha384() : EVP_sha256();
}

static bool add_extension(X509 *x, X509V3_CTX *c, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, c, nid, value);
	bool added = e && X509_add_ext(x, e, -1) == 1;

	X509_EXTENSION_free(e);
	return added;
}

/* By hand: the text form of OpenSSL would split the URI at its comma. */
static bool add_uri(X509 *x, const char *uri)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();
	bool added = false;

	if (names && name && text && ASN1_STRING_set(text, uri, -1) == 1) {
		GENERAL_NAME_set0_value(name, GEN_URI, text);
		text = NULL;
		if (sk_GENERAL_NAME_push(names, name) > 0) {
			name = NULL;
			added = X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0,
						  X509V3_ADD_DEFAULT) == 1;
		}
	}
	ASN1_IA5STRING_free(text);
	GENERAL_NAME_free(name);
	GENERAL_NAMES_free(names);
	return added;
}

/* 126 random bits: positive, and of no meaning (RFC 5280, section 4.1.2.2). */
static bool set_serial(X509 *x)
{
	uint8_t bytes[16];
	BIGNUM *n;
	bool set;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return false;
	bytes[0] = (bytes[0] & 0x7f) | 0x40;
	n = BN_bin2bn(bytes, sizeof(bytes), NULL);
	set = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
	BN_free(n);
	return set;
}

static X509_NAME *name_of(const char *common_name)
{
	X509_NAME *n = X509_NAME_new();

	if (n && X509_NAME_add_entry_by_NID(n, NID_commonName, MBSTRING_UTF8,
					    (const uint8_t *)common_name, -1, -1, 0) == 1)
		return n;
	X509_NAME_free(n);
	return NULL;
}

/* Everything but extensions and signature. */
static X509 *draft(const X509_NAME *issuer, const char *subject, EVP_PKEY *key, int64_t from,
		   int64_t to)
{
	_cleanup_(X509_NAME_freep) X509_NAME *name = name_of(subject);
	_cleanup_(X509_freep) X509 *x = X509_new();

	if (!x || !name || X509_set_version(x, X509_VERSION_3) != 1 || !set_serial(x) ||
	    X509_set_issuer_name(x, issuer ?: name) != 1 || X509_set_subject_name(x, name) != 1 ||
	    !ASN1_TIME_set(X509_getm_notBefore(x), from) ||
	    !ASN1_TIME_set(X509_getm_notAfter(x), to) || X509_set_pubkey(x, key) != 1)
		return NULL;
	return TAKE_PTR(x);
}

int authority_new(const char *curve, const char *name, int64_t now, unsigned int days,
		  struct authority *ret)
{
	_cleanup_(X509_freep) X509 *x = NULL;
	_cleanup_key_ EVP_PKEY *key = NULL;
	X509V3_CTX c;

	if ((strcmp(curve, "P-256") && strcmp(curve, "P-384")) || !*name ||
	    strlen(name) > AUTHORITY_NAME_MAX || days == 0 || days > AUTHORITY_DAYS_MAX)
		return -EINVAL;
	key = EVP_EC_gen(curve);
	if (!key)
		return -ENOMEM;
	x = draft(NULL, name, key, now - SKEW, now + (int64_t)days * DAY);
	if (!x)
		return -EINVAL;
	X509V3_set_ctx(&c, x, x, NULL, NULL, 0);
	if (!add_extension(x, &c, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !add_extension(x, &c, NID_key_usage, "critical,keyCertSign,cRLSign") ||
	    !add_extension(x, &c, NID_subject_key_identifier, "hash") ||
	    !add_extension(x, &c, NID_authority_key_identifier, "keyid:always") ||
	    X509_sign(x, key, digest_for(key)) <= 0)
		return -ENOMEM;
	ret->certificate = TAKE_PTR(x);
	ret->key = TAKE_PTR(key);
	return 0;
}

int authority_load(const void *certificate, size_t certificate_len, const void *key, size_t key_len,
		   struct authority *ret)
{
	_cleanup_(BIO_free_allp) BIO *x_in = BIO_new_mem_buf(certificate, certificate_len);
	_cleanup_(BIO_free_allp) BIO *key_in = BIO_new_mem_buf(key, key_len);
	struct authority a = {};

	if (!x_in || !key_in)
		return -ENOMEM;
	ERR_set_mark();
	a.certificate = PEM_read_bio_X509(x_in, NULL, NULL, NULL);
	/* No callback that would ask on a terminal: an encrypted key is refused. */
	a.key = PEM_read_bio_PrivateKey(key_in, NULL, NULL, (void *)"");
	if (!a.certificate || !a.key || X509_check_private_key(a.certificate, a.key) != 1 ||
	    X509_check_ca(a.certificate) != 1 || !EVP_PKEY_is_a(a.key, "EC")) {
		authority_clear(&a);
		ERR_pop_to_mark();
		return -EBADMSG;
	}
	ERR_pop_to_mark();
	*ret = a;
	return 0;
}

static int take_bio(BIO *b, struct buffer *ret)
{
	char *data;
	long len = BIO_get_mem_data(b, &data);

	buffer_add(ret, data, len);
	return buffer_error(ret);
}

int authority_pem(const struct authority *a, struct buffer *certificate, struct buffer *key)
{
	_cleanup_(BIO_free_allp) BIO *x_out = BIO_new(BIO_s_mem());
	_cleanup_(BIO_free_allp) BIO *key_out = BIO_new(BIO_s_secmem());

	if (!x_out || !key_out || PEM_write_bio_X509(x_out, a->certificate) != 1 ||
	    PEM_write_bio_PKCS8PrivateKey(key_out, a->key, NULL, NULL, 0, NULL, NULL) != 1)
		return -ENOMEM;
	return take_bio(x_out, certificate) ?: take_bio(key_out, key);
}

/* The end that is asked for, or the authority's own; 0: that is not valid at @now. */
static int64_t end_of(const struct authority *a, int64_t now, unsigned int days)
{
	int64_t end = now + (int64_t)days * DAY;
	struct tm own;

	if (ASN1_TIME_to_tm(X509_get0_notAfter(a->certificate), &own) != 1)
		return 0;
	end = timegm(&own) < end ? timegm(&own) : end;
	return end > now ? end : 0;
}

int authority_issue(const struct authority *a, const struct tpm2_public *ak,
		    const uint8_t ueid[static CLAIMS_UEID_SIZE], int64_t now, unsigned int days,
		    X509 **ret)
{
	char subject[BASE64URL_LEN(CLAIMS_UEID_SIZE) + 1];
	char uri[sizeof(CERTIFICATE_UEID_URI) + sizeof(subject)] = CERTIFICATE_UEID_URI;
	_cleanup_(X509_freep) X509 *x = NULL;
	_cleanup_key_ EVP_PKEY *key = NULL;
	int64_t end;
	X509V3_CTX c;
	int err;

	end = days > 0 && days <= AUTHORITY_DAYS_MAX ? end_of(a, now, days) : 0;
	err = end ? tpm2_public_key(ak, &key) : -EINVAL;
	if (err)
		return err;
	base64url_encode(ueid, CLAIMS_UEID_SIZE, subject);
	strcat(uri, subject);
	x = draft(X509_get_subject_name(a->certificate), subject, key, now - SKEW, end);
	if (!x)
		return -ENOMEM;
	X509V3_set_ctx(&c, a->certificate, x, NULL, NULL, 0);
	if (!add_extension(x, &c, NID_basic_constraints, "critical,CA:FALSE") ||
	    !add_extension(x, &c, NID_key_usage, "critical,digitalSignature") ||
	    !add_extension(x, &c, NID_ext_key_usage, CERTIFICATE_AK_PURPOSE) || !add_uri(x, uri) ||
	    !add_extension(x, &c, NID_subject_key_identifier, "hash") ||
	    !add_extension(x, &c, NID_authority_key_identifier, "keyid:always") ||
	    X509_sign(x, a->key, digest_for(a->key)) <= 0)
		return -ENOMEM;
	*ret = TAKE_PTR(x);
	return 0;
}
