/* SPDX-License-Identifier: Apache-2.0 */
/* tokens: a token bucket for each session: how often it may ask. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct tokens;

int tokens_new(uint64_t rate, uint64_t burst, struct tokens **ret); /* a second; at once */
void tokens_free(struct tokens *t);

/*
 * Takes @count of @session's. More than there can be are all. False: it
 * has not so many left, and keeps them. @now_ns: CLOCK_BOOTTIME. Full buckets are
 * forgotten.
 */
bool tokens_take(struct tokens *t, uint64_t session, uint64_t count, uint64_t now_ns);

/*
 * What was done for @session, and can't be refused any more: it may ask again when that is paid
 * for, too.
 */
void tokens_charge(struct tokens *t, uint64_t session, uint64_t count, uint64_t now_ns);
