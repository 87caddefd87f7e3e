/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_state: what affiant verify remembers of hosts: a file for each, in a directory, and a lock
 * for each. On failure it has said why.
 */
#pragma once

#include "attest/hoststate.h"

struct verify_state {
	const char *dir; /* NULL: nothing is remembered */
	int lock;        /* -1 at first */
	struct hoststate *kept;
};

/*
 * For verify_request.recall: takes that host's lock, and has it until verify_state_done(): of two
 * at once the one that knew less might save last. What is there but is no state that this user or
 * root wrote (damaged, of another version, a FIFO, somebody else's) is told, and counts as nothing:
 * then host evidence is asked for. Negative errno: it can't be read; -EWOULDBLOCK: another process
 * had the lock for too long.
 */
int verify_state_recall(void *state, const uint8_t ueid[CLAIMS_UEID_SIZE],
			const struct hoststate **ret);
/* Replaces the file at once. */
int verify_state_save(const struct verify_state *s, const struct hoststate *host);
void verify_state_done(struct verify_state *s);
