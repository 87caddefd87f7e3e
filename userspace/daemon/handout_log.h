/* SPDX-License-Identifier: Apache-2.0 */
/* handout_log: a host's log read piece by piece: for its length, and again to be sent. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest/measure.h"

/* What was found of a log. */
struct handout_log {
	bool there;
	uint64_t from, bytes; /* what of it is sent */
	uint64_t entries;     /* of the IMA list, in that */
};

/* Goes through a log. */
struct handout_survey;

int handout_survey_new(int root, struct handout_survey **ret);
void handout_survey_free(struct handout_survey *s);

/* Begins with @log. @ima_from: entries of the IMA list that are left out. */
void handout_survey_begin(struct handout_survey *s, enum measure_log log, uint64_t ima_from);

/*
 * Reads at most HANDOUT_STEP bytes more: 0: there is more to read; 1: *ret is filled in. A log that
 * can't be read, or is longer than a verifier takes, is not there. -ERANGE, -EBADMSG, -ENOMEM.
 */
int handout_survey_step(struct handout_survey *s, struct handout_log *ret);
