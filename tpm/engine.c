/* SPDX-License-Identifier: Apache-2.0 */
#include "tpm/engine.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "tpm/counter.h"

/* Four characters of a property, or fewer: TPMs pad with zeros and blanks. */
static void append_text(char *text, size_t size, uint32_t four)
{
	size_t len = strlen(text);

	for (int shift = 24; shift >= 0 && len + 1 < size; shift -= 8)
		if (isprint(four >> shift & 0xff))
			text[len++] = four >> shift & 0xff;
	while (len > 0 && text[len - 1] == ' ')
		len--;
	text[len] = 0;
}

static int read_properties(struct context *c, struct tpm_identity *i)
{
	uint32_t value, high, low;
	int err;

	err = context_property(c, TPM2_PT_MANUFACTURER, &value);
	if (!err)
		append_text(i->manufacturer, sizeof(i->manufacturer), value);
	for (uint32_t p = TPM2_PT_VENDOR_STRING_1; !err && p <= TPM2_PT_VENDOR_STRING_4; p++) {
		err = context_property(c, p, &value);
		if (!err)
			append_text(i->vendor, sizeof(i->vendor), value);
	}
	err = err ?: context_property(c, TPM2_PT_FIRMWARE_VERSION_1, &high);
	err = err ?: context_property(c, TPM2_PT_FIRMWARE_VERSION_2, &low);
	if (!err)
		i->firmware = (uint64_t)high << 32 | low;
	return err;
}

static int describe(struct engine *g)
{
	struct tpm_identity *i = &g->identity;
	const struct attestation *a = &g->attestation;

	if (Tss2_MU_TPMT_PUBLIC_Marshal(&g->endorsement.public.publicArea, i->ek_public,
					sizeof(i->ek_public), &i->ek_public_len) ||
	    Tss2_MU_TPMT_PUBLIC_Marshal(&a->public.publicArea, i->ak_public, sizeof(i->ak_public),
					&i->ak_public_len) ||
	    a->name.size > sizeof(i->ak_name))
		return context_fail(&g->context, -EIO, "a key's public area is too large");
	memcpy(i->ak_name, a->name.name, a->name.size);
	i->ak_name_len = a->name.size;
	return 0;
}

static int make_ready(struct engine *g)
{
	struct context *c = &g->context;
	const char *notice = NULL;
	int err;

	err = read_properties(c, &g->identity);
	err = err
		      ?: endorsement_make(c, g->kind, &g->endorsement, g->identity.ek_chain,
					  &g->identity.ek_chain_count);
	err = err ?: attestation_load(c, &g->endorsement, g->state_dir, &g->attestation, &notice);
	err = err ?: describe(g) ?: pcrs_read(c, &g->pcrs);
	/* What was once said stays true. */
	g->notice = notice ?: g->notice;
	return err;
}

int engine_open(struct engine *g)
{
	int err;

	engine_close(g);
	err = context_open(&g->context) ?: make_ready(g);
	if (err) {
		engine_close(g);
		return err;
	}
	g->ready = true;
	g->opened++;
	return 0;
}

void engine_close(struct engine *g)
{
	struct context *c = &g->context;

	attestation_close(c, &g->attestation);
	context_flush(c, &g->endorsement.key);
	context_close(c);
	tpm_identity_clear(&g->identity);
	g->pcrs.known = false;
	g->ready = false;
}

/*
 * After a failure: whether the same request is worth another try, with everything made anew. A
 * connection can have been closed long before it is used again (swtpm was started anew), and the
 * TPM may have lost our objects (it was reset); only the use tells. One that does not answer in
 * time would not the next time either.
 */
static bool worth_reopening(struct engine *g, int err, bool *again)
{
	if (!g->context.broken)
		return false;
	if (*again || g->moved || err == -ETIMEDOUT || err == -ECANCELED) {
		engine_close(g);
		return false;
	}
	*again = true;
	return true;
}

/* Evaluates @call with an engine that is ready, twice at most. */
#define WITH_READY(g, call)                                                                        \
	({                                                                                         \
		bool _again = false;                                                               \
		int _err;                                                                          \
		(g)->moved = false;                                                                \
		do {                                                                               \
			/* Opened just now: nothing can be stale. */                               \
			if (!(g)->ready || _again) {                                               \
				_err = engine_open(g);                                             \
				if (_err)                                                          \
					break;                                                     \
				_again = true;                                                     \
			}                                                                          \
			_err = call;                                                               \
		} while (_err && worth_reopening(g, _err, &_again));                               \
		_err;                                                                              \
	})

int engine_quote(struct engine *g, const uint8_t qualifying[static 32], struct tpm_quoted *ret)
{
	return WITH_READY(g, quote_make(&g->context, &g->attestation, qualifying, &g->pcrs, ret));
}

int engine_activate(struct engine *g, const TPM2B_ID_OBJECT *credential,
		    const TPM2B_ENCRYPTED_SECRET *secret, TPM2B_DIGEST *ret)
{
	return WITH_READY(g, attestation_activate(&g->context, &g->endorsement, &g->attestation,
						  credential, secret, ret));
}

int engine_anchor(struct engine *g, bool increment, const uint8_t qualifying[static 32],
		  uint64_t *ret_counter, struct tpm_quoted *ret)
{
	return WITH_READY(g, counter_certify(&g->context, &g->endorsement, &g->attestation,
					     g->state_dir, increment, qualifying, &g->moved,
					     ret_counter, ret));
}
