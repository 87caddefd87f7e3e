/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evidence_impl: what evidence.c (who asks, and waits) and evidence_batch.c (what is quoted
 * together) share.
 */
#pragma once

#include "daemon/asker.h"
#include "daemon/evidence.h"

#define EVIDENCE_CODES 12

/* What of a crowd of askers is done in one turn of the loop. */
#define EVIDENCE_LOOKS_MAX 32
#define EVIDENCE_SIGNATURES_MAX 64

struct attester;
struct handout;
struct heldkeys;
struct tokens;

struct evidence {
	struct core *core;
	struct attester *attester;
	struct heldkeys *keys;
	struct tokens *tokens; /* how often a session may ask */
	struct asker *waiting; /* in the order in which they asked */
	size_t waiting_count;
	struct asker *batch; /* being quoted: */
	size_t batch_count;
	struct quoted_batch *quoting;
	struct asker *quoted; /* of the batch that was quoted last, to be answered: */
	size_t quoted_count;
	struct quoted_batch *answering;
	struct handout *handout;
	struct asker *handed; /* whose logs are being read */
	size_t handed_count;
	struct asker *read;    /* whose logs were read; they are of those handed, too */
	struct asker *proving; /* who ask for proofs */
	size_t proving_count;
	int root;
	uint64_t given, batches, refused[EVIDENCE_CODES];
};

/* Out of those that wait. */
void evidence_take_out(struct evidence *e, struct asker *a);
/* It can be in a batch: its executable was looked at, and its records are durable. */
bool evidence_ready(const struct evidence *e, const struct asker *a);
/* Ends @a and its call. */
void evidence_refuse(struct evidence *e, struct asker *a, const struct refusal *r);

/* ---- evidence_batch.c ---- */

/*
 * Tells what is known of @a now: the signing input of its claims, and its leaf. What its evidence
 * says is in the ledger by then: core_flush() first.
 */
bool evidence_claim(struct evidence *e, struct asker *a, struct refusal *ret);
/*
 * Signs for some of those who are in a batch, or will be in the next one, while the TPM is at work.
 * Returns whether more are to be signed for.
 */
bool evidence_sign_some(struct evidence *e);

/*
 * Answers some of those whose batch was quoted. Returns whether more are left.
 */
bool evidence_answer_some(struct evidence *e);

/* For handout_fd(): those whose logs are ready to be read. */
void evidence_collect(struct evidence *e);

/* Quotes for all that are ready; no other batch is being quoted. */
void evidence_quote(struct evidence *e);
/* When nobody will say any more how the quote went; its askers are the caller's. */
void evidence_forget_quote(struct evidence *e);
