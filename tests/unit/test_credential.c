/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a credential is opened by is in tests/e2e/test_credential.py: a TPM, tpm2-tools, and the
 * specification.
 */
#include "attest/credential.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "attest_samples.h"

static const char *const names[] = {"ecc", "p384", "rsassa"};

static struct tpm2_public ek_of(const char *name)
{
	char path[64];
	struct tpm2_public ek;

	snprintf(path, sizeof(path), "tpm2/%s.ek.pub", name);
	_cleanup_sample_ struct sample s = sample_read(path);
	assert_int_equal(tpm2_public_parse(s.data, s.len, &ek), 0);
	return ek;
}

static void test_shape(void **state)
{
	static const size_t encrypted[] = {70, 102, 258}, digest[] = {32, 48, 32};
	struct tpm2_bytes name = {.len = 34};
	struct credential a, b;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct tpm2_public ek = ek_of(names[i]);

		memset(&a, 0xa5, sizeof(a));
		assert_int_equal(credential_make(&ek, &name, "0123456789abcdef", 16, &a), 0);
		assert_int_equal(a.encrypted_len, encrypted[i]);
		assert_int_equal(a.encrypted[0] << 8 | a.encrypted[1], encrypted[i] - 2);
		assert_int_equal(a.id_object_len, 2 + 2 + digest[i] + 2 + 16);
		assert_int_equal(a.id_object[0] << 8 | a.id_object[1], a.id_object_len - 2);
		assert_int_equal(a.id_object[2] << 8 | a.id_object[3], digest[i]);
		/* Made anew each time. */
		assert_int_equal(credential_make(&ek, &name, "0123456789abcdef", 16, &b), 0);
		assert_memory_not_equal(a.encrypted, b.encrypted, a.encrypted_len);
		assert_memory_not_equal(a.id_object + 4, b.id_object + 4, digest[i]);
	}
}

static void test_refused(void **state)
{
	struct tpm2_public ek = ek_of("ecc"), bad;
	struct tpm2_bytes name = {.len = 34}, none = {};
	struct credential c;

	(void)state;
	memset(&c, 0xa5, sizeof(c));
	assert_int_equal(credential_make(&ek, &none, "x", 1, &c), -EINVAL);
	assert_int_equal(credential_make(&ek, &name, "", 0, &c), -EINVAL);
	assert_int_equal(credential_make(&ek, &name, &name, CREDENTIAL_SECRET_MAX + 1, &c),
			 -EINVAL);
	bad = ek, bad.symmetric = TPM2_NULL;
	assert_int_equal(credential_make(&bad, &name, "x", 1, &c), -EINVAL);
	bad = ek, bad.symmetric_bits = 192;
	assert_int_equal(credential_make(&bad, &name, "x", 1, &c), -EINVAL);
	bad = ek, bad.symmetric_mode = TPM2_NULL;
	assert_int_equal(credential_make(&bad, &name, "x", 1, &c), -EINVAL);
	bad = ek, bad.name_alg = TPM2_SHA1;
	assert_int_equal(credential_make(&bad, &name, "x", 1, &c), -EINVAL);
	bad = ek, bad.curve = TPM2_P521;
	assert_int_equal(credential_make(&bad, &name, "x", 1, &c), -EINVAL);
	bad = ek, bad.y.data[0] ^= 1;
	assert_int_equal(credential_make(&bad, &name, "x", 1, &c), -EINVAL);
	assert_int_equal(c.encrypted_len, (size_t)0xa5a5a5a5a5a5a5a5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shape),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("credential", tests, NULL, NULL);
}
