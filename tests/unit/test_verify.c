/* SPDX-License-Identifier: Apache-2.0 */
/* Good evidence is affirmed; what is kept of a host stands for its logs, and never for a quote. */
#include "attest/verify.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "forge.h"

static struct forge f;

static void expect(struct verify_result *r, enum verify_code code, enum affiant_tier tier)
{
	if (r->code != code || r->tier != tier)
		fail_msg("%s: %s, tier %s", verify_code_name(r->code), verify_reason(r),
			 verify_tier_word(r->tier));
	assert_int_equal(r->verdict == AFFIANT_AFFIRMED, code == VERIFY_NONE);
	verify_result_free(r);
}

static void test_affirmed(void **state)
{
	struct verify_result *r;
	json_t *o;

	(void)state;
	forge_begin(&f);
	forge_build(&f);
	r = forge_verify(&f);
	assert_string_equal(r->asset, "rack 7");
	o = verify_result_json(r);
	assert_string_equal(json_string_value(json_object_get(o, "verdict")), "affirmed");
	assert_string_equal(json_string_value(at(o, "claims", "sub")), FORGE_AGENT);
	json_decref(o);
	expect(r, VERIFY_NONE, AFFIANT_RUNTIME_MEASURED);
	forge_end(&f);
}

/* AKs of other makers. */
static void test_kinds(void **state)
{
	static const struct ak_kind kinds[] = {
		{TPM2_RSA, TPM2_SHA256, TPM2_RSASSA, TPM2_SHA256, 0, AK_ATTRIBUTES},
		{TPM2_RSA, TPM2_SHA256, TPM2_RSAPSS, TPM2_SHA256, 0, AK_ATTRIBUTES},
		{TPM2_ECC, TPM2_SHA384, TPM2_ECDSA, TPM2_SHA384, TPM2_P384, AK_ATTRIBUTES},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		forge_begin(&f);
		f.kind = kinds[i];
		forge_build(&f);
		expect(forge_verify(&f), VERIFY_NONE, AFFIANT_RUNTIME_MEASURED);
		forge_end(&f);
	}
}

static void allow_software(void)
{
	f.maker = "id:00001014";
	f.policy.allow_software_tpm = true;
	f.agents[0].minimum = AFFIANT_SOFTWARE_TPM;
}

static bool says(const struct verify_result *r, const char *text)
{
	for (size_t i = 0; i < r->checks_count; i++)
		if (strstr(r->checks[i].showed, text))
			return true;
	return false;
}

/* A policy may take what is not proven, by name; it is said, and is not called proven by that. */
static void test_states(void **state)
{
	struct affiant_agent *a = &f.agents[0];
	struct verify_result *r;

	(void)state;
	forge_begin(&f);
	forge_build(&f);
	r = forge_verify(&f);
	assert_true(r->proven);
	expect(r, VERIFY_NONE, AFFIANT_RUNTIME_MEASURED);
	forge_end(&f);

	forge_begin(&f);
	forge_restate(json_object_get(f.payload, "measurements"), 1, 0, CLAIMS_UNPROVEN,
		      "unproven_measurement");
	forge_build(&f);
	r = forge_verify(&f);
	assert_non_null(strstr(verify_reason(r), "'unproven'"));
	assert_non_null(strstr(verify_reason(r), "run it as another user"));
	expect(r, VERIFY_hash_state, AFFIANT_RUNTIME_MEASURED);
	a->states = AFFIANT_STATES_PROVEN | AFFIANT_STATE_UNPROVEN;
	r = forge_verify(&f);
	assert_false(r->proven);
	assert_true(says(r, "the executable is 'unproven'"));
	expect(r, VERIFY_NONE, AFFIANT_RUNTIME_MEASURED);
	a->states = AFFIANT_STATE_UNPROVEN;
	expect(forge_verify(&f), VERIFY_hash_state, AFFIANT_RUNTIME_MEASURED); /* the loader */
	forge_end(&f);

	forge_begin(&f);
	forge_restate(json_object_get(f.payload, "measurements"), 1, 0, CLAIMS_CLAIMED, NULL);
	a->executables.any = true;
	a->states = AFFIANT_STATES_PROVEN | AFFIANT_STATE_CLAIMED;
	forge_build(&f);
	r = forge_verify(&f);
	assert_false(r->proven);
	expect(r, VERIFY_NONE, AFFIANT_RUNTIME_MEASURED);
	forge_end(&f);

	/* Of a process that names no executable nothing is proven. */
	forge_begin(&f);
	a->executables.any = true;
	json_array_remove(at(at(f.payload, "submods", "workload"), "process", "files"), 1);
	forge_build(&f);
	r = forge_verify(&f);
	assert_false(r->proven);
	expect(r, VERIFY_NONE, AFFIANT_RUNTIME_MEASURED);
	forge_end(&f);

	/* hash_states is about what the kernel executed, not about scripts. */
	forge_begin(&f);
	a->states = AFFIANT_STATE_OBSERVED;
	forge_build(&f);
	expect(forge_verify(&f), VERIFY_NONE, AFFIANT_RUNTIME_MEASURED);
	forge_end(&f);
}

/* What would take nothing, and may be meant otherwise: by a zero in a structure above all. */
static void test_zeros_refused(void **state)
{
	static const struct affiant_agent whole = {
		.id = FORGE_AGENT,
		.isolations = AFFIANT_ISOLATED,
		.custodies = AFFIANT_ANY_CUSTODY,
		.states = AFFIANT_STATES_PROVEN,
	};
	struct affiant_agent agents[] = {whole, whole, whole, whole, whole, whole, whole, whole};
	const size_t count = sizeof(agents) / sizeof(*agents);
	struct affiant_policy p = {.max_age = 300, .agents = agents, .agents_count = 1};
	struct verifier *v;
	const char *why;

	(void)state;
	agents[1].id = NULL;
	agents[2].id = "";
	agents[3].isolations = 0;
	agents[4].isolations = 16;
	agents[5].custodies = 0;
	agents[6].custodies = 4;
	agents[7].states = 0;
	for (size_t i = 0; i < count; i++) {
		p.agents = &agents[i];
		why = NULL;
		assert_int_equal(verifier_new(&p, &v, &why), i ? -EINVAL : 0);
		if (i)
			assert_non_null(strstr(why, "an agent"));
		else
			verifier_free(v);
	}
	p.agents_count = 0;
	p.max_age = 0;
	assert_int_equal(verifier_new(&p, &v, &why), -EINVAL);
	assert_non_null(strstr(why, "max_age"));
}

/* One of two entries would count, and nobody says which. */
static void test_twice_refused(void **state)
{
	struct affiant_host hosts[3] = {{.ueid = {1, 2}}, {.ueid = {1, 1}}, {.ueid = {1, 3}}};
	struct affiant_agent agents[3];
	struct affiant_policy p = {.max_age = 300,
				   .hosts = hosts,
				   .hosts_count = 3,
				   .agents = agents,
				   .agents_count = 3};
	static const char *const ids[] = {"spiffe://b", "spiffe://a", "spiffe://c"};

	(void)state;
	for (int turn = 0; turn < 3; turn++) {
		struct verifier *v;
		const char *why = NULL;

		for (size_t i = 0; i < 3; i++)
			agents[i] = (struct affiant_agent){.id = ids[i],
							   .isolations = AFFIANT_ISOLATED,
							   .custodies = AFFIANT_ANY_CUSTODY,
							   .states = AFFIANT_STATES_PROVEN};
		hosts[2].ueid[1] = turn == 1 ? 2 : 3;
		agents[2].id = turn == 2 ? ids[0] : ids[2];
		assert_int_equal(verifier_new(&p, &v, &why), turn ? -EINVAL : 0);
		if (turn)
			assert_non_null(strstr(why, "twice"));
		else
			verifier_free(v);
	}
}

/* Where there is no separator all would be early, however late it was extended. */
static void test_early_refused(void **state)
{
	struct affiant_event_rule rule = {.pcrs = 1 << 4, .early = true};
	struct affiant_policy p = {.max_age = 300, .boot = {.rules = &rule, .rules_count = 1}};
	struct verifier *v;
	const char *why;

	(void)state;
	for (uint32_t pcr = 0; pcr < 16; pcr++) {
		if (pcr == 10)
			continue;
		rule.pcrs = 1u << 4 | 1u << pcr;
		why = NULL;
		assert_int_equal(verifier_new(&p, &v, &why), pcr < 8 ? 0 : -EINVAL);
		if (pcr < 8)
			verifier_free(v);
		else
			assert_non_null(strstr(why, "early"));
	}
}

/* No bit that means nothing, and none of what no executable is. */
static void test_states_refused(void **state)
{
	static const uint32_t never[] = {1, 1 << CLAIMS_TOO_LATE, 1 << CLAIMS_OFFERED, 1u << 31};
	struct verifier *v;
	const char *why;

	(void)state;
	forge_begin(&f);
	for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++) {
		f.agents[0].states = AFFIANT_STATES_PROVEN | never[i];
		why = NULL;
		assert_int_equal(verifier_new(&f.policy, &v, &why), -EINVAL);
		assert_non_null(strstr(why, "states"));
	}
	forge_end(&f);
}

/* What a policy allows by name, each with the tier that is left. */
static void test_allowed(void **state)
{
	(void)state;
	forge_begin(&f);
	f.policy.ima.not_required = true;
	f.agents[0].minimum = AFFIANT_BOOT_STATE;
	forge_build(&f);
	expect(forge_verify(&f), VERIFY_NONE, AFFIANT_BOOT_STATE);
	forge_end(&f);

	forge_begin(&f);
	f.policy.ima.not_required = true;
	f.policy.boot.mode = AFFIANT_BOOT_NONE;
	f.agents[0].minimum = AFFIANT_BOOT_UNKNOWN;
	f.no_boot_log = f.no_ima_log = true;
	forge_build(&f);
	expect(forge_verify(&f), VERIFY_NONE, AFFIANT_BOOT_UNKNOWN);
	forge_end(&f);

	/* swtpm in a container: no firmware, every PCR zero. */
	forge_begin(&f);
	allow_software();
	f.policy.ima.not_required = true;
	f.policy.boot.mode = AFFIANT_BOOT_NONE;
	f.no_boot_log = f.no_ima_log = true;
	assert_int_equal(pcr_bank_init(&f.bank, TPM2_SHA256), 0);
	f.ima = (struct ima_builder){};
	forge_build(&f);
	expect(forge_verify(&f), VERIFY_NONE, AFFIANT_SOFTWARE_TPM);
	f.policy.boot.mode = AFFIANT_BOOT_LOG;
	expect(forge_verify(&f), VERIFY_pcrs_unextended, AFFIANT_SOFTWARE_TPM);
	forge_end(&f);

	/* However much it shows. */
	forge_begin(&f);
	allow_software();
	forge_build(&f);
	expect(forge_verify(&f), VERIFY_NONE, AFFIANT_SOFTWARE_TPM);
	forge_end(&f);
}

/* A known kernel counts where it is shown to be locked down: by its command line, in a PCR in
 * which nothing else may stand. */
static void test_kernel(void **state)
{
	static const char *const line[] = {"ro quiet lockdown=integrity"};
	struct affiant_pcr_rule value;

	(void)state;
	forge_begin(&f);
	assert_int_equal(sha256_of("the kernel", 10, (struct sha256 *)&f.digests[15]), 0);
	f.policy.boot.kernels = (struct affiant_digests){.list = &f.digests[15], .count = 1};
	f.policy.boot.closed = 1 << 4 | 1 << 8;
	f.rules[0] = (struct affiant_event_rule){.pcrs = 1 << 8, .texts = {line, 1}, .least = 1};
	f.policy.boot.rules = f.rules;
	f.policy.boot.rules_count = 1;
	forge_build(&f);
	/* PCR 8 has no separator: only 0 to 7 do. */
	expect(forge_verify(&f), VERIFY_NONE, AFFIANT_RUNTIME_MEASURED);
	f.policy.boot.closed = 1 << 4;
	expect(forge_verify(&f), VERIFY_kernel_replaceable, AFFIANT_BOOT_UNKNOWN);
	f.policy.boot.kernels_lock_down = true;
	expect(forge_verify(&f), VERIFY_NONE, AFFIANT_RUNTIME_MEASURED);

	/* What loaded it could be anything, unless PCR 4 is closed, or has a known value. */
	f.policy.boot.closed = 0;
	expect(forge_verify(&f), VERIFY_kernel_replaceable, AFFIANT_BOOT_UNKNOWN);
	memcpy(f.digests[14].sha256, f.bank.values[4], 32);
	value = (struct affiant_pcr_rule){.pcr = 4, .values = {.list = &f.digests[14], .count = 1}};
	f.policy.boot.values = &value;
	f.policy.boot.values_count = 1;
	expect(forge_verify(&f), VERIFY_NONE, AFFIANT_RUNTIME_MEASURED);
	value.values.any = true;
	expect(forge_verify(&f), VERIFY_kernel_replaceable, AFFIANT_BOOT_UNKNOWN);
	forge_end(&f);
}

/* ---- what is kept ---- */

static struct hoststate kept;

static void keep(enum verify_code code)
{
	struct verify_result *r = forge_verify(&f);

	if (!r->has_host)
		fail_msg("%s: %s", verify_code_name(r->code), verify_reason(r));
	kept = r->host;
	f.cached = &kept;
	expect(r, code, AFFIANT_RUNTIME_MEASURED);
}

static void test_kept(void **state)
{
	struct verify_result *r;
	struct hoststate read;
	const char *why;
	char *text;

	(void)state;
	forge_begin(&f);
	forge_build(&f);
	keep(VERIFY_NONE);
	assert_int_equal(kept.list.entries, 4);
	forge_again(&f, false);
	expect(forge_verify(&f), VERIFY_NONE, AFFIANT_RUNTIME_MEASURED);

	/* More was measured: asked for from there on, judged from there on. */
	f.ima_from = f.ima.entries;
	f.ima_skip = f.ima.len;
	ima_file(&f.ima, 0xb1, "/usr/bin/id");
	forge_again(&f, false);
	r = forge_verify(&f);
	assert_int_equal(r->ima_from, 4);
	expect(r, VERIFY_host_evidence_needed, AFFIANT_BOOT_STATE);
	forge_again(&f, true);
	keep(VERIFY_NONE);
	assert_int_equal(kept.list.entries, 5);

	/* An overlap is stepped over; a suspend changes nothing. */
	f.clock.restarts++;
	f.clock.ms = UINT64_C(0xffff000000000000); /* as far as its owner can set it */
	forge_again(&f, true);
	keep(VERIFY_NONE);

	text = hoststate_encode(&kept);
	memset(&read, 0xa5, sizeof(read));
	if (hoststate_parse(text, strlen(text), &read, &why))
		fail_msg("%s", why);
	f.cached = &read;
	forge_again(&f, false);
	expect(forge_verify(&f), VERIFY_NONE, AFFIANT_RUNTIME_MEASURED);
	for (size_t len = 0; len < strlen(text); len++)
		assert_int_equal(hoststate_parse(text, len, &read, &why), -EBADMSG);
	free(text);
	forge_end(&f);
}

/* What the policy lists may be set, all of it or some; and where it asks nothing, anything. */
static void test_environment(void **state)
{
	static const char *const names[] = {"NODE_OPTIONS", "LD_PRELOAD", "BASH_FUNC_*"};

	(void)state;
	for (int any = 0; any < 2; any++) {
		json_t *workload, *process;

		forge_begin(&f);
		workload = at(f.payload, "submods", "workload");
		process = json_object_get(workload, "process");
		json_object_set_new(process, "environment",
				    json_pack("[ss]", any ? "TOMORROW" : "LD_PRELOAD",
					      "BASH_FUNC_*"));
		process = json_array_get(json_object_get(workload, "ancestors"), 0);
		json_object_set_new(process, "environment", json_pack("[s]", "NODE_OPTIONS"));
		if (any)
			json_object_set_new(process, "environment_cut", json_true());
		else
			f.agents[0].environment = (struct affiant_texts){names, 3};
		f.agents[0].allow_any_environment = any;
		forge_build(&f);
		expect(forge_verify(&f), VERIFY_NONE, AFFIANT_RUNTIME_MEASURED);
		forge_end(&f);
	}
}

/* An agent that is refused: its host is kept all the same. */
static void test_kept_though_refused(void **state)
{
	(void)state;
	forge_begin(&f);
	f.agents[0].allow_asserted = false;
	forge_build(&f);
	keep(VERIFY_principal_asserted);
	forge_end(&f);
}

/* What arrives late sets nothing back. */
static void test_late(void **state)
{
	(void)state;
	forge_begin(&f);
	forge_build(&f);
	keep(VERIFY_NONE);
	kept.clock.ms += 1000;
	forge_again(&f, false);
	keep(VERIFY_NONE);
	assert_int_equal(kept.clock.ms, f.clock.ms + 1000);
	forge_end(&f);
}

static struct verify_result *verify_now(struct verifier *v)
{
	char *text = json_dumps(f.collection, JSON_COMPACT);
	const struct verify_request q = {
		.evidence = text,
		.len = strlen(text),
		.nonce = FORGE_NONCE,
		.audience = FORGE_AUDIENCE,
		.now = FORGE_NOW,
	};
	struct verify_result *r;

	assert_int_equal(verify(v, &q, &r), 0);
	free(text);
	return r;
}

/* The same quote of a batch again: no less is checked of it. */
static void test_batch(void **state)
{
	struct verifier *v;
	const char *why;

	(void)state;
	forge_begin(&f);
	forge_build(&f);
	assert_int_equal(verifier_new(&f.policy, &v, &why), 0);
	for (int i = 0; i < 3; i++)
		expect(verify_now(v), VERIFY_NONE, AFFIANT_RUNTIME_MEASURED);
	f.signature.data[20] ^= 1;
	forge_wrap(&f);
	expect(verify_now(v), VERIFY_quote_signature, AFFIANT_UNATTESTED);
	verifier_free(v);
	forge_end(&f);
}

/* ---- what is asked for in between ---- */

struct asked {
	size_t times;
	int err;
	uint8_t ueid[CLAIMS_UEID_SIZE];
};

static int recall(void *data, const uint8_t ueid[CLAIMS_UEID_SIZE], const struct hoststate **ret)
{
	struct asked *a = data;

	a->times++;
	memcpy(a->ueid, ueid, CLAIMS_UEID_SIZE);
	*ret = a->err ? NULL : f.cached;
	return a->err;
}

/* How often what is kept is asked for; and that verify_early() is of the same mind. */
static size_t ask(struct asked *a, enum verify_code code)
{
	struct verify_request q = {
		.nonce = f.nonce,
		.audience = f.audience,
		.now = f.now,
		.recall = recall,
		.data = a,
	};
	_cleanup_free_ char *text = json_dumps(f.collection, JSON_COMPACT);
	uint8_t ueid[CLAIMS_UEID_SIZE];
	struct verify_result *r = NULL;
	struct verifier *v;
	const char *why;
	int early;

	a->times = 0;
	assert_int_equal(verifier_new(&f.policy, &v, &why), 0);
	q.evidence = text;
	q.len = strlen(text);
	early = verify_early(v, &q, ueid);
	assert_int_equal(a->times, 0);
	assert_int_equal(verify(v, &q, &r), a->err);
	if (!a->err)
		assert_int_equal(r->code, code);
	/* The quote is looked at later, and before anything is asked for. */
	assert_int_equal(early, a->times || code == VERIFY_malformed_quote ? 0 : -EBADMSG);
	if (a->times)
		assert_memory_equal(ueid, f.hosts[0].ueid, CLAIMS_UEID_SIZE);
	if (a->times)
		assert_memory_equal(a->ueid, f.hosts[0].ueid, CLAIMS_UEID_SIZE);
	verify_result_free(r);
	verifier_free(v);
	return a->times;
}

/* Nobody's state but that of a host of the policy, whose token is good for this nonce. */
static void test_recall(void **state)
{
	struct asked a = {};

	(void)state;
	forge_begin(&f);
	forge_build(&f);
	assert_int_equal(ask(&a, VERIFY_NONE), 1);
	f.nonce = "another-nonce-than-that";
	assert_int_equal(ask(&a, VERIFY_nonce), 0);
	f.nonce = FORGE_NONCE;
	f.audience = "https://sts.example.org/other";
	assert_int_equal(ask(&a, VERIFY_audience), 0);
	f.audience = FORGE_AUDIENCE;
	f.now += 100000;
	assert_int_equal(ask(&a, VERIFY_expired), 0);
	f.now = FORGE_NOW;
	f.hosts[0].ueid[7] ^= 1;
	assert_int_equal(ask(&a, VERIFY_host_unknown), 0);
	f.hosts[0].ueid[7] ^= 1;
	a.err = -EWOULDBLOCK;
	assert_int_equal(ask(&a, VERIFY_NONE), 1);
	a.err = 0;
	json_array_set_new(json_object_get(f.collection, "quote"), 1, json_string("AAAA"));
	assert_int_equal(ask(&a, VERIFY_malformed_quote), 0);
	json_object_del(f.collection, "quote");
	assert_int_equal(ask(&a, VERIFY_malformed_evidence), 0);
	forge_end(&f);
}

/* ---- real logs ---- */

#define ENTRIES_MAX 4096

static struct affiant_ima_file listed[ENTRIES_MAX];
static size_t listed_count;

static int list_entry(void *context, const struct ima_state *s, const struct ima_entry *e)
{
	struct affiant_ima_file *to = &listed[listed_count];

	(void)context;
	(void)s;
	if (e->boot_aggregate || e->violation)
		return 0;
	*to = (struct affiant_ima_file){.alg = e->alg};
	memcpy(to->digest, e->digest.at, e->digest.left);
	for (size_t i = 0; i < listed_count; i++)
		if (!memcmp(listed[i].digest, to->digest, sizeof(to->digest)))
			return 0;
	assert_true(++listed_count < ENTRIES_MAX);
	return 0;
}

/* The PCRs of that boot, and an allowlist of exactly what it measured. */
static void take_boot(const char *boot)
{
	const uint16_t alg = TPM2_SHA256;
	char path[128], line[256], hex[129];
	struct ima_state s;
	unsigned int pcr;
	size_t used, len;
	FILE *pcrs;

	snprintf(path, sizeof(path), "boots/%s/binary_bios_measurements", boot);
	f.real_boot = sample_read(path);
	snprintf(path, sizeof(path), "boots/%s/binary_runtime_measurements", boot);
	f.real_ima = sample_read(path);
	snprintf(path, sizeof(path), TEST_DATA "/attest/boots/%s/pcrs.txt", boot);
	pcrs = fopen(path, "re");
	assert_non_null(pcrs);
	while (fgets(line, sizeof(line), pcrs))
		if (sscanf(line, "sha256 %u %128s", &pcr, hex) == 2)
			assert_int_equal(hex_decode(hex, strlen(hex), f.bank.values[pcr], 32, &len),
					 0);
	fclose(pcrs);
	listed_count = 0;
	assert_int_equal(ima_init(&s, &alg, 1), 0);
	assert_true(ima_replay(&s, f.real_ima.data, f.real_ima.len, NULL, list_entry, NULL,
			       &used) >= 0);
	f.policy.ima.allowed = listed;
	f.policy.ima.allowed_count = listed_count;
	f.pcrs = 0x4fff;
}

/* affiantd was not there: any program that was measured stands for it. */
static void name_daemon(void)
{
	json_t *files = json_object_get(f.host_claims, "measurements"),
	       *body = forge_body(files, 0);
	char text[64];

	base64url_encode(listed[5].digest, 32, text);
	json_object_set_new(body, "digested-measurement", json_pack("[is]", 1, text));
	forge_set_body(files, 0, 296, body);
	f.policy.daemon.executables.any = true;
}

/* What real kernels and firmware measured, quoted by a TPM of our own. */
static void test_boots(void **state)
{
	static const struct {
		const char *name;
		enum verify_code strict, lenient;
	} boots[] = {
		{"ovmf-ima-sig", VERIFY_secure_boot, VERIFY_NONE},
		{"ovmf-boot-order", VERIFY_secure_boot, VERIFY_NONE},
		{"ovmf-systemd-boot", VERIFY_secure_boot, VERIFY_NONE},
		{"ovmf-shim-grub", VERIFY_NONE, VERIFY_NONE},
		{"seabios-ima-ng", VERIFY_secure_boot, VERIFY_NONE},
		{"seabios-violation", VERIFY_secure_boot, VERIFY_ima_violation},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(boots) / sizeof(*boots); i++) {
		forge_begin(&f);
		take_boot(boots[i].name);
		name_daemon();
		forge_build(&f);
		expect(forge_verify(&f), boots[i].strict,
		       boots[i].strict ? AFFIANT_BOOT_UNKNOWN : AFFIANT_RUNTIME_MEASURED);
		f.policy.boot.allow_secure_boot_off = true;
		expect(forge_verify(&f), boots[i].lenient,
		       boots[i].lenient ? AFFIANT_BOOT_STATE : AFFIANT_RUNTIME_MEASURED);
		f.policy.ima.allow_violations = true;
		expect(forge_verify(&f), VERIFY_NONE, AFFIANT_RUNTIME_MEASURED);
		f.policy.ima.allowed_count--;
		expect(forge_verify(&f), VERIFY_ima_unlisted, AFFIANT_BOOT_STATE);
		sample_free(&f.real_boot);
		sample_free(&f.real_ima);
		forge_end(&f);
	}
}

/* ---- cut short ---- */

static void test_truncated(void **state)
{
	struct verify_request q = {
		.nonce = FORGE_NONCE, .audience = FORGE_AUDIENCE, .now = FORGE_NOW};
	struct verify_result *r;
	struct verifier *v;
	const char *why;
	char *text;

	(void)state;
	forge_begin(&f);
	forge_build(&f);
	assert_int_equal(verifier_new(&f.policy, &v, &why), 0);
	text = json_dumps(f.collection, JSON_COMPACT);
	q.evidence = text;
	for (size_t whole = strlen(text); q.len < whole; q.len++) {
		assert_int_equal(verify(v, &q, &r), 0);
		/* By where it ends. */
		assert_true(r->code == VERIFY_malformed_evidence ||
			    r->code == VERIFY_malformed_host);
		assert_int_equal(r->verdict, AFFIANT_UNDECIDED);
		verify_result_free(r);
	}
	free(text);
	verifier_free(v);
	forge_end(&f);
}

static void cut_member(struct verifier *v, json_t *record, size_t spare)
{
	json_t *whole = json_incref(json_array_get(record, 1));
	struct verify_result *r;
	uint8_t *bytes;
	size_t len;

	assert_int_equal(base64url_decode_new(json_string_value(whole), json_string_length(whole),
					      &bytes, &len),
			 0);
	for (size_t cut = 0; cut + spare<len; cut += len> 512 ? 7 : 1) {
		char *part = base64url_new(bytes, cut);

		json_array_set_new(record, 1, json_string(part));
		r = verify_now(v);
		if (r->verdict == AFFIANT_AFFIRMED)
			fail_msg("%zu of %zu bytes", cut, len);
		verify_result_free(r);
		free(part);
	}
	json_array_set(record, 1, whole);
	json_decref(whole);
	free(bytes);
}

/* Every member, cut at every length. */
static void test_members_truncated(void **state)
{
	static const char *const members[] = {"eat", "quote", "signature", "pcrs", "path"};
	static const char *const host[] = {"claims", "ek_public", "ak_public", "boot_log",
					   "ima_range"};
	static const char *const chains[] = {"ek_chain", "ak_chain"};
	struct verifier *v;
	const char *why;

	(void)state;
	forge_begin(&f);
	forge_build(&f);
	assert_int_equal(verifier_new(&f.policy, &v, &why), 0);
	for (size_t i = 0; i < 5; i++) {
		cut_member(v, json_object_get(f.collection, members[i]), 0);
		cut_member(v, json_object_get(f.host, host[i]), 0);
	}
	for (size_t i = 0; i < 2; i++) /* PEM needs no newline at its end */
		cut_member(v, json_object_get(f.host, chains[i]), 1);
	verifier_free(v);
	forge_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_affirmed),      cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_states),        cmocka_unit_test(test_states_refused),
		cmocka_unit_test(test_early_refused), cmocka_unit_test(test_twice_refused),
		cmocka_unit_test(test_zeros_refused), cmocka_unit_test(test_allowed),
		cmocka_unit_test(test_kernel),        cmocka_unit_test(test_kept),
		cmocka_unit_test(test_environment),   cmocka_unit_test(test_kept_though_refused),
		cmocka_unit_test(test_late),          cmocka_unit_test(test_batch),
		cmocka_unit_test(test_recall),        cmocka_unit_test(test_boots),
		cmocka_unit_test(test_truncated),     cmocka_unit_test(test_members_truncated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
