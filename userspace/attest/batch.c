/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/batch.h"

#include <endian.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/reader.h"

DEFINE_CLEANUP(struct sha256_context *, sha256_free)

/* With its NUL, which ends it: no domain is the beginning of another one's. */
static const char *const domains[] = {
	[BATCH_EVIDENCE] = "affiant/evidence/v1",
	[BATCH_LEDGER] = "affiant/ledger/v1",
};

int batch_leaf(enum batch_domain domain, const void *data, size_t len, struct sha256 *ret)
{
	_cleanup_(sha256_freep) struct sha256_context *c = NULL;
	const char *name = domains[domain];
	int err = sha256_new(&c);

	return err ?: sha256_update(c, "", 1) ?: sha256_update(c, name, strlen(name) + 1) ?:
	       sha256_update(c, data, len) ?: sha256_final(c, ret);
}

int batch_extra(enum batch_domain domain, uint64_t size, const struct sha256 *root,
		struct sha256 *ret)
{
	_cleanup_(sha256_freep) struct sha256_context *c = NULL;
	const char *name = domains[domain];
	uint64_t size_be = htobe64(size);
	int err = sha256_new(&c);

	return err ?: sha256_update(c, name, strlen(name) + 1) ?: sha256_update(c, &size_be, sizeof(size_be)) ?:
	       sha256_update(c, root, sizeof(*root)) ?: sha256_final(c, ret);
}

/*
 * Levels from the leaves upwards, one behind another: nodes of pairs, and what has no partner moves
 * up as it is. That is the tree of RFC 6962, whose left subtrees are the largest powers of two.
 */
struct batch {
	size_t sizes[BATCH_LEVELS_MAX + 1];
	const struct sha256 *levels[BATCH_LEVELS_MAX + 1];
	size_t depth; /* levels above the leaves */
	struct sha256 nodes[];
};

int batch_new(const struct sha256 *leaves, size_t count, struct batch **ret)
{
	_cleanup_free_ struct batch *b = NULL;
	struct sha256 *at;
	int err = 0;

	if (!count || count > BATCH_MAX)
		return -EINVAL;
	b = calloc(1, sizeof(*b) + (2 * count + BATCH_LEVELS_MAX) * sizeof(*b->nodes));
	if (!b)
		return -ENOMEM;
	memcpy(b->nodes, leaves, count * sizeof(*leaves));
	b->levels[0] = b->nodes;
	b->sizes[0] = count;
	for (at = b->nodes + count; b->sizes[b->depth] > 1; b->depth++) {
		const struct sha256 *below = b->levels[b->depth];
		size_t n = b->sizes[b->depth];

		for (size_t i = 0; !err && i + 1 < n; i += 2)
			err = merkle_node(&below[i], &below[i + 1], &at[i / 2]);
		if (err)
			return err;
		if (n % 2)
			at[n / 2] = below[n - 1];
		b->levels[b->depth + 1] = at;
		b->sizes[b->depth + 1] = (n + 1) / 2;
		at += (n + 1) / 2;
	}
	*ret = TAKE_PTR(b);
	return 0;
}

void batch_free(struct batch *b)
{
	free(b);
}

const struct sha256 *batch_root(const struct batch *b)
{
	return b->levels[b->depth];
}

size_t batch_path(const struct batch *b, uint64_t index, uint8_t ret[static BATCH_PATH_SIZE_MAX])
{
	uint64_t head[2] = {htobe64(index), htobe64(b->sizes[0])};
	size_t len = sizeof(head);

	memcpy(ret, head, sizeof(head));
	for (size_t level = 0; level < b->depth; level++, index /= 2) {
		if ((index ^ 1) >= b->sizes[level])
			continue;
		memcpy(ret + len, &b->levels[level][index ^ 1], SHA256_SIZE);
		len += SHA256_SIZE;
	}
	return len;
}

int batch_check(enum batch_domain domain, const struct sha256 *leaf, const void *path, size_t len,
		const void *extra, size_t extra_len)
{
	struct sha256 hashes[BATCH_LEVELS_MAX], root, expected;
	struct reader r = reader_of(path, len);
	uint64_t index, size;
	unsigned int n = 0;
	int err;

	if (reader_u64be(&r, &index) || reader_u64be(&r, &size) || size > BATCH_MAX ||
	    index >= size)
		return -EBADMSG;
	while (r.left)
		if (n == BATCH_LEVELS_MAX || reader_copy(&r, SHA256_SIZE, &hashes[n++]))
			return -EBADMSG;
	err = merkle_climb(leaf, index, size, hashes, n, &root)
		      ?: batch_extra(domain, size, &root, &expected);
	if (err)
		return err;
	return extra_len == SHA256_SIZE && !CRYPTO_memcmp(extra, &expected, SHA256_SIZE)
		       ? 0
		       : -EKEYREJECTED;
}
