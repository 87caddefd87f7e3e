/* SPDX-License-Identifier: Apache-2.0 */
#include "tpm/quote.h"

#include <errno.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "base/digest.h"

#define READ_AT_ONCE 8 /* TPML_DIGEST has room for no more */
#define TRIES 8

static TPML_PCR_SELECTION selection_of(uint32_t pcrs)
{
	return (TPML_PCR_SELECTION){
		.count = 1,
		.pcrSelections[0] = {.hash = TPM2_ALG_SHA256,
				     .sizeofSelect = 3,
				     .pcrSelect = {pcrs, pcrs >> 8, pcrs >> 16}},
	};
}

/* False: it is not what selection_of() gives for @pcrs. */
static bool is_selection(const TPML_PCR_SELECTION *s, uint32_t pcrs)
{
	const TPMS_PCR_SELECTION *one = &s->pcrSelections[0];

	return s->count == 1 && one->hash == TPM2_ALG_SHA256 && one->sizeofSelect == 3 &&
	       one->pcrSelect[0] == (pcrs & 0xff) && one->pcrSelect[1] == (pcrs >> 8 & 0xff) &&
	       one->pcrSelect[2] == (pcrs >> 16 & 0xff);
}

/* The lowest few of @pcrs. */
static uint32_t first_few(uint32_t pcrs)
{
	uint32_t few = 0;

	for (unsigned int n = 0; pcrs && n < READ_AT_ONCE; n++) {
		few |= pcrs & -pcrs;
		pcrs &= pcrs - 1;
	}
	return few;
}

static int read_few(struct context *c, uint32_t few, struct pcrs *p)
{
	_cleanup_free_ TPML_PCR_SELECTION *selected = NULL;
	_cleanup_free_ TPML_DIGEST *values = NULL;
	const TPML_PCR_SELECTION wanted = selection_of(few);
	unsigned int n = 0;
	UINT32 updates;
	int err;

	err = TPM_COMMAND(c, Esys_PCR_Read,
			  (c->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &wanted),
			  (c->esys, &updates, &selected, &values));
	if (err)
		return err;
	if (!is_selection(selected, few) || values->count != (unsigned int)__builtin_popcount(few))
		return context_fail(
			c, -EIO, "the TPM's SHA-256 bank has not all PCRs that are to be quoted");
	for (unsigned int pcr = 0; pcr < TPM_PCRS; pcr++) {
		if (!(few & 1u << pcr))
			continue;
		if (values->digests[n].size != TPM_PCR_SIZE)
			return context_fail(c, -EIO, "TPM2_PCR_Read: PCR %u has %u bytes", pcr,
					    values->digests[n].size);
		memcpy(p->values[pcr], values->digests[n++].buffer, TPM_PCR_SIZE);
	}
	return 0;
}

int pcrs_read(struct context *c, struct pcrs *p)
{
	uint32_t left = p->selected, few;
	int err = 0;

	p->known = false;
	for (; left && !err; left &= ~few) {
		few = first_few(left);
		err = read_few(c, few, p);
	}
	p->known = !err;
	return err;
}

/* pcrDigest (TPMS_QUOTE_INFO): over the values in the order of their numbers. */
static int digest_values(const struct pcrs *p, struct sha256 *ret)
{
	uint8_t all[TPM_PCRS * TPM_PCR_SIZE];
	size_t len = 0;

	for (unsigned int pcr = 0; pcr < TPM_PCRS; pcr++)
		if (p->selected & 1u << pcr) {
			memcpy(all + len, p->values[pcr], TPM_PCR_SIZE);
			len += TPM_PCR_SIZE;
		}
	return sha256_of(all, len, ret);
}

static int quote_once(struct context *c, const struct attestation *a,
		      const uint8_t qualifying[static 32], uint32_t pcrs, struct tpm_quoted *ret,
		      TPM2B_DIGEST *ret_digest)
{
	static const TPMT_SIG_SCHEME of_key = {.scheme = TPM2_ALG_NULL};
	_cleanup_free_ TPMT_SIGNATURE *signature = NULL;
	_cleanup_free_ TPM2B_ATTEST *attest = NULL;
	const TPML_PCR_SELECTION wanted = selection_of(pcrs);
	TPM2B_DATA extra = {.size = 32};
	TPMS_ATTEST parsed;
	size_t offset = 0;
	int err;

	memcpy(extra.buffer, qualifying, extra.size);
	err = TPM_COMMAND(
		c, Esys_Quote,
		(c->esys, a->key, a->session, ESYS_TR_NONE, ESYS_TR_NONE, &extra, &of_key, &wanted),
		(c->esys, &attest, &signature));
	if (err)
		return err;
	if (Tss2_MU_TPMS_ATTEST_Unmarshal(attest->attestationData, attest->size, &offset,
					  &parsed) ||
	    parsed.type != TPM2_ST_ATTEST_QUOTE || parsed.extraData.size != extra.size ||
	    memcmp(parsed.extraData.buffer, extra.buffer, extra.size) ||
	    !is_selection(&parsed.attested.quote.pcrSelect, pcrs))
		return context_fail(c, -EIO, "TPM2_Quote: the TPM quoted something else");
	*ret_digest = parsed.attested.quote.pcrDigest;
	return attestation_take(c, attest, signature, ret);
}

int quote_make(struct context *c, const struct attestation *a, const uint8_t qualifying[static 32],
	       struct pcrs *p, struct tpm_quoted *ret)
{
	TPM2B_DIGEST quoted;
	struct sha256 ours;
	int err = 0;

	for (unsigned int i = 0; !err && i < TRIES; i++) {
		err = quote_once(c, a, qualifying, p->selected, ret, &quoted);
		/* Once with what is known from before, once with what is read behind the quote. */
		for (unsigned int look = 0; !err && look < 2; look++) {
			if (look || !p->known)
				err = pcrs_read(c, p);
			err = err ?: digest_values(p, &ours);
			if (err || quoted.size != sizeof(ours.bytes) ||
			    memcmp(quoted.buffer, ours.bytes, sizeof(ours.bytes)))
				continue;
			ret->pcrs = p->selected;
			memcpy(ret->values, p->values, sizeof(ret->values));
			return 0;
		}
	}
	return err ?: context_fail(c, -ESTALE, "PCRs move faster than they can be read");
}
