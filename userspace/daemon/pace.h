/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pace: how often sessions of an agent that is far past its budget may be opened. What a session
 * does is folded then, but that it began and ended is always told.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PACE_PER_MINUTE 30

struct pace; /* of one agent; a list of them: NULL when it is empty */

/*
 * Takes one of @agent's. False: there were enough of them, or they took more than @per_day bytes of
 * records allow.
 * *@ret_said: it was refused within this minute before.
 */
bool pace_take(struct pace **all, const char *agent, uint64_t per_day, uint64_t now_ns,
	       bool *ret_said);
/* The records of one take so many bytes. */
void pace_spend(struct pace *all, const char *agent, uint64_t bytes);
void pace_clear(struct pace **all);
