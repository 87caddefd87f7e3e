/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/pcr.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "attest/hash.h"
#include "attest_samples.h"
#include "base/cleanup.h"

static const uint16_t algs[] = {TPM2_SHA1, TPM2_SHA256, TPM2_SHA384, TPM2_SHA512};

/* The samples' TPM: PCR 0 extended by H("one"), H("two"), PCR 10 by H("three"), in every bank. */
static void extend_as_samples(struct pcr_bank *b)
{
	static const struct {
		uint32_t pcr;
		const char *what;
	} steps[] = {{0, "one"}, {0, "two"}, {10, "three"}};
	uint8_t digest[TPM2_DIGEST_MAX];

	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(hash_of(b->alg, steps[i].what, strlen(steps[i].what), digest), 0);
		assert_int_equal(pcr_extend(b, steps[i].pcr, digest), 0);
	}
}

static void test_initial(void **state)
{
	static const uint8_t ones[64] = {[0 ... 63] = 0xff}, zeros[64];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct pcr_bank b;

		memset(&b, 0xa5, sizeof(b));
		assert_int_equal(pcr_bank_init(&b, algs[i]), 0);
		for (uint32_t pcr = 0; pcr < TPM2_PCRS; pcr++) {
			assert_memory_equal(b.values[pcr], pcr >= 17 && pcr <= 22 ? ones : zeros,
					    b.size);
			assert_true(pcr_is_initial(&b, pcr));
		}
		extend_as_samples(&b);
		assert_int_equal(b.extended, 1 << 0 | 1 << 10);
		assert_false(pcr_is_initial(&b, 0));
		assert_true(pcr_is_initial(&b, 1));
		assert_false(pcr_is_initial(&b, 10));
	}
}

static void test_refused(void **state)
{
	static const uint8_t digest[TPM2_DIGEST_MAX];
	struct pcr_bank b = {.alg = 7}, before;

	(void)state;
	assert_int_equal(pcr_bank_init(&b, TPM2_SM3_256), -EINVAL);
	assert_int_equal(pcr_bank_init(&b, TPM2_NULL), -EINVAL);
	assert_int_equal(b.alg, 7);
	assert_int_equal(pcr_bank_init(&b, TPM2_SHA256), 0);
	before = b;
	assert_int_equal(pcr_extend(&b, TPM2_PCRS, digest), -EINVAL);
	assert_int_equal(pcr_extend(&b, UINT32_MAX, digest), -EINVAL);
	assert_memory_equal(&b, &before, sizeof(b));
}

static void test_locality(void **state)
{
	struct pcr_bank b;

	(void)state;
	assert_int_equal(pcr_bank_init(&b, TPM2_SHA256), 0);
	for (uint8_t locality = 0; locality <= 5; locality++) {
		pcr_bank_set_locality(&b, locality);
		assert_int_equal(b.values[0][31], locality);
		assert_int_equal(pcr_is_initial(&b, 0), locality <= 4);
	}
	b.values[1][31] = 3;
	assert_false(pcr_is_initial(&b, 1));
}

/* What a TPM says of the same steps */
static void test_against_a_tpm(void **state)
{
	_cleanup_sample_ struct sample yaml = sample_text("tpm2/pcrs.yaml");
	struct pcr_bank b;
	size_t bank = 4, seen = 0;

	(void)state;
	for (char *save, *line = strtok_r((char *)yaml.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		char name[8], hex[2 * TPM2_DIGEST_MAX + 1], expected[2 * TPM2_DIGEST_MAX + 1];
		uint32_t pcr;

		if (sscanf(line, " sha%7[0-9]:", name) == 1) {
			bank = !strcmp(name, "1")     ? 0
			       : !strcmp(name, "256") ? 1
			       : !strcmp(name, "384") ? 2
						      : 3;
			assert_int_equal(pcr_bank_init(&b, algs[bank]), 0);
			extend_as_samples(&b);
			continue;
		}
		assert_int_equal(sscanf(line, " %u : 0x%128s", &pcr, expected), 2);
		for (char *c = expected; *c; c++)
			*c |= *c >= 'A' ? 0x20 : 0;
		hex_encode(b.values[pcr], b.size, hex);
		assert_string_equal(hex, expected);
		seen++;
	}
	assert_int_equal(seen, 13);
}

static void test_digest(void **state)
{
	static const char *const names[] = {"ecc", "rsassa", "rsapss", "p384"};
	struct pcr_bank banks[4];
	struct tpm2_bytes digest;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pcr_bank_init(&banks[i], algs[i]), 0);
		extend_as_samples(&banks[i]);
	}
	for (size_t i = 0; i < 4; i++) {
		char path[64];
		struct tpm2_attest a;

		snprintf(path, sizeof(path), "tpm2/%s.quote", names[i]);
		_cleanup_sample_ struct sample s = sample_read(path);
		assert_int_equal(tpm2_attest_parse(s.data, s.len, &a), 0);
		assert_int_equal(pcr_digest(banks, 4, a.selections, a.selections_count,
					    i == 3 ? TPM2_SHA384 : TPM2_SHA256, &digest),
				 0);
		assert_int_equal(digest.len, a.pcr_digest.len);
		assert_memory_equal(digest.data, a.pcr_digest.data, digest.len);
		/* Another hash, a selection less, another order: other digests */
		assert_int_equal(pcr_digest(banks, 4, a.selections, a.selections_count - 1,
					    TPM2_SHA256, &digest),
				 0);
		assert_memory_not_equal(digest.data, a.pcr_digest.data, 32);
		assert_int_equal(
			pcr_digest(banks, 4, a.selections, a.selections_count, TPM2_NULL, &digest),
			-EINVAL);
		if (a.selections_count > 1) {
			struct tpm2_selection first = a.selections[0];

			a.selections[0] = a.selections[1];
			a.selections[1] = first;
			assert_int_equal(pcr_digest(banks, 4, a.selections, a.selections_count,
						    i == 3 ? TPM2_SHA384 : TPM2_SHA256, &digest),
					 0);
			assert_memory_not_equal(digest.data, a.pcr_digest.data, 32);
			assert_int_equal(pcr_digest(banks, 1, a.selections, a.selections_count,
						    TPM2_SHA256, &digest),
					 -ENOENT);
		}
		assert_int_equal(pcr_digest(banks, 4, a.selections, TPM2_SELECTIONS_MAX + 1,
					    TPM2_SHA256, &digest),
				 -EINVAL);
	}
}

static void test_hash_parts(void **state)
{
	const struct reader parts[] = {reader_of("o", 1), reader_of("", 0), reader_of("ne", 2)};
	uint8_t whole[TPM2_DIGEST_MAX], pieces[TPM2_DIGEST_MAX];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct hash *h = NULL;

		assert_int_equal(hash_new(algs[i], &h), 0);
		assert_int_equal(hash_of(algs[i], "one", 3, whole), 0);
		for (int again = 0; again < 2; again++) {
			memset(pieces, 0xa5, sizeof(pieces));
			assert_int_equal(hash_parts(h, parts, 3, pieces), 0);
			assert_memory_equal(pieces, whole, tpm2_digest_size(algs[i]));
		}
		hash_free(h);
	}
	hash_free(NULL);
	assert_int_equal(hash_of(TPM2_SM3_256, "", 0, whole), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_initial),  cmocka_unit_test(test_refused),
		cmocka_unit_test(test_locality), cmocka_unit_test(test_against_a_tpm),
		cmocka_unit_test(test_digest),   cmocka_unit_test(test_hash_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
