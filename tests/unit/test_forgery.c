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

#include "forge.h"

static struct forge f;

/* ---- ways to change it ---- */

static void set(json_t *o, const char *name, json_t *value)
{
	assert_non_null(o);
	assert_int_equal(json_object_set_new(o, name, value), 0);
}

static json_t *workload(void)
{
	return at(f.payload, "submods", "workload");
}

/* The measured component of file @i. */
static json_t *file(json_t *measurements, size_t i)
{
	return json_array_get(json_array_get(measurements, i), 1);
}

static void other_digest(json_t *measurements, size_t i)
{
	json_t *o = file(measurements, i);

	set(o, "measurement",
	    json_pack("[ss]", "sha-256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
}

/* A member of the collection, or of its host evidence. */
static struct bytes member(json_t *o, const char *name)
{
	const char *text = json_string_value(json_array_get(json_object_get(o, name), 1));
	struct bytes b = {};

	assert_int_equal(base64url_decode(text, strlen(text), b.data, sizeof(b.data), &b.len), 0);
	return b;
}

static void replace(json_t *o, const char *name, const struct bytes *b)
{
	char *text = base64url_new(b->data, b->len);

	assert_int_equal(json_array_set_new(json_object_get(o, name), 1, json_string(text)), 0);
	free(text);
}

static void append(json_t *o, const char *name)
{
	struct bytes b = member(o, name);

	add(&b, "", 1);
	replace(o, name, &b);
}

static void flip(json_t *o, const char *name, size_t byte)
{
	struct bytes b = member(o, name);

	b.data[byte] ^= 1;
	replace(o, name, &b);
}

/* A token of the attacker's own, in place of the genuine one. */
static void sign_anew(EVP_PKEY *key)
{
	char *input, *token;

	assert_int_equal(jose_signing_input(f.header, f.payload, &input), 0);
	assert_int_equal(jose_jws(key, input, &token), 0);
	free(f.token);
	free(input);
	f.token = token;
	forge_wrap(&f);
}

static void as_text(void)
{
	f.text = json_dumps(f.collection, JSON_COMPACT);
	json_decref(f.collection);
	f.collection = NULL;
}

/* ---- format ---- */

static void not_json(void)
{
	as_text();
	f.text[0] = '[';
}

static void doubled_member(void)
{
	char *text;

	as_text();
	assert_true(asprintf(&text, "%.*s,\"eat\":[]}", (int)strlen(f.text) - 1, f.text) > 0);
	free(f.text);
	f.text = text;
}

static void tail_of_json(void)
{
	char *text;

	as_text();
	assert_true(asprintf(&text, "%s{}", f.text) > 0);
	free(f.text);
	f.text = text;
}

static void nested_json(void)
{
	as_text();
	free(f.text);
	f.text = calloc(1, 200001);
	memset(f.text, '[', 100000);
	memset(f.text + 100000, ']', 100000);
}

static void token_garbage(void)
{
	replace(f.collection, "eat", &(struct bytes){"e30.e30.e30", 11});
}
static void systemd_garbage(void)
{
	put_member(f.host, "systemd_log", CMW_JSON_SEQ, "x", 1);
}
static void unknown_member(void)
{
	set(f.collection, "policy", json_pack("[ssi]", "text/plain", "AA", 4));
}
static void missing_quote(void)
{
	json_object_del(f.collection, "quote");
}
static void other_type(void)
{
	set(f.collection, "__cmwc_t", json_string(CMW_TYPE_HOST));
}
static void padded_base64(void)
{
	json_array_set_new(json_object_get(f.collection, "quote"), 1, json_string("AA=="));
}
static void quote_tail(void)
{
	append(f.collection, "quote");
}
static void signature_tail(void)
{
	append(f.collection, "signature");
}
static void pcrs_tail(void)
{
	append(f.collection, "pcrs");
}
static void path_tail(void)
{
	append(f.collection, "path");
}
static void ek_tail(void)
{
	append(f.host, "ek_public");
}
static void ak_tail(void)
{
	append(f.host, "ak_public");
}
static void boot_log_tail(void)
{
	append(f.host, "boot_log");
}
static void host_member_missing(void)
{
	json_object_del(f.host, "claims");
}
static void range_without_list(void)
{
	json_object_del(f.host, "ima_log");
}
static void claim_missing(void)
{
	json_object_del(f.payload, "cnf");
}
static void two_nonces(void)
{
	set(f.payload, "eat_nonce", json_pack("[ss]", FORGE_NONCE, "another-nonce"));
}
static void host_claim_missing(void)
{
	json_object_del(f.host_claims, "lockdown");
}

/* A selection of four bytes: PCRs behind 23 that nobody looks at. */
static void wide_selection(void)
{
	struct bytes b = member(f.collection, "quote");
	struct bytes wide = {};
	size_t head = b.len - 34 - 3;

	add(&wide, b.data, head - 1);
	add_be(&wide, 4, 1);
	add(&wide, b.data + head, 3);
	add_be(&wide, 0, 1);
	add(&wide, b.data + b.len - 34, 34);
	replace(f.collection, "quote", &wide);
}

/* ---- token ---- */

static void header_is(json_t *header)
{
	f.header = header;
	f.keep_header = true;
}

static json_t *own_jwk(void)
{
	return jose_jwk(f.evidence_key, false);
}

static void algorithm_none(void)
{
	header_is(json_pack("{ssssso}", "alg", "none", "typ", "eat+jwt", "jwk", own_jwk()));
}
static void algorithm_hmac(void)
{
	header_is(json_pack("{ssssso}", "alg", "HS256", "typ", "eat+jwt", "jwk", own_jwk()));
}
static void type_other(void)
{
	header_is(json_pack("{ssssso}", "alg", "ES256", "typ", "JWT", "jwk", own_jwk()));
}
static void header_critical(void)
{
	header_is(json_pack("{sssssos[s]}", "alg", "ES256", "typ", "eat+jwt", "jwk", own_jwk(),
			    "crit", "exp"));
}
static void header_jku(void)
{
	header_is(json_pack("{sssssoss}", "alg", "ES256", "typ", "eat+jwt", "jwk", own_jwk(), "jku",
			    "https://example.org"));
}
static void header_private(void)
{
	header_is(json_pack("{ssssso}", "alg", "ES256", "typ", "eat+jwt", "jwk",
			    jose_jwk(f.evidence_key, true)));
}

static void algorithm_longer(void)
{
	EVP_PKEY_free(f.evidence_key);
	f.evidence_key = EVP_EC_gen("P-384");
}

static void kid_other(void)
{
	f.keep_kid = true;
}

/* The genuine claims, signed by a key of the attacker's, who names it. */
static void token_resigned(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char kid[JOSE_THUMBPRINT_SIZE];

	jose_thumbprint(key, kid);
	set(f.payload, "kid", json_string(kid));
	set(f.header, "jwk", jose_jwk(key, false));
	sign_anew(key);
	EVP_PKEY_free(key);
}

static void token_signature_other(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	sign_anew(key);
	EVP_PKEY_free(key);
}

static void claims_changed(void)
{
	set(workload(), "lost", json_integer(1));
	sign_anew(f.evidence_key);
}

static void nonce_other(void)
{
	f.nonce = "bZ4vQ0h8T2a9Yc1LrB7uXw";
}
static void nonce_prefix(void)
{
	f.nonce = "mZ4vQ0h8T2a9Yc1LrB7uX";
}
static void audience_other(void)
{
	f.audience = "https://sts.example.org/tokens";
}
static void expired(void)
{
	f.now = 1793600305;
	f.policy.max_age = 3600;
}
static void not_yet(void)
{
	f.now = 1793599990;
}
static void too_old(void)
{
	f.policy.max_age = 60;
	f.now = 1793600070;
}

/* ---- identity ---- */

static void host_other(void)
{
	f.hosts[0].ueid[9] ^= 1;
}
static void no_hosts(void)
{
	f.policy.hosts_count = 0;
}
static void ueid_other(void)
{
	set(f.payload, "ueid", json_string("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"));
	f.keep_ueid = true;
}
static void ek_signs(void)
{
	f.ek_attributes = EK_ATTRIBUTES | TPM2_SIGN;
}
static void ek_imported(void)
{
	f.ek_attributes = EK_ATTRIBUTES & ~TPM2_FIXED_TPM;
}
static void ek_other_ca(void)
{
	f.ek_by_other_ca = true;
}
static void ek_no_chain(void)
{
	f.no_ek_chain = true;
}
static void ek_expired(void)
{
	f.certificates_until = FORGE_NOW - 1;
}
static void software(void)
{
	f.maker = "id:00001014";
}
static void software_root(void)
{
	f.tpm_pem.software = true;
}
static void unknown_ek_software(void)
{
	f.hosts[0].no_ek_certificate = true;
}
static void ak_unrestricted(void)
{
	f.kind.attributes &= ~TPM2_RESTRICTED;
}
static void ak_imported(void)
{
	f.kind.attributes &= ~TPM2_SENSITIVE_DATA_ORIGIN;
}
static void ak_movable(void)
{
	f.kind.attributes &= ~TPM2_FIXED_PARENT;
}
static void ak_decrypts(void)
{
	f.kind.attributes |= TPM2_DECRYPT;
}
static void ak_any_scheme(void)
{
	f.kind.scheme = TPM2_NULL;
	f.scheme = TPM2_ECDSA;
}
static void ak_other_ca(void)
{
	f.ak_by_other_ca = true;
}
static void ak_no_chain(void)
{
	f.no_ak_chain = true;
}
static void ak_enrolled_elsewhere(void)
{
	f.ak_of_other_ek = true;
}

/* ---- quote ---- */

static void scheme_other(void)
{
	f.hash = TPM2_SHA384;
}
static void key_outside(void)
{
	f.signer = EVP_EC_gen("P-256");
}
static void quote_flipped(void)
{
	flip(f.collection, "quote", 60);
}
static void magic_other(void)
{
	f.magic = 0xff544348;
}
static void nv_certified(void)
{
	f.type = TPM2_ST_ATTEST_NV;
}
static void time_certified(void)
{
	f.type = 0x8019;
}
static void owner_hierarchy(void)
{
	f.hierarchy = TPM2_RH_OWNER;
}
static void ledger_quote(void)
{
	f.domain = BATCH_LEDGER;
}

/* Claims of another evidence of the same batch. */
static void claims_swapped(void)
{
	struct bytes path = member(f.collection, "path");

	path.data[7] = 2;
	replace(f.collection, "path", &path);
}

static void path_of_other_leaf(void)
{
	uint8_t other[BATCH_PATH_SIZE_MAX];
	struct sha256 leaves[5] = {};
	struct bytes path = {};
	struct batch *b;

	for (size_t i = 0; i < 5; i++)
		leaves[i] = (struct sha256){{i + 1}};
	leaves[3] = f.leaf;
	assert_int_equal(batch_new(leaves, 5, &b), 0);
	add(&path, other, batch_path(b, 2, other));
	batch_free(b);
	replace(f.collection, "path", &path);
}

/* A node of the tree as a leaf of a smaller one. */
static void node_as_leaf(void)
{
	struct bytes path = {};

	add_be(&path, 1, 8);
	add_be(&path, 2, 8);
	add(&path, member(f.collection, "path").data + 16 + 32, 32);
	replace(f.collection, "path", &path);
}

static void batch_too_large(void)
{
	struct bytes path = member(f.collection, "path");

	path.data[14] = 0xff;
	replace(f.collection, "path", &path);
}

static void path_shorter(void)
{
	struct bytes path = member(f.collection, "path");

	path.len -= 32;
	replace(f.collection, "path", &path);
}

static void selection_none(void)
{
	f.pcrs = 0;
}
static void selection_twice(void)
{
	f.selections[0] = f.selections[1] = (struct tpm2_selection){TPM2_SHA256, FORGE_PCRS};
	f.selections_count = 2;
}
static void selection_without_boot(void)
{
	f.pcrs = 0x7fe;
}
static void selection_without_ima(void)
{
	f.pcrs = 0x3ff;
}
static void selection_resettable(void)
{
	f.pcrs |= 1 << 23;
}
static void bank_sha1(void)
{
	pcr_bank_init(&f.bank, TPM2_SHA1);
	f.selections[0] = (struct tpm2_selection){TPM2_SHA1, FORGE_PCRS};
	f.selections_count = 1;
}

static void pcr_flipped(void)
{
	flip(f.collection, "pcrs", 7 * 32);
}

static void pcrs_swapped(void)
{
	struct bytes b = member(f.collection, "pcrs"), old = b;

	memcpy(b.data, old.data + 32, 32);
	memcpy(b.data + 32, old.data, 32);
	replace(f.collection, "pcrs", &b);
}

static struct affiant_pcr_rule pcr_rule;
static void pcr_value_other(void)
{
	pcr_rule = (struct affiant_pcr_rule){.pcr = 7, .values = {.list = f.digests, .count = 1}};
	f.policy.boot.values = &pcr_rule;
	f.policy.boot.values_count = 1;
}

static const uint64_t firmwares[] = {0x1};
static void firmware_other(void)
{
	f.policy.firmware = firmwares;
	f.policy.firmware_count = 1;
}

/* ---- host ---- */

static void host_claims_other(void)
{
	set(f.host_claims, "kernel", json_string("5.0"));
	f.keep_host_digest = true;
}
static void host_id_other(void)
{
	set(f.host_claims, "host_id", json_string("00000000000000000000000000000000"));
}
static void ak_claimed_other(void)
{
	f.keep_ak = true;
}

static void zero_bank(void)
{
	pcr_bank_init(&f.bank, TPM2_SHA256);
}

static void boot_log_gone(void)
{
	f.no_boot_log = true;
}
static void boot_log_empty(void)
{
	f.boot.len = 0;
}
static void boot_log_sha1(void)
{
	struct bytes b = {};

	add_be(&b, 0, 4);
	add_be(&b, 0x08000000, 4); /* EV_S_CRTM_VERSION, little-endian */
	b.len += 20;
	add_be(&b, 0, 4);
	memcpy(f.boot.data, b.data, b.len);
	f.boot.len = b.len;
}

static void boot_event_removed(void)
{
	f.boot.len = f.boot.last;
}

static void boot_event_added(void)
{
	put_text(&f.boot, 4, EV_EFI_ACTION, "Calling EFI Application from Boot Option");
}

/* What EV_NO_ACTION does not extend. */
static void boot_event_relabelled(void)
{
	const uint32_t type = htole32(EV_NO_ACTION);

	memcpy(f.boot.data + f.boot.last + 4, &type, 4);
}

static void boot_reordered(void)
{
	struct builder other = {};
	const uint8_t one = 1;

	put_header(&other);
	for (uint32_t pcr = 0; pcr < 8; pcr++)
		put_separator(&other, pcr);
	put_variable(&other, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", &one, 1);
	f.boot = other;
}

static void rebuild(const struct builder *b)
{
	f.boot = *b;
	f.ima = (struct ima_builder){};
	pcr_bank_init(&f.ima.bank, TPM2_SHA256);
	forge_aggregate(&f);
	ima_file(&f.ima, 0xb1, "/usr/bin/true");
}

static void secure_boot_off(void)
{
	struct builder b = {};

	forge_boot_log(&b, 0);
	rebuild(&b);
}

static void debugger(void)
{
	struct builder b = {};

	put_header(&b);
	put_text(&b, 7, EV_EFI_ACTION, "UEFI Debug Mode");
	b.last = b.len;
	{
		const uint8_t one = 1;

		put_variable(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", &one, 1);
		for (uint32_t pcr = 0; pcr < 8; pcr++)
			put_separator(&b, pcr);
	}
	rebuild(&b);
}

static void dma(void)
{
	const uint8_t one = 1;
	struct builder b = {};

	put_header(&b);
	put_text(&b, 7, EV_EFI_ACTION, "DMA Protection Disabled");
	put_variable(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", &one, 1);
	for (uint32_t pcr = 0; pcr < 8; pcr++)
		put_separator(&b, pcr);
	rebuild(&b);
}

/* Secure Boot said to be on behind the separator, where anybody can say so. */
static void secure_boot_late(void)
{
	const uint8_t off = 0, on = 1;
	struct builder b = {};

	put_header(&b);
	put_variable(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", &off, 1);
	for (uint32_t pcr = 0; pcr < 8; pcr++)
		put_separator(&b, pcr);
	put_variable(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", &on, 1);
	rebuild(&b);
}

static void separator_twice(void)
{
	struct builder b = {};

	forge_boot_log(&b, 1);
	put_separator(&b, 2);
	rebuild(&b);
}

static void rule_of(size_t i, uint32_t pcrs, const char *text, size_t least)
{
	static const char *texts[4];

	texts[i] = text;
	f.rules[i] =
		(struct affiant_event_rule){.pcrs = pcrs, .texts = {&texts[i], 1}, .least = least};
	f.policy.boot.rules = f.rules;
	f.policy.boot.rules_count = i + 1;
}

static void rule_unmet(void)
{
	rule_of(0, 1 << 0, "firmware 2", 1);
}

static void closed_pcr(void)
{
	rule_of(0, 1 << 8, "ro quiet", 0);
	f.policy.boot.closed = 1 << 8;
}

static void kernel_is(const char *measured)
{
	assert_int_equal(sha256_of(measured, strlen(measured), (struct sha256 *)&f.digests[15]), 0);
	f.policy.boot.kernels = (struct affiant_digests){.list = &f.digests[15], .count = 1};
}

static void kernel_unknown(void)
{
	kernel_is("another kernel");
}
/* Known, and its command line says lockdown, but in a PCR in which anything may stand. */
static void kernel_replaceable(void)
{
	kernel_is("the kernel");
}

static void ima_gone(void)
{
	f.no_ima_log = true;
}
static void ima_truncated(void)
{
	f.ima_cut = 40;
}
static void ima_entry_added(void)
{
	uint8_t quoted[TPM2_DIGEST_MAX];

	memcpy(quoted, f.ima.bank.values[10], sizeof(quoted));
	ima_file(&f.ima, 0xb1, "/usr/bin/id");
	f.ima.data[40] ^= 1; /* and the first one's digest is another */
}
static void ima_reordered(void)
{
	struct ima_builder b = {};

	pcr_bank_init(&b.bank, TPM2_SHA256);
	ima_file(&b, 0xb1, "/usr/bin/true");
	memcpy(f.ima.data + f.ima.len, b.data, b.len);
	memmove(f.ima.data + b.len, f.ima.data, f.ima.len);
	memcpy(f.ima.data, b.data, b.len);
}
static void ima_first_removed(void)
{
	size_t used;
	uint64_t n;
	struct ima_state s;
	const uint16_t alg = TPM2_SHA256;

	assert_int_equal(ima_init(&s, &alg, 1), 0);
	assert_int_equal(ima_skip(&s, f.ima.data, f.ima.len, 1, &n, &used), 0);
	f.ima_skip = used;
}
static void ima_violated(void)
{
	ima_add(&f.ima, 10, "ima-ng", f.files[0].digest, "/usr/bin/true", true);
}
static void ima_unlisted(void)
{
	ima_file(&f.ima, 0x66, "/usr/bin/true");
}
static void ima_elsewhere(void)
{
	ima_file(&f.ima, 0xb1, "/tmp/true");
}
static void ima_template(void)
{
	ima_add(&f.ima, 10, "ima-new", f.files[0].digest, "/usr/bin/true", false);
}
static void ima_stray(void)
{
	ima_add(&f.ima, 11, "ima-ng", f.files[0].digest, "/usr/bin/true", false);
	ima_file(&f.ima, 0xb1, "/usr/bin/id");
}
static void ima_kexec(void)
{
	ima_add(&f.ima, 10, "ima-ng", f.files[0].digest, "boot_aggregate", false);
}

static void ima_anew(void)
{
	f.ima = (struct ima_builder){};
	pcr_bank_init(&f.ima.bank, TPM2_SHA256);
}
static void ima_other_boot(void)
{
	ima_anew();
	ima_add(&f.ima, 10, "ima-ng", f.files[0].digest, "boot_aggregate", false);
	ima_file(&f.ima, 0xb1, "/usr/bin/true");
}
static void ima_empty(void)
{
	ima_anew();
	forge_aggregate(&f);
}
static void ima_without_daemon(void)
{
	ima_empty();
	ima_file(&f.ima, 0xb1, "/usr/bin/true");
}
static void ima_padded(void)
{
	ima_anew();
	f.ima.padded = true;
	forge_aggregate(&f);
	ima_file(&f.ima, 0xb1, "/usr/bin/true");
}

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
	set(file(files(), 1), "state", json_string("too_late"));
	json_object_del(file(files(), 1), "measurement");
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
	json_array_clear(json_object_get(workload(), "manifests"));
}
static void script_unnamed(void)
{
	set(file(files(), 1), "role", json_string("script"));
}
static void interpreter_unnamed(void)
{
	set(file(files(), 1), "role", json_string("interpreter"));
}
static void executable_gone(void)
{
	json_array_clear(json_object_get(json_object_get(workload(), "process"), "files"));
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
static void fewer_pcrs(void)
{
	keep();
	f.selections[0].pcrs &= ~(1u << 9);
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
	B(rule_unmet, boot_rule),
	B(closed_pcr, boot_event),
	B(kernel_unknown, kernel_unknown),
	B(kernel_replaceable, kernel_replaceable),

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
	B(argument_other, argument_digest),
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
	B(isolation_none, isolation),
	B(isolation_unknown, isolation),
	B(custody_other, key_custody),
	B(late, late_session),
	B(asserted, principal_asserted),
	B(principal_gone, principal_missing),
	B(task_gone, task_missing),

	A(unknown_host, host_evidence_needed),
	A(kept_by_other_policy, host_evidence_needed),
	A(kept_too_long, host_evidence_needed),
	A(kept_of_other, host_evidence_needed),
	A(measured_since, host_evidence_needed),
	A(boot_pcr_moved, host_evidence_needed),
	A(fewer_pcrs, host_evidence_needed),
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
	struct CMUnitTest tests[COUNT + 1];

	for (size_t i = 0; i < COUNT; i++)
		tests[i] = (struct CMUnitTest){
			.name = forgeries[i].name,
			.test_func = test_forgery,
			.initial_state = (void *)&forgeries[i],
		};
	tests[COUNT] = (struct CMUnitTest)cmocka_unit_test(test_complete);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
