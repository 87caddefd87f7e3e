/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/batch.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "vectors.h"

static void check(const struct sha256 *h, const json_t *hex)
{
	struct sha256 expected;

	assert_int_equal(vector_bytes(json_string_value(hex), expected.bytes, sizeof(expected)),
			 sizeof(expected));
	assert_memory_equal(h, &expected, sizeof(expected));
}

static void one_vector(const json_t *v)
{
	enum batch_domain domain =
		strcmp(vector_text(v, "domain"), "ledger") ? BATCH_EVIDENCE : BATCH_LEDGER;
	const json_t *inputs = json_object_get(v, "inputs"), *paths = json_object_get(v, "paths");
	size_t size = json_array_size(inputs);
	struct sha256 leaves[8], root, extra, path[MERKLE_PATH_MAX];
	struct merkle m = {};
	unsigned int len;

	for (size_t i = 0; i < size; i++) {
		const char *input = json_string_value(json_array_get(inputs, i));

		memset(&leaves[i], 0xa5, sizeof(leaves[i]));
		assert_int_equal(batch_leaf(domain, input, strlen(input), &leaves[i]), 0);
		check(&leaves[i], json_array_get(json_object_get(v, "leaves"), i));
		assert_int_equal(merkle_append(&m, &leaves[i]), 0);
	}
	assert_int_equal(merkle_root(&m, &root), 0);
	check(&root, json_object_get(v, "root"));
	memset(&extra, 0xa5, sizeof(extra));
	assert_int_equal(batch_extra(domain, size, &root, &extra), 0);
	check(&extra, json_object_get(v, "extra"));
	for (size_t i = 0; i < size; i++) {
		assert_int_equal(merkle_path(leaves, size, i, path, &len), 0);
		assert_int_equal(json_array_size(json_array_get(paths, i)), len);
		for (unsigned int k = 0; k < len; k++)
			check(&path[k], json_array_get(json_array_get(paths, i), k));
	}
}

/*
 * Every leaf of every size up to 70, and of some large ones: the tree's paths are merkle_path()'s,
 * and lead to the root.
 */
static void test_paths(void **state)
{
	static struct sha256 leaves[BATCH_MAX];
	static const size_t larger[] = {127, 128, 129, 1000, 4095, BATCH_MAX};
	uint8_t path[BATCH_PATH_SIZE_MAX];
	struct sha256 extra, expected[MERKLE_PATH_MAX];
	unsigned int levels;
	struct batch *b;

	(void)state;
	for (size_t i = 0; i < BATCH_MAX; i++)
		assert_int_equal(batch_leaf(BATCH_EVIDENCE, &i, sizeof(i), &leaves[i]), 0);
	for (size_t n = 1; n < 71 + sizeof(larger) / sizeof(*larger); n++) {
		size_t size = n < 71 ? n : larger[n - 71], step = size < 71 ? 1 : size / 7 + 1;

		assert_int_equal(batch_new(leaves, size, &b), 0);
		assert_int_equal(batch_extra(BATCH_EVIDENCE, size, batch_root(b), &extra), 0);
		for (size_t i = 0; i < size; i += step) {
			size_t len = batch_path(b, i, path);

			assert_int_equal(merkle_path(leaves, size, i, expected, &levels), 0);
			assert_int_equal(len, 16 + levels * SHA256_SIZE);
			assert_memory_equal(path + 16, expected, levels * SHA256_SIZE);
			assert_int_equal(
				batch_check(BATCH_EVIDENCE, &leaves[i], path, len, &extra, 32), 0);
			assert_int_equal(
				batch_check(BATCH_LEDGER, &leaves[i], path, len, &extra, 32),
				-EKEYREJECTED);
			assert_int_equal(
				batch_check(BATCH_EVIDENCE, &leaves[i], path, len, &extra, 31),
				-EKEYREJECTED);
			if (size > 1)
				assert_int_equal(batch_check(BATCH_EVIDENCE,
							     &leaves[(i + 1) % size], path, len,
							     &extra, 32),
						 -EKEYREJECTED);
			for (size_t cut = 0; cut < len; cut++)
				assert_int_equal(batch_check(BATCH_EVIDENCE, &leaves[i], path, cut,
							     &extra, 32),
						 -EBADMSG);
		}
		batch_free(b);
	}
}

static void test_bounds(void **state)
{
	static struct sha256 leaves[BATCH_MAX + 1];
	uint8_t path[BATCH_PATH_SIZE_MAX + SHA256_SIZE] = {[7] = 0, [15] = 1};
	struct sha256 extra;
	struct batch *b = (void *)0x5a5a;

	(void)state;
	assert_int_equal(batch_new(leaves, 0, &b), -EINVAL);
	assert_int_equal(batch_new(leaves, BATCH_MAX + 1, &b), -EINVAL);
	assert_ptr_equal(b, (void *)0x5a5a);
	assert_int_equal(batch_extra(BATCH_EVIDENCE, 1, &leaves[0], &extra), 0);
	assert_int_equal(batch_check(BATCH_EVIDENCE, &leaves[0], path, 16, &extra, 32), 0);
	assert_int_equal(batch_check(BATCH_EVIDENCE, &leaves[0], path, 48, &extra, 32),
			 -EBADMSG); /* one too many */
	path[7] = 1;                /* index 1 of 1 */
	assert_int_equal(batch_check(BATCH_EVIDENCE, &leaves[0], path, 16, &extra, 32), -EBADMSG);
	path[7] = path[15] = 0; /* of none */
	assert_int_equal(batch_check(BATCH_EVIDENCE, &leaves[0], path, 16, &extra, 32), -EBADMSG);
	path[14] = 0x10, path[15] = 1; /* of 4097 */
	assert_int_equal(batch_check(BATCH_EVIDENCE, &leaves[0], path, sizeof(path), &extra, 32),
			 -EBADMSG);
}

static void test_vectors(void **state)
{
	json_t *all = vectors_load("batch");

	(void)state;
	assert_true(json_array_size(all) > 0);
	for (size_t i = 0; i < json_array_size(all); i++)
		one_vector(json_array_get(all, i));
	json_decref(all);
}

/*
 * The same bytes mean something else in each domain, at each size, and as a leaf of the plain tree.
 */
static void test_apart(void **state)
{
	struct sha256 h[6];

	(void)state;
	assert_int_equal(batch_leaf(BATCH_EVIDENCE, "x", 1, &h[0]), 0);
	assert_int_equal(batch_leaf(BATCH_LEDGER, "x", 1, &h[1]), 0);
	assert_int_equal(merkle_leaf("x", 1, &h[2]), 0);
	assert_int_equal(batch_extra(BATCH_EVIDENCE, 1, &h[0], &h[3]), 0);
	assert_int_equal(batch_extra(BATCH_LEDGER, 1, &h[0], &h[4]), 0);
	assert_int_equal(batch_extra(BATCH_EVIDENCE, 2, &h[0], &h[5]), 0);
	for (int i = 0; i < 6; i++)
		for (int k = 0; k < i; k++)
			assert_memory_not_equal(&h[i], &h[k], sizeof(*h));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_apart),
	};

	return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
