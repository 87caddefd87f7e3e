/* SPDX-License-Identifier: Apache-2.0 */
/* verify: what the daemon says of itself and of the agent, against the policy. */
#include <openssl/crypto.h>
#include <string.h>

#include "attest/claims_words.h"
#include "attest/verify_impl.h"
#include "base/environment.h"

/* ---- affiantd ---- */

static bool check_host_files(struct verification *v, enum claims_role role,
			     const struct affiant_digests *allowed, enum verify_code code,
			     const char *name)
{
	const struct claims_host *h = &v->host_claims;
	size_t found = 0;

	if (allowed->any)
		return not_judged(v, name, "the policy takes any");
	for (size_t i = 0; i < h->files_count; i++) {
		if (h->files[i].role != role)
			continue;
		if (!policy_has(allowed, h->files[i].digest, h->files[i].digest_len))
			return fail(v, code, name, "it is none that the policy names");
		found++;
	}
	return found ? pass(v, name, "known") : fail(v, code, name, "the host says nothing of it");
}

bool verify_daemon(struct verification *v)
{
	const struct affiant_daemon *d = &v->policy->daemon;

	if (!v->judged_host)
		return pass(v, "affiantd: program", "as it was judged before");
	return check_host_files(v, CLAIMS_EXECUTABLE, &d->executables, VERIFY_daemon_digest,
				"affiantd: program") &&
	       check_host_files(v, CLAIMS_CONFIGURATION, &d->configurations,
				VERIFY_configuration_digest, "affiantd: configuration") &&
	       check_host_files(v, CLAIMS_BPF, &d->bpf, VERIFY_bpf_digest, "affiantd: BPF object");
}

/* ---- the agent ---- */

static const struct affiant_digests *allowed_of(const struct affiant_agent *a,
						enum claims_role role, enum verify_code *ret_code)
{
	switch (role) {
	case CLAIMS_EXECUTABLE:
		*ret_code = VERIFY_executable_digest;
		return &a->executables;
	case CLAIMS_SCRIPT:
		*ret_code = VERIFY_script_digest;
		return &a->scripts;
	case CLAIMS_INTERPRETER:
		*ret_code = VERIFY_interpreter_digest;
		return &a->interpreters;
	case CLAIMS_LOADER:
		*ret_code = VERIFY_loader_digest;
		return &a->loaders;
	case CLAIMS_ARGUMENT:
		*ret_code = VERIFY_argument_digest;
		return &a->arguments;
	case CLAIMS_MANIFEST:
	case CLAIMS_CONFIGURATION:
	case CLAIMS_BPF:
		break;
	}
	*ret_code = VERIFY_manifest_digest;
	return &a->manifests;
}

static bool is_script(const struct claims_file *f)
{
	return f->role == CLAIMS_SCRIPT || f->role == CLAIMS_ARGUMENT;
}

static bool is_executed(const struct claims_file *f)
{
	return f->role == CLAIMS_EXECUTABLE || f->role == CLAIMS_INTERPRETER ||
	       f->role == CLAIMS_LOADER;
}

/*
 * hash_states is about what the kernel executed. Of a script, which its interpreter opens again,
 * nothing more can be had than what it was offered; a manifest is a root over what lay there.
 */
static bool takes_state(const struct affiant_agent *a, const struct claims_file *f)
{
	if (is_script(f))
		return f->state == CLAIMS_OFFERED || claims_state_proven(f->state);
	if (f->role == CLAIMS_MANIFEST)
		return claims_state_proven(f->state);
	return a->states & 1u << f->state;
}

/* What whoever reads the refusal can do about it. */
static const char *remedy(const struct claims_file *f)
{
	if (f->state == CLAIMS_UNPROVEN && is_script(f))
		return ": nothing but a script that was offered is taken";
	if (f->state == CLAIMS_UNPROVEN)
		return ": install the agent's runtime as root and run it as another user, or list "
		       "'unproven' in hash_states";
	if (f->state == CLAIMS_CLAIMED)
		return ", it ran before it was traced: start the agent after affiantd, or list "
		       "'claimed' in hash_states";
	return "";
}

static bool refuse_state(struct verification *v, const struct claims_file *f, const char *name)
{
	return fail(v, VERIFY_hash_state, name, "its %s is '%s'%s", claims_role_word(f->role),
		    claims_state_word(f->state), remedy(f));
}

static bool check_file(struct verification *v, const struct affiant_agent *a,
		       const struct claims_file *f, const struct affiant_digests *allowed,
		       enum verify_code code, const char *name)
{
	bool known;

	/* Whatever it is: but it is not even known that there is such a file. */
	if (f->state == CLAIMS_CLAIMED && !(a->states & 1u << CLAIMS_CLAIMED))
		return refuse_state(v, f, name);
	if (allowed->any)
		return true;
	if (!takes_state(a, f))
		return refuse_state(v, f, name);
	known = f->state == CLAIMS_UNPROVEN
			? f->has_unproven &&
				  policy_has(allowed, &f->unproven, sizeof(f->unproven))
			: policy_has(allowed, f->digest, f->digest_len);
	return known || fail(v, code, name, "the %s %.120s is none that the policy names",
			     claims_role_word(f->role), f->path);
}

/*
 * An interpreter by itself runs whatever it is fed (python -c): where the policy names scripts, by
 * either role, one must be there.
 */
static bool check_script(struct verification *v, const struct affiant_agent *a, bool scripted)
{
	if (scripted || a->scripts.any || a->arguments.any ||
	    !(a->scripts.count + a->arguments.count))
		return true;
	return fail(v, a->scripts.count ? VERIFY_script_digest : VERIFY_argument_digest,
		    "agent: program", "it runs no script, and the policy names some");
}

static bool check_process(struct verification *v, const struct affiant_agent *a)
{
	const struct claims *c = &v->result->claims;
	const struct claims_process *p = &c->workload.process;
	const struct claims_file *unproven = NULL;
	enum verify_code code;
	bool executable = false, scripted = false;

	for (size_t i = 0; i < p->files_count; i++) {
		const struct claims_file *f = &c->files[p->files[i]];
		const struct affiant_digests *allowed = allowed_of(a, f->role, &code);

		/* Any digest will do where a list says so, but not what it is worth. */
		if (is_executed(f) && !takes_state(a, f))
			return refuse_state(v, f, "agent: program");
		if (!check_file(v, a, f, allowed, code, "agent: program"))
			return false;
		executable |= f->role == CLAIMS_EXECUTABLE;
		scripted |= is_script(f);
		if (!is_script(f) && !claims_state_proven(f->state) &&
		    (!unproven || f->role == CLAIMS_EXECUTABLE))
			unproven = f;
	}
	if (!executable && !a->executables.any)
		return fail(v, VERIFY_executable_digest, "agent: program",
			    "the claims name no executable");
	v->result->proven = executable && !unproven;
	if (!check_script(v, a, scripted))
		return false;
	if (unproven)
		return pass(v, "agent: program",
			    "%zu files, which the policy takes though the %s is '%s'",
			    p->files_count, claims_role_word(unproven->role),
			    claims_state_word(unproven->state));
	return pass(v, "agent: program", "%zu files, as the policy has them", p->files_count);
}

/* A process may have been made, and fed, by those above it. */
static bool check_ancestors(struct verification *v, const struct affiant_agent *a)
{
	const struct claims *c = &v->result->claims;
	const struct claims_workload *w = &c->workload;

	if (w->ancestors_cut && !a->ancestors.any)
		return fail(v, VERIFY_ancestor_digest, "agent: ancestors",
			    "there are more than the claims name");
	for (size_t i = 0; i < w->ancestors_count; i++) {
		if (!w->ancestors[i].files_count && !a->ancestors.any)
			return fail(v, VERIFY_ancestor_digest, "agent: ancestors",
				    "the claims don't say what process %u executes",
				    w->ancestors[i].pid);
		for (size_t k = 0; k < w->ancestors[i].files_count; k++)
			if (!check_file(v, a, &c->files[w->ancestors[i].files[k]], &a->ancestors,
					VERIFY_ancestor_digest, "agent: ancestors"))
				return false;
	}
	return a->ancestors.any ? not_judged(v, "agent: ancestors", "the policy takes any")
				: pass(v, "agent: ancestors", "%zu, known", w->ancestors_count);
}

static bool check_manifests(struct verification *v, const struct affiant_agent *a)
{
	const struct claims *c = &v->result->claims;
	const struct claims_workload *w = &c->workload;

	if (a->manifests.any)
		return not_judged(v, "agent: manifest", "the policy takes any");
	for (size_t i = 0; i < w->manifests_count; i++)
		if (!check_file(v, a, &c->files[w->manifests[i]], &a->manifests,
				VERIFY_manifest_digest, "agent: manifest"))
			return false;
	if (!w->manifests_count && a->manifests.count)
		return fail(v, VERIFY_manifest_digest, "agent: manifest",
			    "there is none, and the policy wants one");
	return w->manifests_count ? pass(v, "agent: manifest", "known")
				  : not_judged(v, "agent: manifest", "none is asked for");
}

static bool check_programs(struct verification *v, const struct affiant_agent *a)
{
	const struct claims_workload *w = &v->result->claims.workload;

	if (a->programs.any)
		return not_judged(v, "agent: session's programs", "%llu, of any kind",
				  (unsigned long long)w->programs_count);
	if (w->programs_cut)
		return fail(v, VERIFY_programs_root, "agent: session's programs",
			    "there are more than the claims tell of");
	if (!policy_has(&a->programs, &w->programs_root, sizeof(w->programs_root)))
		return fail(v, VERIFY_programs_root, "agent: session's programs",
			    "they are none of the sets that the policy names");
	return pass(v, "agent: session's programs", "known");
}

static bool check_variables(struct verification *v, const struct affiant_agent *a,
			    const struct claims_process *p)
{
	const char *const check = "agent: environment";

	for (unsigned int i = 0; i < environment_count; i++)
		if (environment_has(p->environment, i) &&
		    !policy_names(&a->environment, environment_name(i)))
			return fail(v, VERIFY_environment, check, "%s is set for process %u",
				    environment_name(i), p->pid);
	if (p->environment_unknown)
		return fail(v, VERIFY_environment, check,
			    "a variable is set for process %u that is not known here", p->pid);
	if (p->environment_cut)
		return fail(v, VERIFY_environment, check,
			    "not all variables of process %u are known", p->pid);
	return true;
}

static bool check_environment(struct verification *v, const struct affiant_agent *a)
{
	const struct claims_workload *w = &v->result->claims.workload;

	if (a->allow_any_environment)
		return not_judged(v, "agent: environment", "the policy takes any");
	if (!check_variables(v, a, &w->process))
		return false;
	for (size_t i = 0; i < w->ancestors_count; i++)
		if (!check_variables(v, a, &w->ancestors[i]))
			return false;
	return pass(v, "agent: environment", "no variable but what the policy has");
}

static bool check_tier(struct verification *v, const struct affiant_agent *a)
{
	const enum affiant_tier least = a->minimum ?: AFFIANT_RUNTIME_MEASURED;

	if (v->result->tier < least)
		return fail(v, VERIFY_tier, "agent: tier", "%s; the policy wants %s",
			    verify_tier_word(v->result->tier), verify_tier_word(least));
	return pass(v, "agent: tier", "%s", verify_tier_word(v->result->tier));
}

static bool check_session(struct verification *v, const struct affiant_agent *a)
{
	const struct claims *c = &v->result->claims;
	const struct claims_workload *w = &c->workload;
	const char *isolation = claims_isolations[w->isolation];

	if (!(a->isolations & 1u << w->isolation))
		return fail(v, VERIFY_isolation, "agent: isolation", "%s", isolation);
	pass(v, "agent: isolation", "%s", isolation);
	if (!(a->custodies & 1u << c->custody))
		return fail(v, VERIFY_key_custody, "agent: key", "held by %s",
			    c->custody == CLAIMS_OF_DAEMON ? "affiantd" : "the process");
	if (w->session.late && !a->allow_late)
		return fail(v, VERIFY_late_session, "agent: session",
			    "it was running before it was traced");
	if (w->folded && !a->allow_folded)
		return fail(v, VERIFY_folded_session, "agent: session",
			    "part of what it did is counted instead of told one by one");
	if (w->untagged_children && !a->allow_untagged_children)
		return fail(v, VERIFY_untagged_children, "agent: session",
			    "some of its processes were not recorded");
	if (w->lost > a->max_lost)
		return fail(v, VERIFY_events_lost, "agent: session",
			    "its host lost %llu events; the policy takes %llu",
			    (unsigned long long)w->lost, (unsigned long long)a->max_lost);
	pass(v, "agent: session", "key held by %s",
	     c->custody == CLAIMS_OF_DAEMON ? "affiantd" : "the process");
	return true;
}

/* A name of spaces is none, whatever form the claims' texts have. */
static bool is_named(const char *text)
{
	return text && text[strspn(text, " ")];
}

static bool check_principal(struct verification *v, const struct affiant_agent *a)
{
	const struct claims_workload *w = &v->result->claims.workload;

	if (is_named(w->principal) && !a->allow_asserted)
		return fail(v, VERIFY_principal_asserted, "agent: principal",
			    "on its launcher's word alone");
	if (!is_named(w->principal) && a->require_principal)
		return fail(v, VERIFY_principal_missing, "agent: principal", "none is named");
	if (!is_named(w->task.id) && a->require_task)
		return fail(v, VERIFY_task_missing, "agent: task",
			    w->task.present ? "it has no id" : "none is named");
	return is_named(w->principal)
		       ? pass(v, "agent: principal", "%.120s, asserted", w->principal)
		       : not_judged(v, "agent: principal", "none is named");
}

static const struct affiant_agent *agent_of(const struct affiant_policy *p, const char *id)
{
	for (size_t i = 0; i < p->agents_count; i++)
		if (!strcmp(p->agents[i].id, id))
			return &p->agents[i];
	return NULL;
}

bool verify_workload(struct verification *v)
{
	const struct claims *c = &v->result->claims;
	const struct affiant_agent *a = agent_of(v->policy, c->sub);

	if (!a)
		return fail(v, VERIFY_agent_unknown, "agent: identity",
			    "%.120s is none that the policy names", c->sub);
	if (!policy_names(&v->host_policy->agents, c->sub))
		return fail(v, VERIFY_agent_not_on_host, "agent: identity",
			    "%.120s is not allowed on this host", c->sub);
	pass(v, "agent: identity", "%.120s", c->sub);
	return check_tier(v, a) && check_process(v, a) && check_ancestors(v, a) &&
	       check_manifests(v, a) && check_programs(v, a) && check_environment(v, a) &&
	       check_session(v, a) &&
	       check_principal(v, a);
}
