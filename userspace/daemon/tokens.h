/* SPDX-License-Identifier: Apache-2.0 */
/* tokens: a token bucket for each session: how often it may ask. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct tokens;

int tokens_new(uint64_t rate, uint64_t burst, struct tokens **ret); /* a second; at once */
void tokens_free(struct tokens *t);

/*
 * Takes one of @session's. False: it has none left. @now_ns: CLOCK_BOOTTIME. Full buckets are
 * forgotten.
 */
bool tokens_take(struct tokens *t, uint64_t session, uint64_t now_ns);
