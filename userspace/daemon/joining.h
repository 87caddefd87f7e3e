/* SPDX-License-Identifier: Apache-2.0 */
/*
 * joining: selectors by executable and by user, each match of which is a session. While their agent
 * is far past its budget, all matches of one are of one session (collect/hold.h), so that nobody
 * fills the ledger with sessions by running what is selected.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct core;

/* Once a second: begins it, and lets go. */
void joining_look(struct core *c, uint64_t now_ns);
/* The session that the selector's matches join; 0: each is one of its own. */
uint64_t joining_session(const struct core *c, uint32_t selector);
/* Selectors of which it is so. */
size_t joining_count(const struct core *c);
