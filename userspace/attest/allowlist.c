/* SPDX-License-Identifier: Apache-2.0 */
/* verify: whether a policy takes a file that IMA measured. */
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "attest/verify_impl.h"

#define PATH_SIZE 4097

static int compare(const void *a, const void *b)
{
	const struct affiant_ima_file *x = *(const struct affiant_ima_file *const *)a;
	const struct affiant_ima_file *y = *(const struct affiant_ima_file *const *)b;

	if (x->alg != y->alg)
		return x->alg < y->alg ? -1 : 1;
	return memcmp(x->digest, y->digest, tpm2_digest_size(x->alg));
}

int allowlist_new(const struct affiant_ima *ima, struct allowlist *ret)
{
	struct allowlist a = {
		.by_digest = calloc(ima->allowed_count + 1, sizeof(*a.by_digest)),
		.by_path = calloc(ima->allowed_count + 1, sizeof(*a.by_path)),
	};

	if (!a.by_digest || !a.by_path) {
		allowlist_clear(&a);
		return -ENOMEM;
	}
	for (size_t i = 0; i < ima->allowed_count; i++)
		if (ima->allowed[i].alg)
			a.by_digest[a.digests++] = &ima->allowed[i];
		else if (ima->allowed[i].glob)
			a.by_path[a.paths++] = &ima->allowed[i];
	qsort(a.by_digest, a.digests, sizeof(*a.by_digest), compare);
	*ret = a;
	return 0;
}

void allowlist_clear(struct allowlist *a)
{
	free(a->by_digest);
	free(a->by_path);
	*a = (struct allowlist){};
}

static bool lies_at(const struct affiant_ima_file *f, const char *path)
{
	return !f->glob || (path && !fnmatch(f->glob, path, FNM_PATHNAME));
}

static size_t first_of(const struct allowlist *a, const struct affiant_ima_file *key)
{
	size_t low = 0, high = a->digests;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (compare(&a->by_digest[middle], &key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool allowlist_has(const struct allowlist *a, const struct ima_entry *e)
{
	struct affiant_ima_file key = {.alg = e->alg};
	const struct affiant_ima_file *wanted = &key;
	const size_t size = tpm2_digest_size(e->alg);
	char path[PATH_SIZE];
	const bool named = e->has_path && e->path.left && e->path.left < sizeof(path);

	if (named) {
		memcpy(path, e->path.at, e->path.left);
		path[e->path.left] = '\0';
	}
	/* SHA-1 of a file shows nothing: collisions of it can be had. */
	if (size && e->alg != TPM2_SHA1 && e->digest.left == size) {
		memcpy(key.digest, e->digest.at, size);
		for (size_t i = first_of(a, wanted);
		     i < a->digests && !compare(&a->by_digest[i], &wanted); i++)
			if (lies_at(a->by_digest[i], named ? path : NULL))
				return true;
	}
	for (size_t i = 0; e->known && i < a->paths; i++)
		if (lies_at(a->by_path[i], named ? path : NULL))
			return true;
	return false;
}
