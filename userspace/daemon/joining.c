/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/joining.h"

#include <sys/random.h>

#include "base/log.h"
#include "base/pb.h"
#include "collect/decode.h"
#include "collect/hold.h"
#include "daemon/core.h"

/* Between the kernel's forgetting of a key and the last event by it that is read. */
#define GRACE_NS (2 * CORE_SECOND_NS)

uint64_t joining_session(const struct core *c, uint32_t selector)
{
	const struct hold *hold = c->attribute ? hold_of_selector(c->attribute, selector) : NULL;

	return hold && !hold->let_go_ns ? hold->key : 0;
}

size_t joining_count(const struct core *c)
{
	size_t n = 0;

	for (const struct hold *hold = c->attribute->holds; hold; hold = hold->hh.next)
		n += !hold->let_go_ns;
	return n;
}

static int note(struct core *c, uint64_t key, uint32_t selector, bool over)
{
	Affiant__V1__NoteHold m = AFFIANT__V1__NOTE_HOLD__INIT;

	SET(&m, key, key);
	SET(&m, selector, selector);
	if (over)
		SET(&m, over, true);
	return core_note(c, NOTE_HOLD, &m.base);
}

/*
 * Whether the selector's matches are to join from now on, or still. A session that was ended by
 * request is over: what is matched later is not of it.
 */
static bool is_wanted(const struct core *c, const struct hold *hold, uint32_t selector,
		      uint64_t now_ns)
{
	const struct config_agent *agent;
	const struct config_selector *by = config_selector(c->config, selector, &agent);
	const struct session *s = hold ? session_find(&c->attribute->table, hold->key) : NULL;

	if (!by || (by->kind != CONFIG_SELECT_EXE && by->kind != CONFIG_SELECT_USER) ||
	    (s && s->ending))
		return false;
	return budget_agent_deep(&c->attribute->budgets, agent->name, now_ns, hold != NULL);
}

static bool let_go(struct core *c, uint64_t now_ns)
{
	struct hold *hold, *next;
	bool changed = false;

	HASH_ITER (hh, c->attribute->holds, hold, next) {
		if (!hold->let_go_ns) {
			if (is_wanted(c, hold, hold->selector, now_ns))
				continue;
			hold->let_go_ns = now_ns;
			changed = true;
		} else if (now_ns > hold->let_go_ns + GRACE_NS) {
			(void)note(c, hold->key, hold->selector, true); /* it frees it */
		}
	}
	return changed;
}

static bool begin(struct core *c, const struct config_agent *agent, uint64_t now_ns)
{
	bool changed = false;
	uint64_t key;

	for (size_t n = 0; n < agent->selectors_count; n++) {
		const uint32_t id = agent->selectors[n].id;

		if (hold_of_selector(c->attribute, id) || !is_wanted(c, NULL, id, now_ns) ||
		    getrandom(&key, sizeof(key), 0) != (ssize_t)sizeof(key))
			continue;
		if (note(c, key | 1, id, false))
			break; /* in a second */
		changed = true;
	}
	if (changed)
		log_warning("agent '%s' is far past its budget: what a selector of it takes by "
			    "executable or by user is of one session until that is made up for",
			    agent->name);
	return changed;
}

void joining_look(struct core *c, uint64_t now_ns)
{
	bool changed = let_go(c, now_ns);

	for (size_t i = 0; i < c->config->agents_count; i++)
		if (budget_agent_deep(&c->attribute->budgets, c->config->agents[i].name, now_ns,
				      false))
			changed |= begin(c, &c->config->agents[i], now_ns);
	if (changed)
		selectors_tell(c->selectors);
}
