/* SPDX-License-Identifier: Apache-2.0 */
#include "base/merkle.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MANY 131

/* The eight leaves and the roots that Certificate Transparency's implementations test with. */
static const struct {
	const char *data;
	size_t len;
} known_leaves[] = {
	{"", 0},
	{"\x00", 1},
	{"\x10", 1},
	{"\x20\x21", 2},
	{"\x30\x31", 2},
	{"\x40\x41\x42\x43", 4},
	{"\x50\x51\x52\x53\x54\x55\x56\x57", 8},
	{"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16},
};
static const char *const known_roots[] = {
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
	"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
	"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
	"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
	"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
	"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
	"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
	"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

static struct sha256 leaves[MANY];

static void check_hex(const struct sha256 *h, const char *expected)
{
	char hex[SHA256_HEX_SIZE];

	hex_encode(h, SHA256_SIZE, hex);
	assert_string_equal(hex, expected);
}

static void test_known(void **state)
{
	struct merkle m = {};
	struct sha256 root, leaf;

	(void)state;
	for (unsigned int n = 0; n <= 8; n++) {
		memset(&root, 0xa5, sizeof(root));
		assert_int_equal(merkle_root(&m, &root), 0);
		check_hex(&root, known_roots[n]);
		if (n == 8)
			break;
		assert_int_equal(merkle_leaf(known_leaves[n].data, known_leaves[n].len, &leaf), 0);
		assert_int_equal(merkle_append(&m, &leaf), 0);
	}
}

/* The definition, word for word. */
static void by_definition(unsigned int n, const struct sha256 *at, struct sha256 *ret)
{
	struct sha256 left, right;
	unsigned int k = 1;

	if (n == 0) {
		assert_int_equal(sha256_of("", 0, ret), 0);
		return;
	}
	if (n == 1) {
		*ret = *at;
		return;
	}
	while (2 * k < n)
		k *= 2;
	by_definition(k, at, &left);
	by_definition(n - k, at + k, &right);
	assert_int_equal(merkle_node(&left, &right, ret), 0);
}

static unsigned int path_by_definition(unsigned int m, unsigned int n, const struct sha256 *at,
				       struct sha256 *ret)
{
	unsigned int k = 1, len;

	if (n == 1)
		return 0;
	while (2 * k < n)
		k *= 2;
	if (m < k) {
		len = path_by_definition(m, k, at, ret);
		by_definition(n - k, at + k, &ret[len]);
	} else {
		len = path_by_definition(m - k, n - k, at + k, ret);
		by_definition(k, at, &ret[len]);
	}
	return len + 1;
}

static void test_roots(void **state)
{
	struct merkle m = {};
	struct sha256 root, expected;

	(void)state;
	for (unsigned int n = 0; n < MANY; n++) {
		by_definition(n, leaves, &expected);
		memset(&root, 0xa5, sizeof(root));
		assert_int_equal(merkle_root(&m, &root), 0);
		assert_memory_equal(&root, &expected, sizeof(root));
		assert_int_equal(merkle_append(&m, &leaves[n]), 0);
	}
}

static void test_paths(void **state)
{
	struct sha256 path[MERKLE_PATH_MAX], expected[MERKLE_PATH_MAX], root;
	unsigned int len;

	(void)state;
	for (unsigned int n = 1; n < MANY; n++) {
		by_definition(n, leaves, &root);
		for (unsigned int i = 0; i < n; i++) {
			memset(path, 0xa5, sizeof(path));
			assert_int_equal(merkle_path(leaves, n, i, path, &len), 0);
			assert_int_equal(len, path_by_definition(i, n, leaves, expected));
			assert_memory_equal(path, expected, len * sizeof(*path));
			assert_int_equal(merkle_verify(&leaves[i], i, n, path, len, &root), 0);
		}
		assert_int_equal(merkle_path(leaves, n, n, path, &len), -EINVAL);
	}
	assert_int_equal(merkle_path(leaves, 0, 0, path, &len), -EINVAL);
}

static void test_refusals(void **state)
{
	struct sha256 path[MERKLE_PATH_MAX], root, other;
	unsigned int len;

	(void)state;
	for (unsigned int n = 1; n < 40; n++) {
		by_definition(n, leaves, &root);
		for (unsigned int i = 0; i < n; i++) {
			assert_int_equal(merkle_path(leaves, n, i, path, &len), 0);
			/* Another place, another size, another leaf, another root. */
			for (unsigned int k = 0; k < n + 2; k++)
				if (k != i)
					assert_int_equal(
						merkle_verify(&leaves[i], k, n, path, len, &root),
						-EBADMSG);
			assert_int_equal(merkle_verify(&leaves[i], i, 0, path, len, &root),
					 -EBADMSG);
			assert_int_equal(merkle_verify(&leaves[n], i, n, path, len, &root),
					 -EBADMSG);
			other = root;
			other.bytes[31] ^= 1;
			assert_int_equal(merkle_verify(&leaves[i], i, n, path, len, &other),
					 -EBADMSG);
			/* Too short, too long. */
			for (unsigned int l = 0; l < len; l++)
				assert_int_equal(merkle_verify(&leaves[i], i, n, path, l, &root),
						 -EBADMSG);
			path[len] = leaves[0];
			assert_int_equal(merkle_verify(&leaves[i], i, n, path, len + 1, &root),
					 -EBADMSG);
			/* Any bit of the path. */
			for (unsigned int l = 0; l < len; l++) {
				path[l].bytes[l] ^= 0x80;
				assert_int_equal(merkle_verify(&leaves[i], i, n, path, len, &root),
						 -EBADMSG);
				path[l].bytes[l] ^= 0x80;
			}
		}
	}
}

/* A node is no leaf: the concatenation of two hashes, offered as data, gives another hash. */
static void test_domains(void **state)
{
	struct sha256 node, leaf;
	uint8_t both[2 * SHA256_SIZE];

	(void)state;
	memcpy(both, &leaves[0], SHA256_SIZE);
	memcpy(both + SHA256_SIZE, &leaves[1], SHA256_SIZE);
	assert_int_equal(merkle_node(&leaves[0], &leaves[1], &node), 0);
	assert_int_equal(merkle_leaf(both, sizeof(both), &leaf), 0);
	assert_memory_not_equal(&node, &leaf, sizeof(node));
}

static void test_full(void **state)
{
	struct merkle m = {.size = UINT64_MAX};

	(void)state;
	assert_int_equal(merkle_append(&m, &leaves[0]), -EOVERFLOW);
	assert_true(m.size == UINT64_MAX);
}

static int make_leaves(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < MANY; i++)
		if (merkle_leaf(&i, sizeof(i), &leaves[i]) < 0)
			return -1;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),   cmocka_unit_test(test_roots),
		cmocka_unit_test(test_paths),   cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_domains), cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests_name("merkle", tests, make_leaves, NULL);
}
