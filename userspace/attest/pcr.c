/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/pcr.h"

#include <errno.h>
#include <string.h>

#include "attest/hash.h"
#include "base/cleanup.h"

#define LOCALITY_MAX 4

DEFINE_CLEANUP(struct hash *, hash_free)

static uint8_t initial_byte(uint32_t pcr)
{
	return pcr >= 17 && pcr <= 22 ? 0xff : 0;
}

int pcr_bank_init(struct pcr_bank *b, uint16_t alg)
{
	if (!tpm2_digest(alg))
		return -EINVAL;
	*b = (struct pcr_bank){.alg = alg, .size = tpm2_digest_size(alg)};
	for (uint32_t pcr = 0; pcr < TPM2_PCRS; pcr++)
		memset(b->values[pcr], initial_byte(pcr), b->size);
	return 0;
}

void pcr_bank_set_locality(struct pcr_bank *b, uint8_t locality)
{
	b->values[0][b->size - 1] = locality;
}

int pcr_extend(struct pcr_bank *b, uint32_t pcr, const uint8_t *digest)
{
	uint8_t both[2 * TPM2_DIGEST_MAX];
	int err;

	if (pcr >= TPM2_PCRS)
		return -EINVAL;
	memcpy(both, b->values[pcr], b->size);
	memcpy(both + b->size, digest, b->size);
	err = hash_of(b->alg, both, 2 * b->size, b->values[pcr]);
	if (!err)
		b->extended |= 1u << pcr;
	return err;
}

bool pcr_is_initial(const struct pcr_bank *b, uint32_t pcr)
{
	const uint8_t *value = b->values[pcr], byte = initial_byte(pcr);

	for (size_t i = 0; i < b->size - 1; i++)
		if (value[i] != byte)
			return false;
	return value[b->size - 1] == byte || (pcr == 0 && value[b->size - 1] <= LOCALITY_MAX);
}

static const struct pcr_bank *bank_of(const struct pcr_bank *banks, size_t count, uint16_t alg)
{
	for (size_t i = 0; i < count; i++)
		if (banks[i].alg == alg)
			return &banks[i];
	return NULL;
}

int pcr_digest(const struct pcr_bank *banks, size_t banks_count,
	       const struct tpm2_selection *selections, size_t selections_count, uint16_t hash,
	       struct tpm2_bytes *ret)
{
	struct reader parts[TPM2_SELECTIONS_MAX * TPM2_PCRS];
	_cleanup_(hash_freep) struct hash *h = NULL;
	struct tpm2_bytes digest = {.len = tpm2_digest_size(hash)};
	size_t count = 0;
	int err;

	if (selections_count > TPM2_SELECTIONS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < selections_count; i++) {
		const struct pcr_bank *b = bank_of(banks, banks_count, selections[i].alg);

		if (!b)
			return -ENOENT;
		for (uint32_t pcr = 0; pcr < TPM2_PCRS; pcr++)
			if (selections[i].pcrs & 1u << pcr)
				parts[count++] = reader_of(b->values[pcr], b->size);
	}
	err = hash_new(hash, &h) ?: hash_parts(h, parts, count, digest.data);
	if (!err)
		*ret = digest;
	return err;
}
