/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/ear.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attest/ossl.h"

#define POLICY_URI "tag:affiant.dev,2026:policy:" /* and its digest in hex */

/* Names by profile: the one table in which they stand. */
static const struct names {
	const char *profile, *verifier, *status, *vector, *policy, *claims;
	bool policy_list;
} profiles[] = {
	[EAR_IETF] = {"tag:ietf.org,2026:rats/ear#04", "ear_verifier_id", "ear_status",
		      "ear_trustworthiness_vector", "ear_appraisal_policy_ids",
		      "ear_attester_claims", true},
	[EAR_VERAISON] = {"tag:github.com,2023:veraison/ear", "ear.verifier-id", "ear.status",
			  "ear.trustworthiness-vector", "ear.appraisal-policy-id",
			  "ear.veraison.annotated-evidence", false},
};

enum submod { HOST, AGENT, SUBMODS };
enum claim { IDENTITY, CONFIGURATION, EXECUTABLES, HARDWARE, CLAIMS };

static const char *const claim_names[CLAIMS] = {
	[IDENTITY] = "instance-identity",
	[CONFIGURATION] = "configuration",
	[EXECUTABLES] = "executables",
	[HARDWARE] = "hardware",
};

/* AR4SI, section 2.3: values of claims. Up to 31 affirms (2 and more), to 95 warns, from there on
 * contraindicates. */
enum {
	NO_CLAIM = 0,
	UNEXPECTED_EVIDENCE = 1,
	APPROVED = 2,
	APPROVED_BOOT = 3, /* of executables: at boot, but not since */
	CONTRAINDICATED = 96,
	UNRECOGNISED = 97,
	CRYPTO_FAILED = 99,
};

typedef int8_t vector[CLAIMS];

static const char *status_of(const vector v)
{
	int8_t worst = 0;

	for (size_t i = 0; i < CLAIMS; i++)
		if (v[i] > worst)
			worst = v[i];
	return worst < 2    ? "none"
	       : worst < 32 ? "affirming"
	       : worst < 96 ? "warning"
			    : "contraindicated";
}

/* Where a refusal shows: codes up to @last, from the one before. */
static const struct {
	enum verify_code last;
	enum submod submod;
	enum claim claim;
	int8_t value;
} places[] = {
	{VERIFY_host_evidence_needed, HOST, IDENTITY, UNEXPECTED_EVIDENCE},
	{VERIFY_too_old, HOST, IDENTITY, CRYPTO_FAILED},
	{VERIFY_ek_no_certificate, HOST, IDENTITY, UNRECOGNISED},
	{VERIFY_software_tpm, HOST, HARDWARE, UNRECOGNISED},
	{VERIFY_ak_other_ek, HOST, IDENTITY, UNRECOGNISED},
	{VERIFY_quote_extra, HOST, IDENTITY, CRYPTO_FAILED},
	{VERIFY_kexec, HOST, CONFIGURATION, CONTRAINDICATED},
	{VERIFY_firmware_changed, HOST, EXECUTABLES, CONTRAINDICATED},
	{VERIFY_quote_pcrs, HOST, IDENTITY, CRYPTO_FAILED},
	{VERIFY_pcr_value, HOST, EXECUTABLES, CONTRAINDICATED},
	{VERIFY_ak_claimed, HOST, IDENTITY, CRYPTO_FAILED},
	{VERIFY_boot_event, HOST, EXECUTABLES, CONTRAINDICATED},
	{VERIFY_dma_unprotected, HOST, CONFIGURATION, CONTRAINDICATED},
	{VERIFY_daemon_digest, HOST, EXECUTABLES, CONTRAINDICATED},
	{VERIFY_configuration_digest, HOST, CONFIGURATION, CONTRAINDICATED},
	{VERIFY_bpf_digest, HOST, EXECUTABLES, CONTRAINDICATED},
	{VERIFY_agent_not_on_host, AGENT, IDENTITY, UNRECOGNISED},
	{VERIFY_tier, AGENT, CONFIGURATION, CONTRAINDICATED},
	{VERIFY_environment, AGENT, EXECUTABLES, CONTRAINDICATED},
	{VERIFY_CODES_END, AGENT, CONFIGURATION, CONTRAINDICATED},
};

/* What was shown of the host, once it was judged to its end. */
static void judge_host(const struct verify_result *r, vector v)
{
	v[IDENTITY] = APPROVED;
	v[HARDWARE] = r->tier >= AFFIANT_BOOT_UNKNOWN ? APPROVED : NO_CLAIM;
	v[EXECUTABLES] = r->tier == AFFIANT_RUNTIME_MEASURED ? APPROVED
			 : r->tier == AFFIANT_BOOT_STATE     ? APPROVED_BOOT
							     : NO_CLAIM;
	v[CONFIGURATION] = r->tier >= AFFIANT_BOOT_STATE ? APPROVED : NO_CLAIM;
}

static void judge(const struct verify_result *r, vector v[SUBMODS])
{
	size_t i = 0;

	memset(v, 0, SUBMODS * sizeof(*v));
	if (r->has_host)
		judge_host(r, v[HOST]);
	if (r->verdict == AFFIANT_AFFIRMED) {
		v[AGENT][IDENTITY] = v[AGENT][CONFIGURATION] = APPROVED;
		/* A policy may take what is not proven: it is not approved by that. */
		v[AGENT][EXECUTABLES] = r->proven ? APPROVED : NO_CLAIM;
		return;
	}
	while (places[i].last < r->code)
		i++;
	v[places[i].submod][places[i].claim] = places[i].value;
}

static int set(json_t *o, const char *name, json_t *value)
{
	return json_object_set_new(o, name, value) ? -ENOMEM : 0;
}

static json_t *vector_json(const vector v)
{
	json_t *o = json_object();

	for (size_t i = 0; o && i < CLAIMS; i++)
		if (v[i] && json_object_set_new(o, claim_names[i], json_integer(v[i]))) {
			json_decref(o);
			return NULL;
		}
	return o;
}

static int submod_json(const vector v, const struct ear_options *o, json_t **ret)
{
	const struct names *n = &profiles[o->profile];
	_cleanup_json_ json_t *submod = json_object(), *claims = vector_json(v);
	char policy[sizeof(POLICY_URI) + 2 * SHA256_SIZE] = POLICY_URI;
	int err;

	hex_encode(o->policy, SHA256_SIZE, policy + strlen(POLICY_URI));
	err = set(submod, n->status, json_string(status_of(v)))
		      ?: set(submod, n->policy,
			     n->policy_list ? json_pack("[s]", policy) : json_string(policy));
	/* Empty it is not allowed. */
	if (!err && json_object_size(claims))
		err = set(submod, n->vector, json_incref(claims));
	if (!err)
		*ret = TAKE_PTR(submod);
	return claims ? err : -ENOMEM;
}

static json_t *result_json(const struct verify_result *r)
{
	return json_pack("{ss ss ss ss}", "verdict", verify_verdict_word(r->verdict), "code",
			 verify_code_name(r->code), "reason", verify_reason(r), "tier",
			 verify_tier_word(r->tier));
}

int ear_claims(const struct verify_result *r, const struct ear_options *o, json_t **ret)
{
	const struct names *n = &profiles[o->profile];
	_cleanup_json_ json_t *claims = json_object(), *submods = json_object();
	json_t *host = NULL, *agent = NULL;
	vector v[SUBMODS];
	int err;

	judge(r, v);
	err = submod_json(v[HOST], o, &host) ?: set(submods, "host", host) ?:
	      submod_json(v[AGENT], o, &agent) ?: set(submods, "agent", agent);
	if (!err && r->verdict == AFFIANT_AFFIRMED)
		err = set(agent, n->claims, json_incref(r->payload));
	err = err ?: set(claims, "eat_profile", json_string(n->profile)) ?:
	      set(claims, "iat", json_integer(o->now)) ?:
	      set(claims, n->verifier, json_pack("{ss ss}", "developer", o->developer, "build", o->build)) ?:
	      set(claims, "eat_nonce", json_string(o->nonce)) ?:
	      set(claims, "submods", json_incref(submods)) ?:
	      set(claims, "affiant_result", result_json(r));
	if (!err)
		*ret = TAKE_PTR(claims);
	return err;
}

int ear_sign(const struct verify_result *r, const struct ear_options *o, EVP_PKEY *key, char **ret)
{
	_cleanup_json_ json_t *claims = NULL, *header = NULL;
	_cleanup_free_ char *input = NULL;
	char kid[JOSE_THUMBPRINT_SIZE];
	int err;

	if (EVP_PKEY_get_bits(key) != 256)
		return -EINVAL;
	err = jose_thumbprint(key, kid) ?: ear_claims(r, o, &claims);
	if (err)
		return err;
	header = json_pack("{ss ss ss}", "alg", "ES256", "typ", "eat+jwt", "kid", kid);
	return header ? jose_signing_input(header, claims, &input) ?: jose_jws(key, input, ret)
		      : -ENOMEM;
}
