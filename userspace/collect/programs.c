/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/programs.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/merkle.h"
#include "record/hashes.h"

/* The NUL at its end stands between it and what follows. */
#define DOMAIN "affiant/program/v1"

void programs_clear(struct programs *p)
{
	free(p->leaves);
	*p = (struct programs){0};
}

/* Where @leaf stands, or would. */
static size_t find(const struct programs *p, const struct sha256 *leaf, bool *ret_there)
{
	size_t low = 0, high = p->count;

	*ret_there = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = memcmp(p->leaves[middle].bytes, leaf->bytes, SHA256_SIZE);

		if (!order) {
			*ret_there = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int programs_add(struct programs *p, const struct sha256 *leaf)
{
	struct sha256 *more;
	bool there;
	size_t at = find(p, leaf, &there);

	if (there)
		return 0;
	if (p->count == PROGRAMS_MAX) {
		p->cut = true;
		return 0;
	}
	if (p->count == p->room) {
		more = reallocarray(p->leaves, p->room ? 2 * p->room : 8, sizeof(*more));
		if (!more)
			return -ENOMEM;
		p->leaves = more;
		p->room = p->room ? 2 * p->room : 8;
	}
	memmove(&p->leaves[at + 1], &p->leaves[at], (p->count - at) * sizeof(*p->leaves));
	p->leaves[at] = *leaf;
	p->count++;
	return 0;
}

static int add_file(struct programs *p, const Affiant__V1__Digest *d,
		    const ProtobufCBinaryData *path)
{
	_cleanup_free_ uint8_t *data = malloc(sizeof(DOMAIN) + 1 + SHA256_SIZE + path->len);
	const ProtobufCBinaryData *digest = hashes_stated(d);
	size_t len = sizeof(DOMAIN);
	struct sha256 leaf;
	int err;

	if (!data)
		return -ENOMEM;
	memcpy(data, DOMAIN, len);
	data[len++] = d->state;
	memset(data + len, 0, SHA256_SIZE);
	if (digest && digest->len == SHA256_SIZE)
		memcpy(data + len, digest->data, SHA256_SIZE);
	len += SHA256_SIZE;
	if (path->len)
		memcpy(data + len, path->data, path->len);
	err = merkle_leaf(data, len + path->len, &leaf);
	return err ?: programs_add(p, &leaf);
}

int programs_add_process(struct programs *p, const Affiant__V1__Process *process)
{
	int err = 0;

	if (process->executable && process->executable->digest)
		err = add_file(p, process->executable->digest, &process->executable->path);
	for (size_t i = 0; !err && i < process->n_chain; i++)
		if (process->chain[i]->digest)
			err = add_file(p, process->chain[i]->digest, &process->chain[i]->path);
	return err;
}

int programs_root(const struct programs *p, struct sha256 *ret)
{
	struct merkle tree = {0};
	int err = 0;

	for (size_t i = 0; !err && i < p->count; i++)
		err = merkle_append(&tree, &p->leaves[i]);
	return err ?: merkle_root(&tree, ret);
}
