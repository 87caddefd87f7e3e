/* SPDX-License-Identifier: Apache-2.0 */
#include "base/merkle.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#include "base/cleanup.h"

DEFINE_CLEANUP(struct sha256_context *, sha256_free)

static int hash(uint8_t prefix, const void *a, size_t a_len, const void *b, size_t b_len,
		struct sha256 *ret)
{
	_cleanup_(sha256_freep) struct sha256_context *c = NULL;
	int r = sha256_new(&c);

	return r ?: sha256_update(c, &prefix, 1) ?: sha256_update(c, a, a_len) ?: sha256_update(c, b, b_len) ?:
	       sha256_final(c, ret);
}

int merkle_leaf(const void *data, size_t len, struct sha256 *ret)
{
	return hash(0, data, len, NULL, 0, ret);
}

int merkle_node(const struct sha256 *left, const struct sha256 *right, struct sha256 *ret)
{
	uint8_t bytes[1 + 2 * SHA256_SIZE] = {1};

	memcpy(bytes + 1, left, SHA256_SIZE);
	memcpy(bytes + 1 + SHA256_SIZE, right, SHA256_SIZE);
	return sha256_of(bytes, sizeof(bytes), ret);
}

/*
 * Like adding one in binary: each trailing one bit of the size is a complete subtree that now has a
 * partner of its own height on its right.
 */
int merkle_append(struct merkle *m, const struct sha256 *leaf)
{
	unsigned int edge = __builtin_popcountll(m->size);
	struct sha256 carry = *leaf;
	int r;

	if (m->size == UINT64_MAX)
		return -EOVERFLOW;
	for (uint64_t s = m->size; s & 1; s >>= 1) {
		r = merkle_node(&m->edge[--edge], &carry, &carry);
		if (r < 0)
			return r;
	}
	m->edge[edge] = carry;
	m->size++;
	return 0;
}

int merkle_root(const struct merkle *m, struct sha256 *ret)
{
	unsigned int edge = __builtin_popcountll(m->size);
	struct sha256 root;
	int r = 0;

	if (edge == 0)
		return sha256_of("", 0, ret);
	root = m->edge[--edge];
	while (edge > 0 && r == 0)
		r = merkle_node(&m->edge[--edge], &root, &root);
	if (r == 0)
		*ret = root;
	return r;
}

/* The largest power of two smaller than @n: where RFC 6962 splits. */
static uint64_t split_of(uint64_t n)
{
	return 1ull << (63 - __builtin_clzll(n - 1));
}

static int root_of(const struct sha256 *leaves, uint64_t size, struct sha256 *ret)
{
	struct merkle m = {};
	int r = 0;

	for (uint64_t i = 0; i < size && r == 0; i++)
		r = merkle_append(&m, &leaves[i]);
	return r ?: merkle_root(&m, ret);
}

int merkle_path(const struct sha256 *leaves, uint64_t size, uint64_t index,
		struct sha256 ret[static MERKLE_PATH_MAX], unsigned int *ret_len)
{
	struct sha256 down[MERKLE_PATH_MAX];
	unsigned int depth = 0;
	uint64_t k;
	int r = 0;

	if (index >= size)
		return -EINVAL;
	for (; size > 1 && r == 0; depth++) {
		k = split_of(size);
		if (index < k) {
			r = root_of(leaves + k, size - k, &down[depth]);
			size = k;
		} else {
			r = root_of(leaves, k, &down[depth]);
			leaves += k;
			index -= k;
			size -= k;
		}
	}
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < depth; i++)
		ret[i] = down[depth - 1 - i];
	*ret_len = depth;
	return 0;
}

/* RFC 9162, section 2.1.3.2: the same trees; it spells the check out. */
int merkle_climb(const struct sha256 *leaf, uint64_t index, uint64_t size,
		 const struct sha256 *path, unsigned int len, struct sha256 *ret)
{
	struct sha256 at = *leaf;
	uint64_t fn = index, sn = size - 1;
	int r;

	if (index >= size)
		return -EBADMSG;
	for (unsigned int i = 0; i < len; i++) {
		if (sn == 0)
			return -EBADMSG;
		if ((fn & 1) || fn == sn) {
			r = merkle_node(&path[i], &at, &at);
			while (!(fn & 1) && fn != 0) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			r = merkle_node(&at, &path[i], &at);
		}
		if (r < 0)
			return r;
		fn >>= 1;
		sn >>= 1;
	}
	if (sn != 0)
		return -EBADMSG;
	*ret = at;
	return 0;
}

int merkle_verify(const struct sha256 *leaf, uint64_t index, uint64_t size,
		  const struct sha256 *path, unsigned int len, const struct sha256 *root)
{
	struct sha256 at;
	int r = merkle_climb(leaf, index, size, path, len, &at);

	return r ?: CRYPTO_memcmp(&at, root, sizeof(at)) ? -EBADMSG : 0;
}
