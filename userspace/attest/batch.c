/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/batch.h"

#include <endian.h>
#include <string.h>

#include "base/cleanup.h"

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
