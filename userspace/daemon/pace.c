/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/pace.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "collect/budget.h"

#define MINUTE_NS (60 * UINT64_C(1000000000))
#define BURST (64 << 10) /* bytes that can be told at once, however little a minute has */
#define AGENTS_MAX (2 * BUDGET_AGENTS_MAX)

struct pace {
	UT_hash_handle hh;
	struct bucket room; /* bytes of records */
	uint64_t minute_ns; /* when the minute began */
	unsigned int opened;
	bool said;
	char agent[];
};

static struct pace *find(struct pace *all, const char *agent)
{
	struct pace *p;

	HASH_FIND_STR(all, agent, p);
	return p;
}

/* Who has opened nothing for a minute, and can have paid for what he opened. */
static void forget_old(struct pace **all, uint64_t now_ns)
{
	struct pace *p, *next;

	HASH_ITER (hh, *all, p, next) {
		if (now_ns < p->minute_ns + MINUTE_NS || p->room.level < 0)
			continue;
		HASH_DEL(*all, p);
		free(p);
	}
}

static struct pace *get(struct pace **all, const char *agent, uint64_t now_ns)
{
	struct pace *p = find(*all, agent);

	if (p)
		return p;
	if (HASH_COUNT(*all) >= AGENTS_MAX)
		forget_old(all, now_ns);
	p = HASH_COUNT(*all) < AGENTS_MAX ? calloc(1, sizeof(*p) + strlen(agent) + 1) : NULL;
	if (!p)
		return NULL;
	strcpy(p->agent, agent);
	p->minute_ns = now_ns;
	HASH_ADD_STR(*all, agent, p);
	return p;
}

bool pace_take(struct pace **all, const char *agent, uint64_t per_day, uint64_t now_ns,
	       bool *ret_said)
{
	struct bucket_size size = {.full = per_day / (24 * 60), .per_day = per_day};
	struct pace *p = get(all, agent, now_ns);

	*ret_said = false;
	if (!p)
		return false;
	if (size.full < BURST)
		size.full = BURST;
	bucket_fill(&p->room, &size, now_ns);
	if (now_ns >= p->minute_ns + MINUTE_NS) {
		p->minute_ns = now_ns;
		p->opened = 0;
		p->said = false;
	}
	if (p->opened < PACE_PER_MINUTE && p->room.level > 0) {
		p->opened++;
		return true;
	}
	*ret_said = p->said;
	p->said = true;
	return false;
}

void pace_spend(struct pace *all, const char *agent, uint64_t bytes)
{
	struct pace *p = find(all, agent);

	if (p)
		p->room.level -= bytes;
}

void pace_clear(struct pace **all)
{
	struct pace *p, *next;

	HASH_ITER (hh, *all, p, next) {
		HASH_DEL(*all, p);
		free(p);
	}
}
