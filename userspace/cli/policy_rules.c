/* SPDX-License-Identifier: Apache-2.0 */
/* policy: what it says of boot and agents. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attest/tpm2.h"
#include "base/environment.h"
#include "base/units.h"
#include "cli/policy_impl.h"

#define mistake(x, key, ...) document_mistake((x)->document, (x)->ret_why, key, __VA_ARGS__)

static const char *const yes_no[] = {"no", "yes", NULL};
static const char *const refused_any[] = {"refused", "any", NULL};
static const char *const required_any[] = {"required", "any", NULL};

int policy_flag(struct policy_reading *x, const char *key, const char *text,
		const char *const *words, bool *ret)
{
	unsigned int word = *ret;
	int err = policy_word(x, key, text, words, &word);

	*ret = word;
	return err;
}

/* ---- boot ---- */

static int get_pcr(struct policy_reading *x, const char *key, const char *text, uint32_t *ret)
{
	uint64_t n;

	if (!text || number_parse(text, &n) || n >= TPM2_PCRS || n == 10 || n == 16 || n == 23)
		return mistake(x, key, "'%s' is not a PCR from 0 to 22 other than 10 and 16",
			       text ?: "");
	*ret = n;
	return 0;
}

static int get_pcrs(struct policy_reading *x, const char *key, const struct raw_texts *list,
		    uint32_t *ret)
{
	uint32_t pcr;
	char at[256];
	int err = 0;

	for (unsigned int i = 0; !err && i < list->count; i++) {
		snprintf(at, sizeof(at), "%s[%u]", key, i);
		err = get_pcr(x, at, list->items[i], &pcr);
		if (!err)
			*ret |= 1u << pcr;
	}
	return err;
}

static int get_values(struct policy_reading *x, const struct raw_boot *raw)
{
	struct affiant_boot *b = &x->policy->rules.boot;
	struct affiant_pcr_rule *values =
		policy_alloc(x->policy, raw->values_count, sizeof(*values));
	char key[256];
	int err = values ? 0 : -ENOMEM;

	for (unsigned int i = 0; !err && i < raw->values_count; i++) {
		snprintf(key, sizeof(key), "boot.values[%u].pcr", i);
		err = get_pcr(x, key, raw->values[i].pcr, &values[i].pcr);
		snprintf(key, sizeof(key), "boot.values[%u].values", i);
		err = err ?: policy_digests(x, key, &raw->values[i].values, &values[i].values);
	}
	b->values = values;
	b->values_count = raw->values_count;
	return err;
}

static int get_rule(struct policy_reading *x, unsigned int i, const struct raw_rule *raw,
		    struct affiant_event_rule *to)
{
	uint64_t least = 1;
	char key[256];
	int err;

#define KEY(name) (snprintf(key, sizeof(key), "boot.rules[%u]." name, i), key)
	err = get_pcrs(x, KEY("pcrs"), &raw->pcrs, &to->pcrs) ?:
	      policy_digests(x, KEY("digests"), &raw->digests, &to->digests) ?:
	      policy_texts(x, KEY("texts"), &raw->texts, &to->texts) ?:
	      policy_flag(x, KEY("early"), raw->early, yes_no, &to->early);
	if (err)
		return err;
	if (raw->least && (number_parse(raw->least, &least) || least > 65536))
		return mistake(x, KEY("least"), "'%s' is not a number from 0 to 65536", raw->least);
	if (!to->pcrs || to->digests.any || !(to->digests.count + to->texts.count))
		return mistake(x, KEY("pcrs"), "a rule has pcrs, and digests or texts");
#undef KEY
	to->least = least;
	return 0;
}

int policy_boot(struct policy_reading *x, const struct raw_boot *raw)
{
	static const char *const modes[] = {"log", "none", NULL};
	struct affiant_boot *b = &x->policy->rules.boot;
	struct affiant_event_rule *rules =
		policy_alloc(x->policy, raw->rules_count, sizeof(*rules));
	unsigned int mode = AFFIANT_BOOT_LOG;
	int err = rules ? 0 : -ENOMEM;

	err = err ?: policy_word(x, "boot.mode", raw->mode, modes, &mode) ?:
	      policy_flag(x, "boot.secure_boot", raw->secure_boot, required_any, &b->allow_secure_boot_off) ?:
	      policy_flag(x, "boot.debugger", raw->debugger, refused_any, &b->allow_debugger) ?:
	      policy_flag(x, "boot.dma_protection", raw->dma_protection, required_any, &b->allow_dma_unprotected) ?:
	      policy_flag(x, "boot.kexec", raw->kexec, refused_any, &b->allow_kexec) ?:
	      policy_flag(x, "boot.kernels_lock_down", raw->kernels_lock_down, yes_no, &b->kernels_lock_down) ?:
	      get_pcrs(x, "boot.closed", &raw->closed, &b->closed) ?:
	      policy_digests_or_any(x, "boot.kernels", &raw->kernels, &b->kernels) ?:
	      get_values(x, raw);
	for (unsigned int i = 0; !err && i < raw->rules_count; i++)
		err = get_rule(x, i, &raw->rules[i], &rules[i]);
	b->rules = rules;
	b->rules_count = raw->rules_count;
	b->mode = mode;
	if (!err && mode == AFFIANT_BOOT_NONE &&
	    (raw->rules_count || raw->kernels.count || raw->closed.count))
		return mistake(x, "boot.mode",
			       "'none' asks nothing of the boot log: rules, closed "
			       "and kernels have no place beside it");
	return err;
}

/* ---- agents ---- */

/* Of executables: that a script is 'offered' goes without saying, and no more of it can be had. */
static int get_states(struct policy_reading *x, const char *key, const struct raw_texts *list,
		      struct affiant_agent *to)
{
	static const char *const words[] = {"kernel",   "verity",  "held", "observed",
					    "unproven", "claimed", NULL};
	static const uint32_t states[] = {AFFIANT_STATE_KERNEL,   AFFIANT_STATE_VERITY,
					  AFFIANT_STATE_HELD,     AFFIANT_STATE_OBSERVED,
					  AFFIANT_STATE_UNPROVEN, AFFIANT_STATE_CLAIMED};
	unsigned int word;
	char at[272];
	int err;

	if (!list->count)
		to->states = AFFIANT_STATES_PROVEN;
	for (unsigned int i = 0; i < list->count; i++) {
		snprintf(at, sizeof(at), "%s[%u]", key, i);
		if (!strcmp(list->items[i], "offered"))
			return mistake(x, at,
				       "'offered' is what a script is, and scripts are taken by "
				       "it; an executable never is");
		err = policy_word(x, at, list->items[i], words, &word);
		if (err)
			return err;
		to->states |= states[word];
		if (states[word] == AFFIANT_STATE_CLAIMED && !to->executables.any &&
		    !to->ancestors.any)
			return mistake(x, at, "'claimed' comes without a digest: it passes only "
					      "where executables or ancestors are 'any'");
	}
	return 0;
}

/* Of the host, whoever made it lose them: another's session could have agents refused by it. */
static int get_lost(struct policy_reading *x, const char *key, const char *text, uint64_t *ret)
{
	*ret = AFFIANT_ANY_LOST;
	if (!text || !strcmp(text, "any"))
		return 0;
	*ret = 0;
	if (!strcmp(text, "refused") || (!number_parse(text, ret) && *ret <= INT64_MAX))
		return 0;
	return mistake(x, key, "'%s' is not 'any', 'refused', or how many events at most", text);
}

static int get_agent(struct policy_reading *x, unsigned int i, const struct raw_policy_agent *raw,
		     struct affiant_agent *to)
{
	static const char *const tiers[] = {"",           "software-tpm",     "boot-unknown",
					    "boot-state", "runtime-measured", NULL};
	static const char *const isolations[] = {"landlock", "uid", "none", "unknown", NULL};
	static const char *const custodies[] = {"process", "daemon", NULL};
	static const char *const principals[] = {"refused", "asserted", "required", NULL};
	static const char *const tasks[] = {"any", "required", NULL};
	unsigned int tier = 0, principal = 0;
	char key[256];
	int err;

#define KEY(name) (snprintf(key, sizeof(key), "agents[%u]." name, i), key)
	if (!raw->id || strncmp(raw->id, "spiffe://", 9))
		return mistake(x, KEY("id"), "'%s' is not a SPIFFE ID", raw->id ?: "");
	to->id = raw->id;
	to->allow_folded = true;
	err = policy_word(x, KEY("tier"), raw->tier, tiers, &tier) ?:
	      policy_flag(x, KEY("late_sessions"), raw->late_sessions, refused_any, &to->allow_late) ?:
	      policy_flag(x, KEY("folded_sessions"), raw->folded_sessions, refused_any, &to->allow_folded) ?:
	      policy_flag(x, KEY("untagged_children"), raw->untagged_children, refused_any, &to->allow_untagged_children) ?:
	      get_lost(x, KEY("lost"), raw->lost, &to->max_lost) ?:
	      policy_word(x, KEY("principal"), raw->principal, principals, &principal) ?:
	      policy_flag(x, KEY("task"), raw->task, tasks, &to->require_task) ?:
	      policy_digests(x, KEY("executables"), &raw->executables, &to->executables) ?:
	      policy_digests(x, KEY("scripts"), &raw->scripts, &to->scripts) ?:
	      policy_digests(x, KEY("interpreters"), &raw->interpreters, &to->interpreters) ?:
	      policy_digests(x, KEY("loaders"), &raw->loaders, &to->loaders) ?:
	      policy_digests(x, KEY("arguments"), &raw->arguments, &to->arguments) ?:
	      policy_digests(x, KEY("manifests"), &raw->manifests, &to->manifests) ?:
	      policy_digests(x, KEY("ancestors"), &raw->ancestors, &to->ancestors) ?:
	      policy_digests_or_any(x, KEY("programs"), &raw->programs, &to->programs) ?:
	      policy_words(x, KEY("isolation"), &raw->isolation, isolations, AFFIANT_ISOLATED, &to->isolations) ?:
	      policy_words(x, KEY("key_custody"), &raw->key_custody, custodies, AFFIANT_ANY_CUSTODY, &to->custodies) ?:
	      get_states(x, KEY("hash_states"), &raw->hash_states, to);
#undef KEY
	to->minimum = tier;
	to->allow_asserted = principal > 0;
	to->require_principal = principal == 2;
	return err;
}

/* No list: any. An empty one: none (it must not come to mean any). */
static int get_environment(struct policy_reading *x, unsigned int i, const struct raw_texts *list,
			   struct affiant_agent *to)
{
	char key[64], at[96];

	snprintf(key, sizeof(key), "agents[%u].environment", i);
	to->allow_any_environment = !document_has(x->document, key);
	for (unsigned int n = 0; n < list->count; n++) {
		if (environment_number(list->items[n]) >= 0)
			continue;
		snprintf(at, sizeof(at), "%s[%u]", key, n);
		return mistake(x, at, "'%s' is none of the names that records know",
			       list->items[n]);
	}
	return policy_texts(x, key, list, &to->environment);
}

int policy_agents(struct policy_reading *x, const struct raw_policy *raw)
{
	struct affiant_agent *agents = policy_alloc(x->policy, raw->agents_count, sizeof(*agents));
	char key[64];
	int err = agents ? 0 : -ENOMEM;

	for (unsigned int i = 0; !err && i < raw->agents_count; i++) {
		err = get_agent(x, i, &raw->agents[i], &agents[i])
			      ?: get_environment(x, i, &raw->agents[i].environment, &agents[i]);
		snprintf(key, sizeof(key), "agents[%u].id", i);
		for (unsigned int k = 0; !err && k < i; k++)
			if (!strcmp(agents[k].id, agents[i].id))
				err = mistake(x, key, "agents[%u] has the same", k);
	}
	x->policy->rules.agents = agents;
	x->policy->rules.agents_count = raw->agents_count;
	return err;
}
