/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/admission.h"

#include "base/limit.h"
#include "base/log.h"
#include "daemon/core.h"
#include "daemon/pace.h"

/* Half of what runs into its budget, for records that are told whatever it owes. */
static bool may_open_another(struct core *c, struct server_call *call, const char *agent)
{
	const struct budgets *budgets = &c->attribute->budgets;
	uint64_t now = core_boottime_ns();
	bool said;

	if (!budget_agent_deep(budgets, agent, now, false) ||
	    pace_take(&c->paces, agent, bucket_size_of_agent(budgets->state_bytes).per_day / 2, now,
		      &said))
		return true;
	c->opens_refused++;
	if (!said)
		log_warning("sessions of agent '%s' are refused: it is far past its budget, and "
			    "then at most %d begin in a minute (a larger state_bytes helps)",
			    agent, PACE_PER_MINUTE);
	server_refuse(call, "limit",
		      "agent '%s' is far past its budget, and then at most %d sessions begin in a "
		      "minute: try again later, or let one session do more; a larger state_bytes "
		      "helps",
		      agent, PACE_PER_MINUTE);
	return false;
}

bool admission_ask(struct core *c, struct server_call *call, const struct server_open *open)
{
	const struct server_caller *caller = server_call_caller(call);
	const char *name = open->request->agent;
	struct tag tag;

	if (!name || !config_name_valid(name)) {
		server_refuse(call, "bad_request",
			      "an agent's name is letters, digits, '.', '-' and '_', at most %d, "
			      "and not '" CONFIG_NAME_UNKNOWN "'",
			      CONFIG_NAME_MAX);
		return false;
	}
	if (!config_agent(c->config, name) &&
	    !(c->config->any_agent && caller->roles & SERVER_ROLE_ROOT)) {
		server_refuse(call, "denied",
			      "no agent '%s' is configured: add it to 'agents' in %s", name,
			      CONFIG_PATH);
		return false;
	}
	if (HASH_COUNT(c->attribute->table.sessions) + c->openings_count >=
	    c->config->limits.sessions) {
		limit_met(LIMIT_SESSIONS);
		server_refuse(call, "limit",
			      "%zu sessions live, which is the configured limit (limits.sessions)",
			      c->config->limits.sessions);
		return false;
	}
	if (source_tag_of(c->source, open->target, &tag) == 0) {
		server_refuse(call, "denied", "process %d is of a session already", open->target);
		return false;
	}
	return may_open_another(c, call, name);
}
