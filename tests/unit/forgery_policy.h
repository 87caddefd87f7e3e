/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forgery_policy: what a policy asks for and the claims have in name alone, what an empty policy
 * must not let through, and certificates that are not what they are shown as. For test_forgery.c.
 */
#pragma once

#include "forgery_agent.h"

/* ---- a task, a principal ---- */

static void task(json_t *value)
{
	set(workload(), "task", value);
	f.agents[0].require_task = true;
}
static void task_empty(void)
{
	task(json_object());
}
static void task_of_purpose(void)
{
	task(json_pack("{ss}", "purpose", "whatever it likes"));
}
static void task_of_end(void)
{
	task(json_pack("{sI}", "expires", (json_int_t)FORGE_NOW + 86400));
}
static void task_of_scope(void)
{
	task(json_pack("{s[s]}", "scope", "everything"));
}
static void task_blank(void)
{
	task(json_pack("{ss}", "id", "  "));
}
static void task_without_name(void)
{
	task(json_pack("{ss}", "id", ""));
}
static void task_null(void)
{
	task(json_null());
}
static void task_list(void)
{
	task(json_pack("[s]", "T-1042"));
}
static void task_scope_empty(void)
{
	task(json_pack("{sss[]}", "id", "T-1", "scope"));
}
static void task_ended(void)
{
	task(json_pack("{sssI}", "id", "T-1", "expires", (json_int_t)FORGE_NOW - 1));
}
static void principal(json_t *value)
{
	set(workload(), "principal", value);
	f.agents[0].require_principal = true;
}
static void principal_blank(void)
{
	principal(json_pack("{ssss}", "subject", " ", "assurance", "asserted"));
}
static void principal_without_name(void)
{
	principal(json_pack("{ssss}", "subject", "", "assurance", "asserted"));
}
static void principal_empty(void)
{
	principal(json_object());
}
static void principal_verified(void)
{
	principal(json_pack("{ssss}", "subject", "alice", "assurance", "verified"));
}

/* ---- the session ---- */

static void untagged(void)
{
	set(workload(), "untagged_children", json_true());
}
static void untagged_no(void)
{
	set(workload(), "untagged_children", json_false());
}
static void folded_no(void)
{
	set(workload(), "folded", json_false());
}
static void lost(json_t *value, uint64_t most)
{
	set(workload(), "lost", value);
	f.agents[0].max_lost = most;
}
static void lost_one(void)
{
	lost(json_integer(1), 0);
}
static void lost_more(void)
{
	lost(json_integer(18), 17);
}
static void lost_negative(void)
{
	lost(json_integer(-1), AFFIANT_ANY_LOST);
}
static void lost_text(void)
{
	lost(json_string("0"), AFFIANT_ANY_LOST);
}
static void lost_gone(void)
{
	json_object_del(workload(), "lost");
}
static void isolation_by_user(void)
{
	f.agents[0].isolations = 1u << AFFIANT_VERIFY_UID;
}
static void isolation_other_case(void)
{
	set(workload(), "isolation", json_string("Landlock"));
}
static void isolation_of_enum(void)
{
	set(workload(), "isolation", json_string("ISOLATION_LANDLOCK"));
}
static void isolation_gone(void)
{
	json_object_del(workload(), "isolation");
}
static void custody_of_daemon(void)
{
	set(f.payload, "key_custody", json_string("daemon"));
	f.agents[0].custodies = 1u << AFFIANT_OF_PROCESS;
}
static void custody_both(void)
{
	set(f.payload, "key_custody", json_pack("[ss]", "process", "daemon"));
}
static void environment_of_none(void)
{
	set(json_object_get(workload(), "process"), "environment", json_array());
}
static void late_unsaid(void)
{
	json_object_del(json_object_get(workload(), "session"), "late");
}
static void programs_beyond(void)
{
	static struct affiant_digest root;
	json_t *programs = json_object_get(workload(), "programs");
	const char *text = json_string_value(json_object_get(programs, "root"));

	assert_int_equal(base64url_decode_exact(text, strlen(text), root.sha256, 32), 0);
	f.agents[0].programs = (struct affiant_digests){.list = &root, .count = 1};
	set(programs, "cut", json_true());
}
static void kernel_state_alone(void)
{
	f.agents[0].states = AFFIANT_STATE_KERNEL;
}

/* ---- a policy that names nothing ---- */

static const struct affiant_digests nothing;

static void no_executables(void)
{
	f.agents[0].executables = nothing;
}
static void no_arguments(void)
{
	f.agents[0].arguments = nothing;
}
static void no_loaders(void)
{
	f.agents[0].loaders = nothing;
}
static void no_ancestors(void)
{
	f.agents[0].ancestors = nothing;
}
static void no_manifests(void)
{
	f.agents[0].manifests = nothing;
}
static void no_programs(void)
{
	f.agents[0].programs = nothing;
}
static void no_kernels(void)
{
	f.policy.boot.kernels = nothing;
}
static void no_firmware(void)
{
	f.policy.any_firmware = false;
}
static void no_daemons(void)
{
	f.policy.daemon.executables = nothing;
	f.policy.ima.not_required = true;
	f.agents[0].minimum = AFFIANT_BOOT_STATE;
}
static void no_configurations(void)
{
	f.policy.daemon.configurations = nothing;
}
static void no_bpf(void)
{
	f.policy.daemon.bpf = nothing;
}
static void no_agents(void)
{
	f.policy.agents_count = 0;
}
static void no_makers(void)
{
	f.policy.tpm_roots_count = 0;
}
static void no_enrolment(void)
{
	f.policy.ak_roots_count = 0;
}
static void no_files(void)
{
	f.policy.ima.allowed_count = 0;
}
static void no_minimum(void)
{
	f.agents[0].minimum = AFFIANT_UNATTESTED;
	f.policy.ima.not_required = true;
}
static void no_skew(void)
{
	f.policy.skew = 0;
	f.now = json_integer_value(json_object_get(f.payload, "iat")) - 1;
}
static void no_skew_at_the_end(void)
{
	f.policy.skew = 0;
	f.now = json_integer_value(json_object_get(f.payload, "exp"));
}

/* ---- certificates ---- */

static X509 *of_pem(const char *pem)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);

	assert_non_null(x);
	BIO_free(b);
	return x;
}

/* As @pem, its constraints and key usage exchanged (NULL: gone), signed by @a. */
static void reissue(char *pem, const struct authority *a, long version, const char *constraints,
		    const char *usage)
{
	const int kinds[] = {NID_basic_constraints, NID_key_usage};
	const char *const values[] = {constraints, usage};
	X509 *x = of_pem(pem);
	X509V3_CTX c;

	X509V3_set_ctx(&c, a->certificate, x, NULL, NULL, 0);
	X509_set_version(x, version);
	while (version == X509_VERSION_1 && X509_get_ext_count(x))
		X509_EXTENSION_free(X509_delete_ext(x, 0));
	for (size_t i = 0; version != X509_VERSION_1 && i < 2; i++) {
		const int at = X509_get_ext_by_NID(x, kinds[i], -1);
		X509_EXTENSION *e;

		if (at >= 0)
			X509_EXTENSION_free(X509_delete_ext(x, at));
		if (!values[i])
			continue;
		e = X509V3_EXT_conf_nid(NULL, &c, kinds[i], values[i]);
		assert_int_equal(X509_add_ext(x, e, -1), 1);
		X509_EXTENSION_free(e);
	}
	assert_true(X509_sign(x, a->key, EVP_sha256()) > 0);
	put_pem(x, pem, 4096);
	X509_free(x);
}

static void put_chain(const char *name, const char *first, const char *second)
{
	char *text = NULL, *encoded;

	assert_true(asprintf(&text, "%s%s", first, second) >= 0);
	encoded = base64url_new(text, strlen(text));
	json_array_set_new(json_object_get(f.host, name), 1, json_string(encoded));
	free(encoded);
	free(text);
}

static void ak_certificate(long version, const char *constraints, const char *usage)
{
	reissue(f.ak_pem, &f.ak_ca, version, constraints, usage);
	put_chain("ak_chain", f.ak_pem, "");
}

static void ek_certificate_of(long version, const char *constraints, const char *usage)
{
	reissue(f.ek_pem, &f.tpm_ca, version, constraints, usage);
	put_chain("ek_chain", f.ek_pem, "");
}

#define AK_USAGE "critical,digitalSignature"
#define EK_USAGE "critical,keyAgreement"

static void ak_is_ca(void)
{
	ak_certificate(X509_VERSION_3, "critical,CA:TRUE", AK_USAGE);
}
static void ak_is_ca_that_signs(void)
{
	ak_certificate(X509_VERSION_3, "critical,CA:TRUE", AK_USAGE ",keyCertSign");
}
static void ak_has_path_length(void)
{
	ak_certificate(X509_VERSION_3, "critical,CA:FALSE,pathlen:0", AK_USAGE);
}
static void ak_without_constraints(void)
{
	ak_certificate(X509_VERSION_3, NULL, AK_USAGE);
}
static void ak_without_usage(void)
{
	ak_certificate(X509_VERSION_3, "critical,CA:FALSE", NULL);
}
static void ak_signs_lists(void)
{
	ak_certificate(X509_VERSION_3, "critical,CA:FALSE", AK_USAGE ",cRLSign");
}
static void ak_of_version_1(void)
{
	ak_certificate(X509_VERSION_1, NULL, NULL);
}
static void ek_is_ca(void)
{
	ek_certificate_of(X509_VERSION_3, "critical,CA:TRUE", EK_USAGE);
}
static void ek_is_ca_of_length(void)
{
	ek_certificate_of(X509_VERSION_3, "critical,CA:TRUE,pathlen:0", NULL);
}
static void ek_signs_certificates(void)
{
	ek_certificate_of(X509_VERSION_3, NULL, EK_USAGE ",keyCertSign");
}
static void ek_signs_data(void)
{
	ek_certificate_of(X509_VERSION_3, "critical,CA:FALSE", "critical,digitalSignature");
}
static void ek_of_version_1(void)
{
	ek_certificate_of(X509_VERSION_1, NULL, NULL);
}
/* Whom one store trusts, the other does not. */
static void ak_by_maker(void)
{
	reissue(f.ak_pem, &f.tpm_ca, X509_VERSION_3, "critical,CA:FALSE", AK_USAGE);
	put_chain("ak_chain", f.ak_pem, f.tpm_root);
}
static void ek_by_enrolment(void)
{
	reissue(f.ek_pem, &f.ak_ca, X509_VERSION_3, "critical,CA:FALSE", EK_USAGE);
	put_chain("ek_chain", f.ek_pem, f.ak_root);
}
static void chains_swapped(void)
{
	put_chain("ek_chain", f.ak_pem, "");
	put_chain("ak_chain", f.ek_pem, "");
}
static void ak_ca_first(void)
{
	put_chain("ak_chain", f.ak_root, f.ak_pem);
}
/* Enrolled hosts certify no others. */
static void ak_by_another(void)
{
	struct authority other = {};
	char pem[4096];

	strcpy(pem, f.ak_pem);
	other.certificate = of_pem(f.ak_pem);
	other.key = f.ak_key;
	reissue(pem, &other, X509_VERSION_3, "critical,CA:FALSE", AK_USAGE);
	X509_free(other.certificate);
	put_chain("ak_chain", pem, f.ak_pem);
}
static void ak_chain_empty(void)
{
	put_chain("ak_chain", "", "");
}
static void ak_chain_long(void)
{
	char text[9 * 2048] = "";

	for (size_t i = 0; i < 9; i++)
		strcat(text, f.ak_pem);
	put_chain("ak_chain", text, "");
}
static void ak_chain_key(void)
{
	put_chain("ak_chain", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		  f.ak_pem);
}

/* clang-format off */
#define POLICY_FORGERIES \
	B(task_empty, task_missing), \
	B(task_of_purpose, task_missing), \
	B(task_of_end, task_missing), \
	B(task_of_scope, task_missing), \
	B(task_blank, task_missing), \
	B(task_without_name, malformed_claims), \
	B(task_null, malformed_claims), \
	B(task_list, malformed_claims), \
	B(task_scope_empty, malformed_claims), \
	B(task_ended, malformed_claims), \
	B(principal_blank, principal_missing), \
	B(principal_without_name, malformed_claims), \
	B(principal_empty, malformed_claims), \
	B(principal_verified, malformed_claims), \
	B(untagged, untagged_children), \
	B(untagged_no, malformed_claims), \
	B(folded_no, malformed_claims), \
	B(lost_one, events_lost), \
	B(lost_more, events_lost), \
	B(lost_negative, malformed_claims), \
	B(lost_text, malformed_claims), \
	B(lost_gone, malformed_claims), \
	B(isolation_by_user, isolation), \
	B(isolation_other_case, malformed_claims), \
	B(isolation_of_enum, malformed_claims), \
	B(isolation_gone, malformed_claims), \
	B(custody_of_daemon, key_custody), \
	B(custody_both, malformed_claims), \
	B(environment_of_none, malformed_claims), \
	B(late_unsaid, malformed_claims), \
	B(programs_beyond, programs_root), \
	B(kernel_state_alone, hash_state), \
	B(no_executables, executable_digest), \
	B(no_arguments, argument_digest), \
	B(no_loaders, loader_digest), \
	B(no_ancestors, ancestor_digest), \
	B(no_manifests, manifest_digest), \
	B(no_programs, programs_root), \
	B(no_kernels, kernel_unknown), \
	B(no_firmware, firmware), \
	B(no_daemons, daemon_digest), \
	B(no_configurations, configuration_digest), \
	B(no_bpf, bpf_digest), \
	B(no_agents, agent_unknown), \
	B(no_makers, ek_chain), \
	B(no_enrolment, ak_chain), \
	B(no_files, ima_unlisted), \
	B(no_minimum, tier), \
	A(no_skew, not_yet_valid), \
	A(no_skew_at_the_end, expired), \
	A(ak_is_ca, ak_chain), \
	A(ak_is_ca_that_signs, ak_chain), \
	A(ak_has_path_length, ak_chain), \
	A(ak_without_constraints, ak_chain), \
	A(ak_without_usage, ak_chain), \
	A(ak_signs_lists, ak_chain), \
	A(ak_of_version_1, ak_chain), \
	A(ek_is_ca, ek_chain), \
	A(ek_is_ca_of_length, ek_chain), \
	A(ek_signs_certificates, ek_chain), \
	A(ek_signs_data, ek_chain), \
	A(ek_of_version_1, ek_chain), \
	A(ak_by_maker, ak_chain), \
	A(ek_by_enrolment, ek_chain), \
	A(chains_swapped, ek_chain), \
	A(ak_ca_first, ak_chain), \
	A(ak_by_another, ak_chain), \
	A(ak_chain_empty, malformed_host), \
	A(ak_chain_long, malformed_host), \
	A(ak_chain_key, malformed_host)
/* clang-format on */
