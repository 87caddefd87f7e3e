/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine: what the worker's thread has: one TPM, its keys made ready, the PCR values known of it. A
 * connection that turns out to be broken is made anew within a request, once; one that timed out is
 * not waited for again.
 */
#pragma once

#include "tpm/attestation.h"
#include "tpm/quote.h"
#include "tpm/worker.h"

struct engine {
	struct context context; /* .tcti, .timeout_ns: set by the caller */
	int state_dir;
	enum tpm_ek kind;
	bool ready;
	bool moved; /* the counter, by the request under way: it is not for us to move it twice */
	struct endorsement endorsement;
	struct attestation attestation;
	struct pcrs pcrs;             /* .selected: set by the caller */
	struct tpm_identity identity; /* while ready */
	const char *notice; /* something the operator should know about the keys, or NULL */
	uint64_t opened;    /* how many times it became ready */
};

/*
 * Connects and makes the keys ready. 0 or an errno as requests have it (worker.h); text in
 * context.error.
 */
int engine_open(struct engine *g);
void engine_close(struct engine *g);

/* Each opens it first if it is not ready. */
int engine_quote(struct engine *g, const uint8_t qualifying[static 32], struct tpm_quoted *ret);
int engine_activate(struct engine *g, const TPM2B_ID_OBJECT *credential,
		    const TPM2B_ENCRYPTED_SECRET *secret, TPM2B_DIGEST *ret);
int engine_anchor(struct engine *g, bool increment, const uint8_t qualifying[static 32],
		  uint64_t *ret_counter, struct tpm_quoted *ret);
