/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evidence: answers those who ask for evidence of themselves, and signs with the keys held for
 * them. Who asks is the kernel's word (peer.h); what is said of him comes from the records. All
 * that wait while the TPM is busy share its next quote.
 *
 *	asked ─► digests settled ─► executable looked at ─► in a batch, quoted ─►
 *	looked at again ─► answered
 *
 * One thread: all of it runs in the daemon's loop, so many askers in each turn; but the host's
 * logs, which can be long, are read by handout.h's.
 */
#pragma once

#include "daemon/core.h"

struct evidence;

/* With the TPM's thread, before privileges are dropped. On failure *@ret_why as core_open(). */
int evidence_new(struct core *c, struct evidence **ret, char **ret_why);
void evidence_free(struct evidence *e);

/* Into the loop. */
int evidence_start(struct evidence *e);

/*
 * Goes on with those whose digests came or whose records are durable, and makes a batch of who is
 * ready. After each turn of the loop. Returns whether somebody waits for the disk.
 */
bool evidence_turn(struct evidence *e);

struct attester *evidence_attester(struct evidence *e);

struct evidence_stats {
	uint64_t given, batches;
	uint64_t waiting; /* now */
	uint64_t refused; /* of them all */
	/* By code; @codes borrowed for good. */
	const char *const *codes;
	const uint64_t *by_code;
	size_t codes_count;
};
void evidence_stats(const struct evidence *e, struct evidence_stats *ret);

/* For struct server_ops; their context is the core. */
void evidence_get(void *core, struct server_call *call, const Affiant__V1__GetEvidence *request);
/* A process of no session asked for that. */
void evidence_untagged(void *core);
void evidence_sign(void *core, struct server_call *call, const Affiant__V1__SignProof *request);
