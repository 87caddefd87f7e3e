/* SPDX-License-Identifier: Apache-2.0 */
/* forgery_agent: forgeries of what is said of affiantd and the agent, and of a host that is remembered. For test_forgery.c. */
#pragma once

#include "forgery_host.h"

/* ---- daemon and agent ---- */

static json_t *host_files(void)
{
	return json_object_get(f.host_claims, "measurements");
}
static json_t *files(void)
{
	return json_object_get(f.payload, "measurements");
}

static void daemon_other(void)
{
	other_digest(host_files(), 0);
	f.policy.ima.not_required = true;
	f.agents[0].minimum = AFFIANT_BOOT_STATE;
}
static void configuration_other(void)
{
	other_digest(host_files(), 1);
}
static void bpf_other(void)
{
	other_digest(host_files(), 2);
}
static void bpf_missing(void)
{
	json_array_remove(host_files(), 2);
}

static void agent_other(void)
{
	set(f.payload, "sub", json_string("spiffe://example.org/agent/other"));
}
static void agent_not_here(void)
{
	f.hosts[0].agents.count = 0;
}
static void tier_too_low(void)
{
	f.policy.ima.not_required = true;
}
static void tier_boot_none(void)
{
	f.policy.boot.mode = AFFIANT_BOOT_NONE;
}
static void tier_of_software(void)
{
	f.maker = "id:00001014";
	f.policy.allow_software_tpm = true;
}
static void state_other(void)
{
	forge_restate(files(), 1, 0, CLAIMS_TOO_LATE, NULL);
}
/* As it is where the session's own build asks: the digest in its own member, and no other. */
static void unprove(size_t i)
{
	forge_restate(files(), i, 0, CLAIMS_UNPROVEN, "unproven_measurement");
}
static void claim(size_t i)
{
	forge_restate(files(), i, 0, CLAIMS_CLAIMED, NULL);
}
static void state_unknown(void)
{
	forge_restate(files(), 1, 0, CLAIMS_CLAIMED + 1, "digested-measurement");
}
static void executable_offered(void)
{
	forge_restate(files(), 1, 0, CLAIMS_OFFERED, "digested-measurement");
}
static void claimed_with_digest(void)
{
	forge_restate(files(), 1, 0, CLAIMS_CLAIMED, "digested-measurement");
}
static void claimed_with_unproven_digest(void)
{
	forge_restate(files(), 1, 0, CLAIMS_CLAIMED, "unproven_measurement");
}
static void unproven_as_measurement(void)
{
	forge_restate(files(), 1, 0, CLAIMS_UNPROVEN, "digested-measurement");
}
static void unproven_beside_proven(void)
{
	json_t *o = forge_body(files(), 1);

	set(o, "unproven_measurement", json_incref(json_object_get(o, "digested-measurement")));
	forge_set_body(files(), 1, 296, o);
}
static void manifest_unproven(void)
{
	unprove(5);
}
static void daemon_unproven(void)
{
	forge_restate(host_files(), 0, 0, CLAIMS_UNPROVEN, "unproven_measurement");
}
static void executable_unproven(void)
{
	unprove(1);
}
static void loader_unproven(void)
{
	unprove(2);
}
static void ancestor_unproven(void)
{
	unprove(3);
}
static void unproven_other(void)
{
	other_digest(files(), 1);
	unprove(1);
	f.agents[0].states = AFFIANT_STATES_PROVEN | AFFIANT_STATE_UNPROVEN;
}
static void unproven_unread(void)
{
	unproven_other();
	forge_restate(files(), 1, 0, CLAIMS_UNPROVEN, NULL);
}
/* An attacker's word for it, after the host signed what it was. */
static void called_observed(void)
{
	forge_restate(files(), 1, 0, CLAIMS_OBSERVED, "digested-measurement");
	sign_anew(f.evidence_key);
}
static void script_unproven(void)
{
	unprove(0);
	f.agents[0].states = AFFIANT_STATES_PROVEN | AFFIANT_STATE_UNPROVEN;
}
static void script_too_late(void)
{
	forge_restate(files(), 0, 0, CLAIMS_TOO_LATE, NULL);
}
static void executable_claimed(void)
{
	claim(1);
}
/* Any loader, but not one that anybody could have written. */
static void loader_unproven_beside_any(void)
{
	f.agents[0].loaders.any = true;
	unprove(2);
}
static void claimed_beside_any(void)
{
	claim(1);
	f.agents[0].executables.any = true;
}
static void claimed_beside_digests(void)
{
	claim(1);
	f.agents[0].states = AFFIANT_STATES_PROVEN | AFFIANT_STATE_CLAIMED;
}
static void ancestor_claimed(void)
{
	claim(3);
	f.agents[0].ancestors.any = true;
}
static void argument_other(void)
{
	other_digest(files(), 0);
}
static void executable_other(void)
{
	other_digest(files(), 1);
}
static void loader_other(void)
{
	other_digest(files(), 2);
}
static void ancestor_other(void)
{
	other_digest(files(), 3);
}
static void manifest_other(void)
{
	other_digest(files(), 5);
}
static void manifest_gone(void)
{
	json_array_clear(json_object_get(workload(), "manifest_roots"));
}
static void script_unnamed(void)
{
	forge_restate(files(), 1, CLAIMS_SCRIPT + 1, CLAIMS_OBSERVED, "digested-measurement");
}
static void interpreter_unnamed(void)
{
	forge_restate(files(), 1, CLAIMS_INTERPRETER + 1, CLAIMS_OBSERVED, "digested-measurement");
}
static void executable_gone(void)
{
	json_array_clear(json_object_get(json_object_get(workload(), "process"), "files"));
}
/* The interpreter alone, which runs what it is fed. */
static void argument_gone(void)
{
	set(json_object_get(workload(), "process"), "files", json_pack("[i]", 1));
}
static void script_gone(void)
{
	argument_gone();
	f.agents[0].scripts = f.agents[0].arguments;
}
static void ancestors_cut(void)
{
	set(workload(), "ancestors_cut", json_true());
}
static void ancestor_without_files(void)
{
	json_array_clear(json_object_get(
		json_array_get(json_object_get(workload(), "ancestors"), 0), "files"));
}
static void programs_other(void)
{
	f.agents[0].programs = f.agents[0].executables;
}
static void variable_set(void)
{
	set(json_object_get(workload(), "process"), "environment", json_pack("[s]", "LD_PRELOAD"));
}
/* One is allowed, the other is not. */
static void variable_other(void)
{
	static const char *const names[] = {"LD_PRELOAD"};

	f.agents[0].environment = (struct affiant_texts){names, 1};
	set(json_object_get(workload(), "process"), "environment",
	    json_pack("[ss]", "LD_PRELOAD", "BASH_FUNC_*"));
}
/* A later version's daemon knows more names than its verifier. */
static void variable_of_tomorrow(void)
{
	set(json_object_get(workload(), "process"), "environment", json_pack("[s]", "TOMORROW"));
}
static void variable_of_ancestor(void)
{
	set(json_array_get(json_object_get(workload(), "ancestors"), 0), "environment",
	    json_pack("[s]", "NODE_OPTIONS"));
}
static void environment_cut(void)
{
	static const char *const names[] = {"LD_PRELOAD"};

	f.agents[0].environment = (struct affiant_texts){names, 1};
	set(json_object_get(workload(), "process"), "environment_cut", json_true());
}
static void environment_cut_of_ancestor(void)
{
	set(json_array_get(json_object_get(workload(), "ancestors"), 0), "environment_cut",
	    json_true());
}
static void isolation_none(void)
{
	set(workload(), "isolation", json_string("none"));
}
static void isolation_unknown(void)
{
	set(workload(), "isolation", json_string("unknown"));
}
static void custody_other(void)
{
	f.agents[0].custodies = 1 << AFFIANT_OF_DAEMON;
}
static void folded(void)
{
	set(workload(), "folded", json_true());
}
static void late(void)
{
	set(json_object_get(workload(), "session"), "late", json_true());
}
static void asserted(void)
{
	f.agents[0].allow_asserted = false;
}
static void principal_gone(void)
{
	json_object_del(workload(), "principal");
	f.agents[0].require_principal = true;
}
static void task_gone(void)
{
	json_object_del(workload(), "task");
	f.agents[0].require_task = true;
}

/* ---- with what is kept of the host ---- */

static struct hoststate kept;

static void keep(void)
{
	struct verify_result *r = forge_verify(&f);

	if (r->code)
		fail_msg("%s: %s", verify_code_name(r->code), verify_reason(r));
	assert_true(r->has_host);
	kept = r->host;
	f.cached = &kept;
	verify_result_free(r);
}

static void unknown_host(void)
{
	json_object_del(f.collection, "host");
}
static void kept_by_other_policy(void)
{
	keep();
	f.policy.digest[0] ^= 1;
	unknown_host();
}
static void kept_too_long(void)
{
	keep();
	kept.until = f.now;
	unknown_host();
}
static void kept_of_other(void)
{
	keep();
	kept.ueid[4] ^= 1;
	unknown_host();
}
static void measured_since(void)
{
	keep();
	ima_file(&f.ima, 0xb1, "/usr/bin/id");
	forge_again(&f, false);
}
static void boot_pcr_moved(void)
{
	keep();
	pcr_extend(&f.bank, 9, f.files[0].digest);
	forge_again(&f, false);
}
static void more_pcrs(void)
{
	keep();
	f.selections[0].pcrs |= 1u << 11;
	forge_again(&f, false);
}
static void started_anew(void)
{
	keep();
	f.clock.resets++;
	forge_again(&f, false);
}
static void rolled_back(void)
{
	keep();
	f.clock.resets--;
	forge_again(&f, true);
}
static void restarts_back(void)
{
	keep();
	f.clock.restarts--;
	forge_again(&f, true);
}
static void clock_back(void)
{
	keep();
	kept.clock.ms += 400000;
	forge_again(&f, false);
}
static void tpm_reset(void)
{
	keep();
	f.clock.resets++;
	forge_again(&f, true);
}
static void kexeced(void)
{
	keep();
	set(f.host_claims, "boot_id", json_string("1f8fad5b-d9cb-469f-a165-70867728950e"));
	forge_again(&f, true);
}
static void firmware_moved(void)
{
	keep();
	f.firmware++;
	forge_again(&f, false);
}
static void host_says_more(void)
{
	keep();
	set(f.host_claims, "kernel", json_string("7.0"));
	forge_again(&f, false);
}
static void unlisted_since(void)
{
	keep();
	f.ima_from = f.ima.entries;
	f.ima_skip = f.ima.len;
	ima_file(&f.ima, 0x66, "/usr/bin/evil");
	forge_again(&f, true);
}
static void entries_missing(void)
{
	keep();
	ima_file(&f.ima, 0xb1, "/usr/bin/id");
	f.ima_from = f.ima.entries;
	f.ima_skip = f.ima.len;
	forge_again(&f, true);
}
static void beginning_unknown(void)
{
	f.ima_from = 1;
	ima_first_removed();
}
static void replayed(void)
{
	keep();
	unknown_host();
	f.nonce = "the-next-one-given-out";
}
