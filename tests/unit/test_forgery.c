/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forgeries, each refused for its own reason. What a case changes before the evidence is built, the host signed: a host
 * that lies, or is another one than the policy wants. What it changes after that, an attacker changed on the way.
 */
#include "attest/verify.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "forgery_agent.h"
#include "forgery_boot.h"
#include "forgery_claims.h"
#include "forgery_form.h"
#include "forgery_host.h"
#include "forgery_ima.h"
#include "forgery_policy.h"
#include "forgery_relay.h"
#include "forgery_token.h"
#include "forgery_tpm.h"

/* ---- the table ---- */

#define B(name, code)                                                                              \
	{                                                                                          \
#name, name, NULL, VERIFY_##code                                                   \
	} /* before it is built */
#define A(name, code)                                                                              \
	{                                                                                          \
#name, NULL, name, VERIFY_##code                                                   \
	} /* after */

static const struct forgery {
	const char *name;
	void (*before)(void), (*after)(void);
	enum verify_code code;
} forgeries[] = {
	A(not_json, malformed_evidence),
	A(doubled_member, malformed_evidence),
	A(tail_of_json, malformed_evidence),
	A(nested_json, malformed_evidence),
	A(unknown_member, malformed_evidence),
	A(missing_quote, malformed_evidence),
	A(other_type, malformed_evidence),
	A(padded_base64, malformed_evidence),
	A(quote_tail, malformed_quote),
	A(wide_selection, malformed_quote),
	A(signature_tail, malformed_signature),
	A(pcrs_tail, malformed_pcrs),
	A(path_tail, malformed_path),
	A(batch_too_large, malformed_path),
	A(path_shorter, malformed_path),
	A(ek_tail, malformed_host),
	A(ak_tail, malformed_host),
	A(boot_log_tail, malformed_boot_log),
	A(host_member_missing, malformed_host),
	A(range_without_list, malformed_host),
	B(claim_missing, malformed_claims),
	A(token_garbage, malformed_token),
	A(systemd_garbage, malformed_systemd_log),
	B(two_nonces, malformed_claims),
	B(host_claim_missing, malformed_host_claims),

	B(algorithm_none, token_algorithm),
	B(algorithm_hmac, token_algorithm),
	B(algorithm_longer, token_algorithm),
	B(type_other, token_header),
	B(header_critical, token_header),
	B(header_jku, token_header),
	B(header_private, token_key),
	B(kid_other, token_key),
	A(token_resigned, quote_extra),
	A(token_signature_other, token_signature),
	A(claims_changed, quote_extra),
	A(nonce_other, nonce),
	A(nonce_prefix, nonce),
	A(audience_other, audience),
	A(expired, expired),
	A(not_yet, not_yet_valid),
	A(too_old, too_old),
	A(replayed, nonce),

	A(host_other, host_unknown),
	A(no_hosts, host_unknown),
	B(ueid_other, ek_mismatch),
	B(ek_signs, ek_invalid),
	B(ek_imported, ek_invalid),
	B(ek_other_ca, ek_chain),
	B(ek_no_chain, ek_no_certificate),
	B(ek_expired, ek_chain),
	B(software, software_tpm),
	B(software_root, software_tpm),
	B(unknown_ek_software, software_tpm),
	B(ak_unrestricted, ak_invalid),
	B(ak_imported, ak_invalid),
	B(ak_movable, ak_invalid),
	B(ak_decrypts, ak_invalid),
	B(ak_any_scheme, ak_invalid),
	B(ak_other_ca, ak_chain),
	B(ak_no_chain, ak_not_enrolled),
	B(ak_enrolled_elsewhere, ak_other_ek),

	B(scheme_other, quote_scheme),
	B(key_outside, quote_signature),
	A(quote_flipped, quote_signature),
	B(magic_other, quote_magic),
	B(nv_certified, quote_type),
	B(time_certified, quote_type),
	B(owner_hierarchy, quote_signer),
	B(ledger_quote, quote_purpose),
	A(claims_swapped, quote_extra),
	A(path_of_other_leaf, quote_extra),
	A(node_as_leaf, quote_extra),
	B(selection_none, quote_selection),
	B(selection_twice, quote_selection),
	B(selection_without_boot, quote_selection),
	B(selection_without_ima, quote_selection),
	B(selection_resettable, quote_resettable),
	B(bank_sha1, quote_bank),
	A(pcr_flipped, quote_pcrs),
	A(pcrs_swapped, quote_pcrs),
	B(pcr_value_other, pcr_value),
	B(firmware_other, firmware),

	B(host_claims_other, host_claims_mismatch),
	B(host_id_other, host_claims_mismatch),
	B(ak_claimed_other, ak_claimed),
	B(zero_bank, pcrs_unextended),
	B(boot_log_gone, boot_log_missing),
	B(boot_log_empty, boot_log_missing),
	B(boot_log_sha1, boot_log_bank),
	B(boot_event_removed, boot_log_mismatch),
	B(boot_event_added, boot_log_mismatch),
	B(boot_event_relabelled, boot_log_mismatch),
	B(boot_reordered, boot_log_mismatch),
	B(secure_boot_off, secure_boot),
	B(debugger, debugger),
	B(dma, dma_unprotected),
	B(secure_boot_late, boot_log_unexplained),
	B(separator_twice, boot_log_separator),
	B(separator_missing, boot_log_separator),
	B(separator_missing_closed, boot_log_separator),
	B(separator_missing_for_kernel, boot_log_separator),
	B(separator_of_other_data, boot_log_separator),
	B(separator_of_other_digest, boot_log_unexplained),
	B(separator_of_seven_twice, boot_log_separator),
	B(seven_as_post_code, boot_log_separator),
	B(seven_as_variable, boot_log_separator),
	B(seven_as_action, boot_log_separator),
	B(seven_as_record, boot_log_separator),
	B(error_as_boot_order, boot_log_separator),
	B(error_as_boot_order_valued, boot_log_separator),
	B(late_behind_post_code, boot_rule),
	B(late_behind_record, boot_rule),
	B(late_behind_ones, boot_rule),
	B(late_behind_error, boot_rule),
	B(zeros_closed, boot_event),
	B(image_as_separator, boot_log_unexplained),
	B(image_as_action, boot_log_unexplained),
	B(image_as_post_code, boot_event),
	B(image_as_partition, boot_event),
	B(image_as_device_policy, boot_log_unexplained),
	B(image_elsewhere, boot_log_mismatch),
	B(image_as_no_action, boot_log_mismatch),
	B(image_behind_padding, malformed_boot_log),
	B(image_in_padding, boot_log_mismatch),
	B(last_twice, boot_log_mismatch),
	B(locality_late, malformed_boot_log),
	B(locality_unknown, malformed_boot_log),
	B(locality_long, malformed_boot_log),
	B(locality_other, boot_log_mismatch),
	B(hcrtm_claimed, boot_log_mismatch),
	B(bank_left_out, boot_log_bank),
	B(bank_of_other_size, malformed_boot_log),
	B(digest_left_out, malformed_boot_log),
	B(digest_twice, malformed_boot_log),
	B(pcr_beyond, malformed_boot_log),
	B(event_without_end, malformed_boot_log),
	B(secure_boot_of_two, secure_boot),
	B(secure_boot_long, secure_boot),
	B(secure_boot_empty, secure_boot),
	B(secure_boot_other_case, secure_boot),
	B(secure_boot_of_other, secure_boot),
	B(secure_boot_elsewhere, secure_boot),
	B(secure_boot_both, secure_boot),
	B(secure_boot_written, boot_log_unexplained),
	B(debugger_late, debugger),
	B(debugger_renamed, boot_log_unexplained),
	B(debugger_as_policy, boot_log_unexplained),
	B(kernel_of_data, kernel_unknown),
	B(line_not_hashed, boot_rule),
	B(line_behind_colon, boot_rule),
	B(line_behind_nul, boot_rule),
	B(line_beyond_ascii, boot_rule),
	B(line_longer, boot_rule),
	B(line_in_other_pcr, boot_rule),
	B(rule_unmet, boot_rule),
	B(closed_pcr, boot_event),
	B(kernel_unknown, kernel_unknown),
	B(kernel_replaceable, kernel_replaceable),
	B(loader_unknown, kernel_replaceable),
	B(lockdown_for_init, kernel_replaceable),
	B(lockdown_undone, kernel_replaceable),
	B(kernel_by_root, kernel_unknown),
	B(lockdown_by_root, kernel_replaceable),
	B(lockdown_by_root_without_ima, kernel_replaceable),
	B(unquoted_closed, quote_selection),
	B(unquoted_rule, boot_rule),
	B(unquoted_kernel, kernel_unknown),
	B(valued_kernel, kernel_unknown),
	B(valued_secure_boot, secure_boot),
	B(valued_debugger, boot_log_mismatch),
	B(valued_closed, boot_log_mismatch),
	A(systemd_firmware, boot_log_unexplained),
	A(systemd_closed, boot_log_unexplained),

	B(ima_gone, ima_missing),
	B(ima_truncated, ima_mismatch),
	B(ima_entry_added, malformed_ima_log),
	B(ima_reordered, ima_mismatch),
	B(ima_first_removed, ima_mismatch),
	B(ima_violated, ima_violation),
	B(ima_unlisted, ima_unlisted),
	B(ima_elsewhere, ima_unlisted),
	B(ima_template, ima_template),
	B(ima_stray, ima_stray),
	B(ima_kexec, kexec),
	B(ima_other_boot, ima_aggregate),
	B(ima_empty, ima_no_policy),
	B(ima_without_daemon, ima_no_daemon),
	B(ima_padded, ima_padded),
	A(measured_by_root, ima_aggregate),
	A(measured_by_root_unquoted, quote_selection),
	B(measured_by_root_sha1, ima_aggregate),
	B(measured_by_root_sha512, ima_aggregate),
	B(ima_file_aggregate, ima_unlisted),
	B(ima_relabelled, ima_template),
	B(ima_other_algorithm, ima_unlisted),
	B(ima_no_algorithm, ima_unlisted),
	B(ima_algorithm_cut, malformed_ima_log),
	B(ima_digest_long, malformed_ima_log),
	B(ima_digest_short, malformed_ima_log),
	B(ima_kind_unknown, malformed_ima_log),
	B(ima_path_of_two, malformed_ima_log),
	B(ima_path_open, malformed_ima_log),
	B(ima_field_too_many, malformed_ima_log),
	B(ima_field_missing, malformed_ima_log),
	B(ima_second_digest, ima_template),
	B(ima_name_first, ima_template),
	B(ima_told_as_old, malformed_ima_log),
	B(ima_buffer_told, ima_unlisted),
	B(ima_violation_hidden, ima_mismatch),
	B(ima_violation_claimed, ima_mismatch),
	B(ima_daemon_violated, ima_no_daemon),
	B(ima_daemon_in_tail, ima_no_daemon),
	B(ima_entry_twice, ima_mismatch),
	B(ima_other_order, malformed_ima_log),
	B(ima_pcr_beyond, malformed_ima_log),
	B(ima_no_template, malformed_ima_log),
	B(ima_template_long, malformed_ima_log),
	B(ima_data_long, malformed_ima_log),
	B(ima_bank_other, ima_mismatch),
	B(ima_aggregate_uncompared, ima_unlisted),

	B(daemon_other, daemon_digest),
	B(configuration_other, configuration_digest),
	B(bpf_other, bpf_digest),
	B(bpf_missing, bpf_digest),
	B(agent_other, agent_unknown),
	B(agent_not_here, agent_not_on_host),
	B(tier_too_low, tier),
	B(tier_boot_none, tier),
	B(tier_of_software, tier),
	B(state_other, hash_state),
	B(state_unknown, malformed_claims),
	B(executable_offered, malformed_claims),
	B(claimed_with_digest, malformed_claims),
	B(claimed_with_unproven_digest, malformed_claims),
	B(unproven_as_measurement, malformed_claims),
	B(unproven_beside_proven, malformed_claims),
	B(manifest_unproven, malformed_claims),
	B(daemon_unproven, malformed_host_claims),
	B(executable_unproven, hash_state),
	B(loader_unproven, hash_state),
	B(loader_unproven_beside_any, hash_state),
	B(ancestor_unproven, hash_state),
	B(unproven_other, executable_digest),
	B(unproven_unread, executable_digest),
	{"unproven_called_observed", executable_unproven, called_observed, VERIFY_quote_extra},
	B(script_unproven, hash_state),
	B(script_too_late, hash_state),
	B(executable_claimed, hash_state),
	B(claimed_beside_any, hash_state),
	B(claimed_beside_digests, executable_digest),
	B(ancestor_claimed, hash_state),
	B(argument_other, argument_digest),
	B(argument_gone, argument_digest),
	B(script_gone, script_digest),
	B(executable_other, executable_digest),
	B(executable_gone, executable_digest),
	B(loader_other, loader_digest),
	B(script_unnamed, script_digest),
	B(interpreter_unnamed, interpreter_digest),
	B(ancestor_other, ancestor_digest),
	B(ancestors_cut, ancestor_digest),
	B(ancestor_without_files, ancestor_digest),
	B(manifest_other, manifest_digest),
	B(manifest_gone, manifest_digest),
	B(programs_other, programs_root),
	B(variable_set, environment),
	B(variable_other, environment),
	B(variable_of_tomorrow, environment),
	B(variable_of_ancestor, environment),
	B(environment_cut, environment),
	B(environment_cut_of_ancestor, environment),
	B(isolation_none, isolation),
	B(isolation_unknown, isolation),
	B(custody_other, key_custody),
	B(late, late_session),
	B(folded, folded_session),
	B(asserted, principal_asserted),
	B(principal_gone, principal_missing),
	B(task_gone, task_missing),

	B(version_as_text, malformed_claims),
	B(version_without_scheme, malformed_claims),
	B(version_scheme_named, malformed_claims),
	B(version_scheme_other, malformed_claims),
	B(version_of_three, malformed_claims),
	B(version_as_number, malformed_claims),
	B(entry_by_media_type, malformed_claims),
	B(entry_as_object, malformed_claims),
	B(entry_in_cbor, malformed_claims),
	B(entry_format_as_text, malformed_claims),
	B(entry_format_broken, malformed_claims),
	B(measured_as_file, malformed_claims),
	B(file_as_measured, malformed_claims),
	B(verity_as_measured, malformed_claims),
	B(verity_without_digest, malformed_claims),
	B(entry_of_three, malformed_claims),
	B(entry_of_one, malformed_claims),
	B(entry_as_map, malformed_claims),
	B(body_no_json, malformed_claims),
	B(body_with_tail, malformed_claims),
	B(body_as_list, malformed_claims),
	B(body_nested, malformed_claims),
	B(body_too_long, malformed_claims),
	B(measurement_doubled, malformed_claims),
	B(flags_doubled, malformed_claims),
	B(id_doubled, malformed_claims),
	B(authorities_named, malformed_claims),
	B(measurement_raw, malformed_claims),
	B(measurement_raw_too, malformed_claims),
	B(measurement_old_name, malformed_claims),
	B(measurement_missing, malformed_claims),
	B(algorithm_by_name, malformed_claims),
	B(algorithm_of_cose, malformed_claims),
	B(algorithm_cut, malformed_claims),
	B(algorithm_sha512, malformed_claims),
	B(digest_short, malformed_claims),
	B(digest_padded, malformed_claims),
	B(measurement_of_three, malformed_claims),
	B(measurement_as_text, malformed_claims),
	B(flags_missing, malformed_claims),
	B(flags_short, malformed_claims),
	B(flags_reserved, malformed_claims),
	B(flags_as_number, malformed_claims),
	B(flags_stray_bits, malformed_claims),
	B(role_none, malformed_claims),
	B(role_of_hosts, malformed_claims),
	B(role_of_workloads, malformed_host_claims),
	B(state_none, malformed_claims),
	B(id_with_version, malformed_claims),
	B(id_as_text, malformed_claims),
	B(path_empty, malformed_claims),
	B(path_with_nul, malformed_claims),
	B(roots_under_eats_name, malformed_claims),
	A(state_on_the_way, quote_extra),
	B(host_by_other_registry, malformed_claims),
	B(host_by_number, malformed_claims),
	B(host_by_sha1, malformed_claims),
	B(host_by_half, malformed_claims),
	B(host_as_token, malformed_claims),
	B(host_as_bundle, malformed_claims),
	B(host_without_selector, malformed_claims),
	B(host_flat, malformed_claims),
	B(host_attached, malformed_claims),
	B(host_digest_long, malformed_claims),
	B(host_without_profile, malformed_host_claims),
	B(host_of_other_profile, malformed_host_claims),
	B(profile_of_host, malformed_claims),
	B(host_entry_by_media_type, malformed_host_claims),
	B(host_digest_doubled, malformed_host_claims),

	A(unknown_host, host_evidence_needed),
	A(kept_by_other_policy, host_evidence_needed),
	A(kept_too_long, host_evidence_needed),
	A(kept_of_other, host_evidence_needed),
	A(measured_since, host_evidence_needed),
	A(boot_pcr_moved, host_evidence_needed),
	A(more_pcrs, host_evidence_needed),
	A(started_anew, host_evidence_needed),
	A(host_says_more, host_evidence_needed),
	A(entries_missing, host_evidence_needed),
	B(beginning_unknown, host_evidence_needed),
	A(rolled_back, clock_reset_backwards),
	A(restarts_back, clock_backwards),
	A(clock_back, clock_backwards),
	A(tpm_reset, tpm_reset),
	A(kexeced, kexec),
	A(firmware_moved, firmware_changed),
	A(unlisted_since, ima_unlisted),

	FORGERIES_OF_FORM,
	FORGERIES_OF_RELAYS,
	POLICY_FORGERIES,
};

#define COUNT (sizeof(forgeries) / sizeof(*forgeries))

static void test_forgery(void **state)
{
	const struct forgery *c = *state;
	struct verify_result *r;

	forge_begin(&f);
	if (c->before)
		c->before();
	forge_build(&f);
	if (c->after)
		c->after();
	r = forge_verify(&f);
	if (r->code != c->code)
		fail_msg("%s: %s (%s), not %s", c->name, verify_code_name(r->code),
			 verify_reason(r), verify_code_name(c->code));
	assert_int_equal(r->verdict, c->code <= VERIFY_host_evidence_needed ? AFFIANT_UNDECIDED
									    : AFFIANT_REFUSED);
	assert_true(*verify_reason(r));
	verify_result_free(r);
	forge_end(&f);
	forge_end(&second);
}

/* The aggregate of another bank is as good, where it is that of the log. */
static void test_other_bank(void **state)
{
	struct verify_result *r;

	(void)state;
	forge_begin(&f);
	aggregate_of_sha1(NULL);
	forge_build(&f);
	r = forge_verify(&f);
	if (r->code)
		fail_msg("%s: %s", verify_code_name(r->code), verify_reason(r));
	verify_result_free(r);
	forge_end(&f);
}

/* Every reason is shown by a forgery. */
static void test_complete(void **state)
{
	bool seen[VERIFY_CODES_END] = {[VERIFY_NONE] = true};

	(void)state;
	for (size_t i = 0; i < COUNT; i++)
		seen[forgeries[i].code] = true;
	for (size_t i = 0; i < VERIFY_CODES_END; i++)
		if (!seen[i])
			fail_msg("%s: no forgery shows it", verify_code_name(i));
}

int main(void)
{
	struct CMUnitTest tests[COUNT + 2];

	for (size_t i = 0; i < COUNT; i++)
		tests[i] = (struct CMUnitTest){
			.name = forgeries[i].name,
			.test_func = test_forgery,
			.initial_state = (void *)&forgeries[i],
		};
	tests[COUNT] = (struct CMUnitTest)cmocka_unit_test(test_complete);
	tests[COUNT + 1] = (struct CMUnitTest)cmocka_unit_test(test_other_bank);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
