/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/batch.h"

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

static void test_vectors(void **state)
{
	json_t *all = vectors_load("batch");

	(void)state;
	assert_true(json_array_size(all) > 0);
	for (size_t i = 0; i < json_array_size(all); i++)
		one_vector(json_array_get(all, i));
	json_decref(all);
}

/* The same bytes mean something else in each domain, at each size, and as a leaf of the plain tree.
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
		cmocka_unit_test(test_apart),
	};

	return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
