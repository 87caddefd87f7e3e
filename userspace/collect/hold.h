/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold: selectors all of whose matches join one session each. A session is always told, so whoever
 * can be matched as often as he likes would fill the ledger by that alone; while the agent is far
 * past its budget (budget.h) its matches are told as what one session does, which is folded. That
 * session outlives its last process: each match would begin another one otherwise.
 *
 * A note says when it begins and when it is over: a replay joins the same.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "affiant/v1/state.pb-c.h"
#include "event.h"

#define HOLDS_MAX 8192 /* selectors by executable and by user that there can be */

struct attribute;

struct hold {
	UT_hash_handle hh;   /* attribute.holds */
	uint64_t key;        /* of the session */
	uint32_t selector;   /* its id */
	uint64_t let_go_ns;  /* the daemon's own: since when the kernel has forgotten the key; 0: not */
};

/* NULL: none has that key. */
struct hold *hold_find(const struct attribute *a, uint64_t key);
/* That of the selector, which the kernel may still be told of; NULL: there is none. */
struct hold *hold_of_selector(const struct attribute *a, uint32_t selector);
/* NOTE_HOLD. @note: @len bytes behind the header. */
void hold_noted(struct attribute *a, const struct event_header *h, const uint8_t *note, size_t len);
void holds_clear(struct attribute *a);

/* -ENOMEM. */
int holds_save(const struct attribute *a, Affiant__V1__State *m);
/* -EBADMSG, -ENOMEM. */
int holds_load(struct attribute *a, const Affiant__V1__State *m);
