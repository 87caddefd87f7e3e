/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/programs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/merkle.h"
#include "base/pb.h"
#include "vectors.h"

static struct sha256 leaf(uint8_t first)
{
	return (struct sha256){.bytes = {first}};
}

static void add(struct programs *p, uint8_t first)
{
	struct sha256 l = leaf(first);

	assert_int_equal(programs_add(p, &l), 0);
}

/* The order in which they ran, and how often, make no difference. */
static void is_a_set(void **state)
{
	struct programs a = {0}, b = {0};
	struct sha256 root_a, root_b;

	(void)state;
	add(&a, 1), add(&a, 2), add(&a, 3);
	add(&b, 3), add(&b, 1), add(&b, 3), add(&b, 2), add(&b, 1);
	assert_int_equal(a.count, 3);
	assert_int_equal(b.count, 3);
	assert_int_equal(programs_root(&a, &root_a), 0);
	assert_int_equal(programs_root(&b, &root_b), 0);
	assert_memory_equal(&root_a, &root_b, sizeof(root_a));
	add(&b, 4);
	assert_int_equal(programs_root(&b, &root_b), 0);
	assert_memory_not_equal(&root_a, &root_b, sizeof(root_a));
	programs_clear(&a);
	programs_clear(&b);
}

static void says_when_it_is_cut(void **state)
{
	struct programs p = {0};

	(void)state;
	for (unsigned int i = 0; i < PROGRAMS_MAX; i++) {
		struct sha256 l = {.bytes = {i >> 8, i}};

		assert_int_equal(programs_add(&p, &l), 0);
	}
	assert_false(p.cut);
	add(&p, 0); /* there already */
	assert_false(p.cut);
	add(&p, 255);
	assert_true(p.cut);
	assert_int_equal(p.count, PROGRAMS_MAX);
	programs_clear(&p);
}

/* docs/evidence.md: 00 || domain || 00 || state || SHA-256 or zeros || path. */
static void hashes_what_the_format_says(void **state)
{
	uint8_t sum[SHA256_SIZE], data[19 + 1 + 1 + SHA256_SIZE + 7];
	Affiant__V1__Process process = AFFIANT__V1__PROCESS__INIT;
	Affiant__V1__Executable exe = AFFIANT__V1__EXECUTABLE__INIT;
	Affiant__V1__Step step = AFFIANT__V1__STEP__INIT, *chain[] = {&step};
	Affiant__V1__Digest digest = AFFIANT__V1__DIGEST__INIT, none = AFFIANT__V1__DIGEST__INIT;
	struct sha256 expected[2], root, ours;
	struct programs p = {0};

	(void)state;
	memset(sum, 0xab, sizeof(sum));
	SET(&digest, state, AFFIANT__V1__HASH_STATE__HASH_OBSERVED);
	SET(&digest, sha256, pb_bytes(sum, sizeof(sum)));
	SET(&none, state, AFFIANT__V1__HASH_STATE__HASH_TOO_LATE);
	SET(&exe, path, pb_bytes("/bin/sh", 7));
	exe.digest = &digest;
	step.digest = &none;
	process.executable = &exe;
	process.chain = chain;
	process.n_chain = 1;
	assert_int_equal(programs_add_process(&p, &process), 0);
	assert_int_equal(p.count, 2);

	memcpy(data, "affiant/program/v1", 19);
	data[19] = 4;
	memcpy(data + 20, sum, sizeof(sum));
	memcpy(data + 20 + SHA256_SIZE, "/bin/sh", 7);
	assert_int_equal(merkle_leaf(data, 20 + SHA256_SIZE + 7, &expected[0]), 0);
	data[19] = 5;
	memset(data + 20, 0, SHA256_SIZE);
	assert_int_equal(merkle_leaf(data, 20 + SHA256_SIZE, &expected[1]), 0);
	if (memcmp(&expected[0], &expected[1], sizeof(*expected)) > 0) {
		root = expected[0];
		expected[0] = expected[1];
		expected[1] = root;
	}
	assert_int_equal(merkle_node(&expected[0], &expected[1], &root), 0);
	assert_int_equal(programs_root(&p, &ours), 0);
	assert_memory_equal(&ours, &root, sizeof(root));
	programs_clear(&p);
}

/* The same sets as tests/oracle/vectors.py has them. */
static void meets_the_vectors(void **state)
{
	json_t *v = vectors_load("programs"), *list = json_object_get(v, "programs"), *one;
	Affiant__V1__Process process = AFFIANT__V1__PROCESS__INIT;
	Affiant__V1__Executable exe = AFFIANT__V1__EXECUTABLE__INIT;
	Affiant__V1__Digest digest = AFFIANT__V1__DIGEST__INIT;
	struct sha256 root, expected;
	struct programs p = {0};
	uint8_t path[64], sum[32];
	ProtobufCBinaryData bytes;

	(void)state;
	exe.digest = &digest;
	process.executable = &exe;
	for (size_t i = 0; i < json_array_size(list); i++) {
		one = json_array_get(list, i);
		SET(&exe, path,
		    pb_bytes(path, vector_bytes(vector_text(one, "path"), path, sizeof(path))));
		SET(&digest, state, json_integer_value(json_object_get(one, "state")));
		digest.has_sha256 = digest.has_unproven_sha256 = false;
		if (json_is_string(json_object_get(one, "sha256"))) {
			bytes = pb_bytes(
				sum, vector_bytes(vector_text(one, "sha256"), sum, sizeof(sum)));
			if (digest.state == AFFIANT__V1__HASH_STATE__HASH_UNPROVEN)
				SET(&digest, unproven_sha256, bytes);
			else
				SET(&digest, sha256, bytes);
		}
		assert_int_equal(programs_add_process(&p, &process), 0);
	}
	vector_bytes(vector_text(v, "root"), expected.bytes, sizeof(expected));
	assert_int_equal(programs_root(&p, &root), 0);
	assert_memory_equal(&root, &expected, sizeof(root));
	assert_int_equal(p.count, json_integer_value(json_object_get(v, "count")));
	programs_clear(&p);
	json_decref(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_a_set),
		cmocka_unit_test(says_when_it_is_cut),
		cmocka_unit_test(hashes_what_the_format_says),
		cmocka_unit_test(meets_the_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
