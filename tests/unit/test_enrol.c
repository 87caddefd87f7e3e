/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/enrol.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "attest/jose.h"
#include "attest_samples.h"
#include "vectors.h"

#define NOW INT64_C(1793600000)

static struct enrol_blob blob_of(const char *name)
{
	struct sample s = sample_read(name);

	return (struct enrol_blob){.data = s.data, .len = s.len};
}

static struct enrol_request request_of(const char *key)
{
	struct enrol_request r = {.host_id = {1, 2, 3}};
	char path[64];

	snprintf(path, sizeof(path), "tpm2/%s.ek.pub", key);
	r.ek_public = blob_of(path);
	snprintf(path, sizeof(path), "tpm2/%s.pub", key);
	r.ak_public = blob_of(path);
	return r;
}

/* What stock tools make qualifies: tpm2_createek and tpm2_createak made these. */
static void test_stock_keys(void **state)
{
	static const char *const keys[] = {"ecc", "p384", "rsassa", "rsapss"};
	struct enrol_checked c;
	const char *why = "";
	uint8_t ueid[CLAIMS_UEID_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		struct enrol_request r = request_of(keys[i]);
		char path[64];

		snprintf(path, sizeof(path), "tpm2/%s.name", keys[i]);
		_cleanup_sample_ struct sample name = sample_read(path);
		memset(&c, 0xa5, sizeof(c));
		if (enrol_check_request(&r, NULL, NOW, &c, &why))
			fail_msg("%s: %s", keys[i], why);
		assert_int_equal(c.ak_name.len, name.len);
		assert_memory_equal(c.ak_name.data, name.data, name.len);
		assert_int_equal(claims_ueid(r.ek_public.data, r.ek_public.len, ueid), 0);
		assert_memory_equal(c.ueid, ueid, sizeof(ueid));
		assert_string_equal(c.tpm.manufacturer, "");
		enrol_request_clear(&r);
	}
}

static void test_ak_refused(void **state)
{
	static const char outside[] = "the AK may have been made, or may go, outside its TPM";
	static const char scheme[] =
		"the AK has no fixed scheme of ECDSA, RSASSA or RSAPSS with a hash of SHA-2";
	static const char weak[] =
		"the AK is neither RSA of 2048 bits or more nor a point of P-256 or P-384";
	struct enrol_request r = request_of("ecc");
	struct tpm2_public good, ak;
	const char *why;

	(void)state;
	assert_int_equal(tpm2_public_parse(r.ak_public.data, r.ak_public.len, &good), 0);
	assert_int_equal(enrol_check_ak(&good, &why), 0);
#define REFUSED(change, reason)                                                                    \
	ak = good;                                                                                 \
	change;                                                                                    \
	assert_int_equal(enrol_check_ak(&ak, &why), -EBADMSG);                                     \
	assert_string_equal(why, reason)
	REFUSED(ak.attributes &= ~TPM2_RESTRICTED,
		"the AK is not restricted: it signs what did not come from its TPM");
	REFUSED(ak.attributes &= ~TPM2_SIGN, "the AK is not for signing alone");
	REFUSED(ak.attributes |= TPM2_DECRYPT, "the AK is not for signing alone");
	REFUSED(ak.attributes &= ~TPM2_FIXED_TPM, outside);
	REFUSED(ak.attributes &= ~TPM2_FIXED_PARENT, outside);
	REFUSED(ak.attributes &= ~TPM2_SENSITIVE_DATA_ORIGIN, outside);
	REFUSED(ak.scheme = TPM2_NULL, scheme);
	REFUSED(ak.scheme = TPM2_RSASSA, scheme);
	REFUSED(ak.scheme_hash = TPM2_SHA1, scheme);
	REFUSED(ak.name_alg = TPM2_SHA1, "the AK is named by a hash that is not of SHA-2");
	REFUSED(ak.curve = TPM2_P521, weak);
	REFUSED(ak.x.data[3] ^= 1, weak);
#undef REFUSED
	enrol_request_clear(&r);
}

static void test_ek_refused(void **state)
{
	struct enrol_request r = request_of("rsassa");
	struct tpm2_public good, ek;
	const char *why;

	(void)state;
	assert_int_equal(tpm2_public_parse(r.ek_public.data, r.ek_public.len, &good), 0);
	assert_int_equal(enrol_check_ek(&good, &why), 0);
	ek = good, ek.attributes |= TPM2_SIGN;
	assert_int_equal(enrol_check_ek(&ek, &why), -EBADMSG);
	ek = good, ek.attributes &= ~TPM2_DECRYPT;
	assert_int_equal(enrol_check_ek(&ek, &why), -EBADMSG);
	ek = good, ek.attributes &= ~TPM2_RESTRICTED;
	assert_int_equal(enrol_check_ek(&ek, &why), -EBADMSG);
	assert_string_equal(why, "the EK is no storage key");
	ek = good, ek.attributes &= ~TPM2_FIXED_TPM;
	assert_int_equal(enrol_check_ek(&ek, &why), -EBADMSG);
	ek = good, ek.n.data[0] = 0;
	assert_int_equal(enrol_check_ek(&ek, &why), -EBADMSG);
	enrol_request_clear(&r);
}

/* Two requests put together: each other's keys are taken for what they are by their attributes. */
static void test_swapped(void **state)
{
	struct enrol_request r = request_of("ecc");
	struct enrol_blob ek = r.ek_public;
	struct enrol_checked c;
	const char *why;

	(void)state;
	r.ek_public = r.ak_public;
	assert_int_equal(enrol_check_request(&r, NULL, NOW, &c, &why), -EBADMSG);
	assert_string_equal(why, "the EK is no storage key");
	r.ek_public = ek;
	for (size_t len = 0; len < ek.len; len++) {
		r.ek_public.len = len;
		assert_int_equal(enrol_check_request(&r, NULL, NOW, &c, &why), -EBADMSG);
		assert_string_equal(why, "ek_public is malformed");
	}
	r.ek_public.len = ek.len;
	enrol_request_clear(&r);
}

static void test_answer(void **state)
{
	struct enrol_pending p = {.request = request_of("ecc"), .expires = NOW + 10};
	struct enrol_challenge challenge;
	struct enrol_checked c;
	struct enrol_answer a;
	const char *why;

	(void)state;
	assert_int_equal(enrol_check_request(&p.request, NULL, NOW, &c, &why), 0);
	assert_int_equal(enrol_challenge_make(&c, p.key, &challenge), 0);
	a.ak_name = challenge.ak_name;
	assert_int_equal(enrol_proof(p.key, &a.ak_name, a.proof), 0);
	assert_int_equal(enrol_check_answer(&p, &a, NOW + 9, &why), 0);
	assert_int_equal(enrol_check_answer(&p, &a, NOW + 10, &why), -EBADMSG);
	assert_string_equal(why, "the challenge has expired");
	assert_int_equal(enrol_check_answer(&p, &a, -1, &why), -EBADMSG);
	for (size_t i = 0; i < sizeof(a.proof); i++) {
		a.proof[i] ^= 1;
		assert_int_equal(enrol_check_answer(&p, &a, NOW, &why), -EBADMSG);
		assert_string_equal(why,
				    "the answer does not show that the TPM opened the credential");
		a.proof[i] ^= 1;
	}
	a.ak_name.data[5] ^= 1;
	assert_int_equal(enrol_check_answer(&p, &a, NOW, &why), -EBADMSG);
	assert_string_equal(why, "the answer is for another AK");
	enrol_pending_clear(&p);
}

static void test_proof_vector(void **state)
{
	json_t *v = vectors_load("enrol");
	struct tpm2_bytes name = {};
	uint8_t key[ENROL_KEY_SIZE], expected[32], proof[32];

	(void)state;
	vector_bytes(vector_text(v, "key"), key, sizeof(key));
	name.len = vector_bytes(vector_text(v, "ak_name"), name.data, sizeof(name.data));
	vector_bytes(vector_text(v, "proof"), expected, sizeof(expected));
	assert_int_equal(enrol_proof(key, &name, proof), 0);
	assert_memory_equal(proof, expected, sizeof(proof));
	json_decref(v);
}

/*
 * Each file reads back as it was; none passes for another; without any member it is refused, by
 * that member's name.
 */
static json_t *files[4];

static int parse(size_t as, const json_t *o, const char **why)
{
	struct enrol_challenge c;
	struct enrol_request r;
	struct enrol_pending p;
	struct enrol_answer a;
	json_t *again;
	int err;

	switch (as) {
	case 0:
		err = enrol_request_parse(o, &r, why);
		again = err ? NULL : enrol_request_json(&r);
		if (!err)
			enrol_request_clear(&r);
		break;
	case 1:
		err = enrol_challenge_parse(o, &c, why);
		again = err ? NULL : enrol_challenge_json(&c);
		break;
	case 2:
		err = enrol_pending_parse(o, &p, why);
		again = err ? NULL : enrol_pending_json(&p);
		if (!err)
			enrol_pending_clear(&p);
		break;
	default:
		err = enrol_answer_parse(o, &a, why);
		again = err ? NULL : enrol_answer_json(&a);
	}
	if (!err)
		assert_true(json_equal(o, again));
	json_decref(again);
	return err;
}

static void test_files(void **state)
{
	static const char *const values[] = {"null", "7",  "\"\"", "\"x\"", "\"=\"",
					     "[]",   "{}", "-1",   "[7]",   "[\"\"]"};
	const char *why, *name;
	json_t *value, *o;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		for (size_t as = 0; as < 4; as++) {
			why = "";
			assert_int_equal(parse(as, files[i], &why), as == i ? 0 : -EBADMSG);
			assert_string_equal(why, as == i ? "" : "type");
		}
		json_object_foreach(files[i], name, value)
		{
			o = json_copy(files[i]);
			json_object_del(o, name);
			assert_int_equal(parse(i, o, &why), -EBADMSG);
			assert_string_equal(why, name);
			for (size_t k = 0; k < sizeof(values) / sizeof(*values); k++) {
				json_object_set_new(o, name,
						    json_loads(values[k], JSON_DECODE_ANY, NULL));
				if (parse(i, o, &why) ==
				    0) /* and then reads back: parse() compares */
					assert_true(!strcmp(name, "expires") ||
						    !strcmp(name, "ek_chain"));
				else
					assert_string_equal(why, name);
			}
			json_decref(o);
		}
	}
}

static int make_files(void **state)
{
	struct enrol_pending p = {.expires = NOW};
	struct enrol_challenge challenge = {};
	struct enrol_answer a = {};
	struct enrol_checked c;
	const char *why;

	(void)state;
	p.request = request_of("ecc");
	p.request.ek_chain[0] = blob_of("tpm2/ecc.quote"); /* any bytes */
	p.request.ek_chain[1] = blob_of("tpm2/ecc.sig");
	p.request.ek_chain_count = 2;
	if (enrol_check_request(&p.request, NULL, NOW, &c, &why) ||
	    enrol_challenge_make(&c, p.key, &challenge))
		return -1;
	a.ak_name = challenge.ak_name;
	files[0] = enrol_request_json(&p.request);
	files[1] = enrol_challenge_json(&challenge);
	files[2] = enrol_pending_json(&p);
	files[3] = enrol_answer_json(&a);
	/* With certificates that are none: refused by the store's check. */
	struct certificate_store *s;

	if (certificate_store_new(&s) ||
	    enrol_check_request(&p.request, s, NOW, &c, &why) != -EBADMSG)
		return -1;
	certificate_store_free(s);
	enrol_pending_clear(&p);
	return files[0] && files[1] && files[2] && files[3] ? 0 : -1;
}

static int free_files(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++)
		json_decref(files[i]);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stock_keys), cmocka_unit_test(test_ak_refused),
		cmocka_unit_test(test_ek_refused), cmocka_unit_test(test_swapped),
		cmocka_unit_test(test_answer),     cmocka_unit_test(test_proof_vector),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests_name("enrol", tests, make_files, free_files);
}
