/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an IMA list: whole, in two pieces, and as kernels before 5.8 count it. */
#include "attest/ima.h"

#include <stdlib.h>
#include <string.h>

static void check(int condition)
{
	if (!condition)
		abort();
}

static void within(const struct reader *all, const struct reader *part)
{
	check(!part->left || (part->at >= all->at && part->at + part->left <= all->at + all->left));
}

static int see(void *context, const struct ima_state *s, const struct ima_entry *e)
{
	uint64_t *next = context;

	check(e->number == (*next)++ && s->entries == *next);
	check(e->template.left && e->template.left <= IMA_NAME_MAX && e->pcr < TPM2_PCRS);
	within(&e->data, &e->digest);
	within(&e->data, &e->path);
	within(&e->data, &e->signature);
	within(&e->data, &e->modsig);
	within(&e->data, &e->buffer);
	check(!memchr(e->path.at ?: (const uint8_t *)"x", 0, e->path.left));
	check(!e->alg || e->digest.left == tpm2_digest_size(e->alg));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint16_t banks[] = {TPM2_SHA1, TPM2_SHA256};
	struct ima_state whole, pieces;
	uint64_t seen = 0, skipped;
	size_t used, first, rest, half = len / 2;
	int err;

	check(!ima_init(&whole, banks, 2));
	pieces = whole;
	err = ima_replay(&whole, data, len, NULL, see, &seen, &used);
	if (err)
		return 0;
	check(used <= len && seen == whole.entries);
	check(!ima_replay(&pieces, data, half, NULL, NULL, NULL, &first));
	check(!ima_replay(&pieces, data + first, len - first, NULL, NULL, NULL, &rest));
	check(first + rest == used && !memcmp(&whole, &pieces, sizeof(whole)));
	check(!ima_skip(&whole, data, len, UINT64_MAX, &skipped, &rest) && rest == used &&
	      skipped == seen);
	pieces.padded = true;
	check(ima_replay(&pieces, data, used,
			 &(struct ima_quoted){TPM2_SHA256, ima_value(&whole, TPM2_SHA256)}, NULL,
			 NULL, &rest) == 1);
	return 0;
}
