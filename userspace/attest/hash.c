/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/hash.h"

#include <errno.h>
#include <stdlib.h>

#include "attest/ossl.h"
#include "base/cleanup.h"

struct hash {
	EVP_MD *md; /* fetched: EVP_sha256() and its like are looked up at every use */
	EVP_MD_CTX *ctx;
};

int hash_of(uint16_t alg, const void *data, size_t len, uint8_t *ret)
{
	const EVP_MD *md = tpm2_digest(alg);

	if (!md)
		return -EINVAL;
	return EVP_Digest(data, len, ret, NULL, md, NULL) == 1 ? 0 : -ENOMEM;
}

void hash_free(struct hash *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->md);
	free(h);
}

DEFINE_CLEANUP(struct hash *, hash_free)

int hash_new(uint16_t alg, struct hash **ret)
{
	const EVP_MD *md = tpm2_digest(alg);
	_cleanup_(hash_freep) struct hash *h = NULL;

	if (!md)
		return -EINVAL;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->md = EVP_MD_fetch(NULL, EVP_MD_get0_name(md), NULL);
	h->ctx = EVP_MD_CTX_new();
	if (!h->md || !h->ctx)
		return -ENOMEM;
	*ret = TAKE_PTR(h);
	return 0;
}

int hash_parts(struct hash *h, const struct reader *parts, size_t count, uint8_t *ret)
{
	if (EVP_DigestInit_ex(h->ctx, h->md, NULL) != 1)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (EVP_DigestUpdate(h->ctx, parts[i].at, parts[i].left) != 1)
			return -ENOMEM;
	return EVP_DigestFinal_ex(h->ctx, ret, NULL) == 1 ? 0 : -ENOMEM;
}
