/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outcome: what the states and errors of a socket mean. The cases were tried one by one;
 * tests/unit/test_outcome.c has the table.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "affiant/v1/record.pb-c.h"
#include "event.h"

/*
 * OUTCOME_UNKNOWN: it failed with an errno that says nothing of the peer, or nobody saw.
 * *@ret_errno: -1 when it can't be known, 0 when there is none.
 */
Affiant__V1__Outcome outcome_of(const struct event_outcome *e, int32_t *ret_errno);

/*
 * Without the exchange of FINs: by the peer, or by its own side (SO_LINGER 0, unread data,
 * AF_UNSPEC).
 */
bool was_reset(const struct event_close *e);

/* It tells what the socket said at its end; otherwise only that it ended. */
bool close_is_counted(const struct event_close *e);
