/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/budget.h"

#include <stdlib.h>
#include <string.h>

#define DAY_NS (86400 * UINT64_C(1000000000))
#define SHARED "" /* no agent can have that name */

struct bucket_size bucket_size_of_agent(uint64_t state_bytes)
{
	return (struct bucket_size){
		.full = state_bytes / 4,
		.credit = state_bytes / 16,
		.per_day = state_bytes / 8,
	};
}

struct bucket_size bucket_size_of_session(uint64_t state_bytes)
{
	return bucket_size_of_agent(state_bytes / 4 * 3);
}

void bucket_fill(struct bucket *b, const struct bucket_size *size, uint64_t now_ns)
{
	unsigned __int128 more;

	if (!b->at_ns) {
		*b = (struct bucket){size->full, now_ns};
		return;
	}
	if (now_ns > b->at_ns) {
		more = (unsigned __int128)(now_ns - b->at_ns) * size->per_day / DAY_NS;
		if (more > (unsigned __int128)(2 * size->full)) {
			b->level = size->full;
			b->at_ns = now_ns;
		} else if (more) {
			b->level += more;
			/* What is less than a byte is not lost. */
			b->at_ns += more * DAY_NS / size->per_day;
		}
	}
	if (b->level > size->full)
		b->level = size->full;
}

/*
 * However much is told in any case, the debt is no larger than a full bucket, and made up for in
 * the time that takes to fill.
 */
static void take(struct bucket *b, const struct bucket_size *size, uint64_t bytes)
{
	if (bytes > (uint64_t)size->full || b->level - (int64_t)bytes < -size->full)
		b->level = -size->full;
	else
		b->level -= bytes;
}

/* ---- of agents ---- */

static struct budget *budget_ref(struct budget *b)
{
	b->refs++;
	return b;
}

void budget_unref(struct budget *b)
{
	if (b && !--b->refs)
		free(b);
}

struct budget *budget_find(struct budgets *all, const char *agent)
{
	struct budget *b;

	HASH_FIND_STR(all->agents, agent, b);
	return b;
}

/* A full bucket that nobody uses is as good as none. */
static void forget_full(struct budgets *all, uint64_t now_ns)
{
	const struct bucket_size size = bucket_size_of_agent(all->state_bytes);
	struct budget *b, *next;

	HASH_ITER (hh, all->agents, b, next) {
		if (b->refs > 1)
			continue;
		bucket_fill(&b->bucket, &size, now_ns);
		if (b->bucket.level < size.full)
			continue;
		HASH_DEL(all->agents, b);
		budget_unref(b);
	}
}

struct budget *budget_get(struct budgets *all, const char *agent, uint64_t now_ns)
{
	struct budget *b = budget_find(all, agent);

	if (b)
		return budget_ref(b);
	if (HASH_COUNT(all->agents) >= BUDGET_AGENTS_MAX)
		forget_full(all, now_ns);
	if (HASH_COUNT(all->agents) >= BUDGET_AGENTS_MAX && *agent)
		return budget_get(all, SHARED, now_ns);
	b = calloc(1, sizeof(*b) + strlen(agent) + 1);
	if (!b)
		return NULL;
	strcpy(b->agent, agent);
	b->refs = 2;
	HASH_ADD_STR(all->agents, agent, b);
	return b;
}

void budgets_clear(struct budgets *all)
{
	struct budget *b, *next;

	HASH_ITER (hh, all->agents, b, next) {
		HASH_DEL(all->agents, b);
		budget_unref(b);
	}
}

bool budget_spend(const struct budgets *all, struct budget *agent, struct bucket *session,
		  enum rank rank, uint64_t bytes, uint64_t now_ns)
{
	const struct bucket_size of_agent = bucket_size_of_agent(all->state_bytes);
	const struct bucket_size of_session = bucket_size_of_session(all->state_bytes);

	bucket_fill(&agent->bucket, &of_agent, now_ns);
	bucket_fill(session, &of_session, now_ns);
	if (rank == RANK_NOTABLE ? agent->bucket.level <= -of_agent.credit ||
					   session->level <= -of_session.credit
				 : agent->bucket.level < (int64_t)bytes ||
					   session->level < (int64_t)bytes)
		return false;
	take(&agent->bucket, &of_agent, bytes);
	take(session, &of_session, bytes);
	agent->owed -= bytes;
	return true;
}

void budget_charge(const struct budgets *all, struct budget *agent, struct bucket *session,
		   uint64_t bytes, uint64_t now_ns)
{
	const struct bucket_size of_agent = bucket_size_of_agent(all->state_bytes);
	const struct bucket_size of_session = bucket_size_of_session(all->state_bytes);

	bucket_fill(&agent->bucket, &of_agent, now_ns);
	take(&agent->bucket, &of_agent, bytes);
	agent->owed -= bytes;
	if (!session)
		return;
	bucket_fill(session, &of_session, now_ns);
	take(session, &of_session, bytes);
}

bool budget_deep(const struct budgets *all, const struct budget *agent,
		 const struct bucket *session)
{
	return agent->bucket.level < -bucket_size_of_agent(all->state_bytes).credit / 2 ||
	       session->level < -bucket_size_of_session(all->state_bytes).credit / 2;
}

bool budget_agent_deep(const struct budgets *all, const char *agent, uint64_t now_ns, bool was)
{
	const struct bucket_size size = bucket_size_of_agent(all->state_bytes);
	const struct budget *b = budget_find((struct budgets *)all, agent);
	struct bucket bucket;

	if (!b && HASH_COUNT(all->agents) >= BUDGET_AGENTS_MAX)
		b = budget_find((struct budgets *)all, SHARED);
	if (!b || !all->state_bytes)
		return false;
	/* A copy: only what the journal says changes the bucket itself. */
	bucket = b->bucket;
	bucket_fill(&bucket, &size, now_ns);
	return bucket.level < (was ? 0 : -size.credit / 2);
}
