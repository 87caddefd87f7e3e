/* SPDX-License-Identifier: Apache-2.0 */
/*
 * budget: how much of the ledger one agent, and one session of it, may fill, so that nobody pushes
 * out what others did. A bucket holds bytes: an agent's a quarter of the ledger, and an eighth of
 * the ledger runs into it in a day; a session may use three quarters of both.
 *
 * Time is that of events (CLOCK_BOOTTIME), sizes come by notes: reading the journal again decides
 * the same.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#define BUDGET_STATE_MAX (UINT64_C(1) << 48) /* bytes of a ledger: config's bound, too */
#define BUDGET_AGENTS_MAX 4096               /* with a bucket of their own */

struct bucket {
	int64_t level;  /* bytes left; below zero is what was told all the same */
	uint64_t at_ns; /* when; 0: it was never used, and is full */
};

struct bucket_size {
	int64_t full;
	int64_t credit;   /* how far below zero what is rank NOTABLE is told */
	uint64_t per_day; /* bytes */
};

enum rank {
	RANK_ORDINARY, /* told while there is something left */
	RANK_NOTABLE,  /* and on credit */
};

/* An agent's: of all sessions of that name. */
struct budget {
	UT_hash_handle hh;
	unsigned int refs; /* of the list and of sessions */
	struct bucket bucket;
	/* bytes of records beyond their prices, since the last NoteDebt; not kept */
	int64_t owed;
	unsigned int windows; /* open ones, of all its sessions (fold.h) */
	char agent[];
};

struct budgets {
	uint64_t state_bytes; /* 0: no limit */
	struct budget *agents;
};

struct bucket_size bucket_size_of_agent(uint64_t state_bytes);
struct bucket_size bucket_size_of_session(uint64_t state_bytes);
/* What ran in until @now_ns. */
void bucket_fill(struct bucket *b, const struct bucket_size *size, uint64_t now_ns);

/* A new reference. NULL: no memory. Beyond BUDGET_AGENTS_MAX names share one. */
struct budget *budget_get(struct budgets *all, const char *agent, uint64_t now_ns);
struct budget *budget_find(struct budgets *all, const char *agent);
void budget_unref(struct budget *b);
void budgets_clear(struct budgets *all);

/* Takes @bytes out of both if the rank allows it. */
bool budget_spend(const struct budgets *all, struct budget *agent, struct bucket *session,
		  enum rank rank, uint64_t bytes, uint64_t now_ns);
/* What is told in any case. @session: NULL, or its bucket. */
void budget_charge(const struct budgets *all, struct budget *agent, struct bucket *session,
		   uint64_t bytes, uint64_t now_ns);
/*
 * Half of the credit is gone: what is told in any case, too, has to become rarer, so that it takes
 * no more than what runs in.
 */
bool budget_deep(const struct budgets *all, const struct budget *agent,
		 const struct bucket *session);
/*
 * Likewise, of the agent alone, as it will be at @now_ns if nothing else is told. @was: it was so
 * before, which is over once nothing is owed.
 */
bool budget_agent_deep(const struct budgets *all, const char *agent, uint64_t now_ns, bool was);
