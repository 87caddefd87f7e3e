/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The enrolment CA and its certificates. EK certificates, as they come and as they are malformed in
 * the field, are made in tests/e2e/test_certificate.py.
 */
#include "attest/certificate.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "attest/authority.h"
#include "attest/ossl.h"
#include "attest_samples.h"

#define NOW INT64_C(1793600000)
#define DAY 86400

static const char *const keys[] = {"ecc", "p384", "rsassa"};
static const uint8_t ueid[CLAIMS_UEID_SIZE] = {1, 2, 3, 4};

static struct tpm2_public public_of(const char *name)
{
	char path[64];
	struct tpm2_public p;

	snprintf(path, sizeof(path), "tpm2/%s.pub", name);
	_cleanup_sample_ struct sample s = sample_read(path);
	assert_int_equal(tpm2_public_parse(s.data, s.len, &p), 0);
	return p;
}

static struct certificate_store *store_of(const struct authority *a)
{
	_cleanup_buffer_ struct buffer pem = {}, key = {};
	struct certificate_store *s;

	assert_int_equal(authority_pem(a, &pem, &key), 0);
	assert_int_equal(certificate_store_new(&s), 0);
	assert_int_equal(certificate_store_add(s, pem.data, pem.len, false), 0);
	return s;
}

static STACK_OF(X509) * chain_of(X509 *x)
{
	STACK_OF(X509) *chain = certificate_chain_new();

	X509_up_ref(x);
	assert_true(sk_X509_push(chain, x) > 0);
	return chain;
}

static void check(const struct certificate_store *s, X509 *x, const struct tpm2_public *ak,
		  int64_t at, const char *expected)
{
	STACK_OF(X509) *chain = chain_of(x);
	uint8_t got[CLAIMS_UEID_SIZE];
	const char *why = "";
	int err;

	memset(got, 0xa5, sizeof(got));
	err = certificate_check_ak(s, chain, ak, at, got, &why);
	if (expected) {
		assert_int_equal(err, -EBADMSG);
		assert_string_equal(why, expected);
		assert_int_equal(got[0], 0xa5);
	} else {
		if (err)
			fail_msg("%s", why);
		assert_memory_equal(got, ueid, sizeof(ueid));
	}
	certificate_chain_free(chain);
}

static void test_issue(void **state)
{
	static const char *const curves[] = {"P-256", "P-384"};
	struct tpm2_public other = public_of("rsapss");

	(void)state;
	for (size_t c = 0; c < 2; c++)
		for (size_t k = 0; k < 3; k++) {
			struct tpm2_public ak = public_of(keys[k]);
			struct certificate_store *s, *stranger;
			struct authority a, b;
			X509 *x;

			assert_int_equal(authority_new(curves[c], "Enrolment", NOW, 100, &a), 0);
			assert_int_equal(authority_new(curves[c], "Enrolment", NOW, 100, &b), 0);
			assert_int_equal(authority_issue(&a, &ak, ueid, NOW, 30, &x), 0);
			s = store_of(&a);
			stranger = store_of(&b);
			check(s, x, &ak, NOW, NULL);
			check(s, x, &ak, NOW + 30 * DAY - 1, NULL);
			check(s, x, &ak, NOW + 30 * DAY + 1, "certificate has expired");
			check(s, x, &ak, NOW - DAY, "certificate is not yet valid");
			check(s, x, &other, NOW, "the certificate is for another key");
			check(stranger, x, &ak, NOW, "unable to get local issuer certificate");
			check(s, a.certificate, &ak, NOW,
			      "the certificate does not say that it is no CA's");
			X509_free(x);
			certificate_store_free(s);
			certificate_store_free(stranger);
			authority_clear(&a);
			authority_clear(&b);
		}
}

/* Never longer than the authority: and not at all after its end. */
static void test_end(void **state)
{
	struct tpm2_public ak = public_of("ecc");
	struct certificate_store *s;
	struct authority a;
	X509 *x = (X509 *)0xa5;

	(void)state;
	assert_int_equal(authority_new("P-256", "Enrolment", NOW, 10, &a), 0);
	assert_int_equal(authority_issue(&a, &ak, ueid, NOW, 0, &x), -EINVAL);
	assert_int_equal(authority_issue(&a, &ak, ueid, NOW, AUTHORITY_DAYS_MAX + 1, &x), -EINVAL);
	assert_int_equal(authority_issue(&a, &ak, ueid, NOW + 10 * DAY, 1, &x), -EINVAL);
	assert_ptr_equal(x, (X509 *)0xa5);
	assert_int_equal(authority_issue(&a, &ak, ueid, NOW + 9 * DAY, 365, &x), 0);
	assert_int_equal(
		ASN1_TIME_compare(X509_get0_notAfter(x), X509_get0_notAfter(a.certificate)), 0);
	s = store_of(&a);
	check(s, x, &ak, NOW + 9 * DAY, NULL);
	X509_free(x);
	certificate_store_free(s);
	authority_clear(&a);
}

static void test_authority_refused(void **state)
{
	_cleanup_buffer_ struct buffer x = {}, key = {}, other_x = {}, other_key = {};
	struct authority a = {}, b = {}, c = {};

	(void)state;
	assert_int_equal(authority_new("P-521", "x", NOW, 1, &c), -EINVAL);
	assert_int_equal(authority_new("P-256", "", NOW, 1, &c), -EINVAL);
	assert_int_equal(authority_new("P-256", "\xff", NOW, 1, &c), -EINVAL);
	assert_int_equal(authority_new("P-256", "x", NOW, 0, &c), -EINVAL);
	assert_null(c.key);
	assert_int_equal(authority_new("P-256", "a", NOW, 1, &a), 0);
	assert_int_equal(authority_new("P-256", "b", NOW, 1, &b), 0);
	assert_int_equal(authority_pem(&a, &x, &key), 0);
	assert_int_equal(authority_pem(&b, &other_x, &other_key), 0);
	assert_int_equal(authority_load(x.data, x.len, key.data, key.len, &c), 0);
	authority_clear(&c);
	assert_int_equal(authority_load(x.data, x.len, other_key.data, other_key.len, &c),
			 -EBADMSG);
	for (size_t len = 0; len < x.len - 1; len += 7)
		assert_int_equal(authority_load(x.data, len, key.data, key.len, &c), -EBADMSG);
	for (size_t len = 0; len < key.len - 1; len += 7)
		assert_int_equal(authority_load(x.data, x.len, key.data, len, &c), -EBADMSG);
	assert_null(c.key);
	authority_clear(&a);
	authority_clear(&b);
}

/* A certificate of that CA for that key, but with one thing another. */
struct variant {
	const char *basic, *usage, *purpose, *uri, *why;
	int names, type; /* of the alternative name; 0: one URI */
};

#define UEID "AQIDBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define UEID_URI CERTIFICATE_UEID_URI UEID

static void add(X509 *x, X509V3_CTX *c, int nid, const char *value)
{
	X509_EXTENSION *e;

	if (!value)
		return;
	e = X509V3_EXT_conf_nid(NULL, c, nid, value);
	assert_non_null(e);
	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

/* @v->uri as often as it says. Not by OpenSSL's text form, which ends at a comma. */
static void add_names(X509 *x, const struct variant *v)
{
	GENERAL_NAMES *list = GENERAL_NAMES_new();

	for (int i = 0; i < (v->names ?: 1); i++) {
		ASN1_IA5STRING *text = ASN1_IA5STRING_new();
		GENERAL_NAME *n = GENERAL_NAME_new();

		assert_int_equal(ASN1_STRING_set(text, v->uri, -1), 1);
		GENERAL_NAME_set0_value(n, v->type ?: GEN_URI, text);
		assert_true(sk_GENERAL_NAME_push(list, n) > 0);
	}
	assert_int_equal(X509_add1_ext_i2d(x, NID_subject_alt_name, list, 0, X509V3_ADD_DEFAULT),
			 1);
	GENERAL_NAMES_free(list);
}

static X509 *made(const struct authority *a, const struct tpm2_public *ak, const struct variant *v)
{
	X509V3_CTX c;
	X509 *x;

	assert_int_equal(authority_issue(a, ak, ueid, NOW, 30, &x), 0);
	while (X509_get_ext_count(x) > 0)
		X509_EXTENSION_free(X509_delete_ext(x, 0));
	X509V3_set_ctx(&c, a->certificate, x, NULL, NULL, 0);
	add(x, &c, NID_basic_constraints, v->basic);
	add(x, &c, NID_key_usage, v->usage);
	add(x, &c, NID_ext_key_usage, v->purpose);
	if (v->uri)
		add_names(x, v);
	add(x, &c, NID_subject_key_identifier, "hash");
	add(x, &c, NID_authority_key_identifier, "keyid:always");
	assert_true(X509_sign(x, a->key, EVP_sha256()) > 0);
	return x;
}

static void test_variants(void **state)
{
	static const char basic[] = "critical,CA:FALSE", usage[] = "critical,digitalSignature",
			  purpose[] = "2.23.133.8.3";
	static const char no_ca[] = "the certificate does not say that it is no CA's";
	static const char no_purpose[] =
		"the certificate's extended key usage is not that of an AK";
	static const char no_usage[] = "the certificate's key usage is not digitalSignature alone";
	static const char no_ueid[] = "the certificate does not name one ueid";
	static const struct variant variants[] = {
		{basic, usage, purpose, UEID_URI, NULL},
		{basic, usage, "2.23.133.8.3,clientAuth", UEID_URI, NULL},
		{NULL, usage, purpose, UEID_URI, no_ca},
		/* the EKU of an AK on an issuing CA */
		{"critical,CA:TRUE", "critical,keyCertSign,digitalSignature", purpose, UEID_URI,
		 no_ca},
		/* the same, whose key usage is an AK's: OpenSSL does not call that a CA */
		{"critical,CA:TRUE", usage, purpose, UEID_URI, no_ca},
		{"critical,CA:TRUE,pathlen:0", usage, purpose, UEID_URI,
		 "Path length given without key usage keyCertSign"},
		{"CA:TRUE", usage, purpose, UEID_URI,
		 "Basic Constraints of CA cert not marked critical"},
		{"critical,CA:FALSE,pathlen:0", usage, purpose, UEID_URI,
		 "Path length invalid for non-CA cert"},
		{basic, "critical,digitalSignature,keyCertSign", purpose, UEID_URI,
		 "Key usage keyCertSign invalid for non-CA cert"},
		{basic, "critical,digitalSignature,cRLSign", purpose, UEID_URI, no_ca},
		{basic, usage, NULL, UEID_URI, no_purpose},
		{basic, usage, "2.23.133.8.1", UEID_URI, no_purpose},
		{basic, NULL, purpose, UEID_URI, no_usage},
		{basic, "critical,digitalSignature,keyAgreement", purpose, UEID_URI, no_usage},
		{basic, "critical,keyEncipherment", purpose, UEID_URI, no_usage},
		{basic, usage, purpose, NULL, no_ueid},
		{basic, usage, purpose, UEID_URI, no_ueid, 1, GEN_DNS},
		{basic, usage, purpose, UEID_URI, no_ueid, 2},
		{basic, usage, purpose, UEID_URI "AAAA", no_ueid},
		{basic, usage, purpose, UEID_URI "=", no_ueid},
		{basic, usage, purpose, CERTIFICATE_UEID_URI, no_ueid},
		{basic, usage, purpose,
		 CERTIFICATE_UEID_URI "AgIDBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", no_ueid},
	};
	struct tpm2_public ak = public_of("ecc");
	struct certificate_store *s;
	struct authority a;
	X509 *x;

	(void)state;
	assert_int_equal(authority_new("P-256", "Enrolment", NOW, 100, &a), 0);
	s = store_of(&a);
	for (size_t i = 0; i < sizeof(variants) / sizeof(*variants); i++) {
		x = made(&a, &ak, &variants[i]);
		check(s, x, &ak, NOW, variants[i].why);
		X509_free(x);
	}
	certificate_store_free(s);
	authority_clear(&a);
}

static void test_chains(void **state)
{
	_cleanup_buffer_ struct buffer pem = {}, key = {};
	STACK_OF(X509) *chain = certificate_chain_new(), *none = (STACK_OF(X509) *)0xa5;
	uint8_t *der = NULL, padded[2048];
	struct authority a;
	int len;

	(void)state;
	assert_int_equal(authority_new("P-256", "Enrolment", NOW, 100, &a), 0);
	len = i2d_X509(a.certificate, &der);
	memset(padded, 0xff, sizeof(padded));
	memcpy(padded, der, len);
	for (int short_of = 0; short_of < len; short_of++)
		assert_int_equal(certificate_chain_add(chain, der, short_of), -EBADMSG);
	assert_int_equal(certificate_chain_add(chain, padded, sizeof(padded)), 0);
	padded[sizeof(padded) - 1] = 0;
	assert_int_equal(certificate_chain_add(chain, padded, sizeof(padded)), -EBADMSG);
	memset(padded + len, 0, sizeof(padded) - len);
	assert_int_equal(certificate_chain_add(chain, padded, sizeof(padded)), 0);
	padded[len] = 1;
	assert_int_equal(certificate_chain_add(chain, padded, sizeof(padded)), -EBADMSG);
	for (int i = 2; i < CERTIFICATE_CHAIN_MAX; i++)
		assert_int_equal(certificate_chain_add(chain, der, len), 0);
	assert_int_equal(certificate_chain_add(chain, der, len), -EBADMSG);
	OPENSSL_free(der);

	assert_int_equal(certificate_chain_pem(chain, &pem), 0);
	certificate_chain_free(chain);
	assert_int_equal(certificate_chain_of_pem(pem.data, pem.len, &chain), 0);
	assert_int_equal(sk_X509_num(chain), CERTIFICATE_CHAIN_MAX);
	certificate_chain_free(chain);
	assert_int_equal(certificate_chain_of_pem(pem.data, pem.len - 40, &none), -EBADMSG);
	assert_int_equal(certificate_chain_of_pem("", 0, &none), -EBADMSG);
	assert_int_equal(authority_pem(&a, &pem, &key), 0); /* the ninth */
	assert_int_equal(certificate_chain_of_pem(pem.data, pem.len, &none), -EBADMSG);
	assert_int_equal(certificate_chain_of_pem(key.data, key.len, &none), -EBADMSG);
	assert_ptr_equal(none, (STACK_OF(X509) *)0xa5);
	authority_clear(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_issue),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_authority_refused),
		cmocka_unit_test(test_variants),
		cmocka_unit_test(test_chains),
	};

	return cmocka_run_group_tests_name("certificate", tests, NULL, NULL);
}
