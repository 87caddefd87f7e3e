/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forge: genuine evidence, of a host that is made up, and every place where somebody could lie.
 * What a case changes before forge_build() is signed with the host's keys; what it changes after,
 * is not. Include after cmocka.h.
 */
#pragma once

#include "attest/batch.h"
#include "attest/cmw.h"
#include "attest/hash.h"
#include "attest/pcr.h"
#include "attest/verify.h"
#include "attest_samples.h"
#include "base/base64url.h"
#include "eventlog_builder.h"
#include "forge_keys.h"

#define FORGE_NONCE "mZ4vQ0h8T2a9Yc1LrB7uXw"
#define FORGE_AUDIENCE "https://sts.example.org/token"
#define FORGE_PCRS 0x7ffu /* 0-10 */
#define FORGE_AGENT "spiffe://example.org/agent/research"

struct ima_builder {
	uint8_t data[65536];
	size_t len, entries;
	struct pcr_bank bank; /* PCR 10 of it */
	bool padded;
};

struct forge {
	/* The machine */
	struct ak_kind kind;
	EVP_PKEY *ek_key, *ak_key, *signer; /* signer: who signs the quote */
	uint32_t ek_attributes, hierarchy;
	struct authority tpm_ca, ak_ca;
	const char *maker; /* of the TPM */
	char ek_pem[4096], ak_pem[4096], tpm_root[4096], ak_root[4096];
	int64_t certificates_until;
	bool ak_of_other_ek, ak_by_other_ca, ek_by_other_ca, no_ek_chain, no_ak_chain;
	struct bytes ek, ak;
	struct tpm2_bytes ak_name;
	struct builder boot;
	struct ima_builder ima;
	bool no_boot_log, no_ima_log;
	struct sample real_boot, real_ima; /* of a real machine, instead */
	uint64_t ima_from;
	size_t ima_skip; /* bytes of the list that are not sent */
	size_t ima_cut;  /* bytes at its end likewise */

	/* The quote */
	struct pcr_bank bank;
	uint32_t pcrs;
	uint32_t magic;
	uint16_t type, scheme, hash;
	struct tpm2_clock clock;
	uint64_t firmware;
	enum batch_domain domain;
	struct tpm2_selection selections[4];
	size_t selections_count;
	size_t batch, index;         /* leaves, and which one this is */
	struct sha256 *other_leaves; /* of the batch; NULL: made up */

	/* The token */
	EVP_PKEY *evidence_key;
	json_t *header, *payload, *host_claims;
	bool keep_header, keep_host_digest, keep_kid, keep_ueid, keep_ak;

	/* What came of it */
	char *token;
	size_t signing_input_len;
	struct sha256 leaf;
	struct bytes attest, signature, pcr_values, path;
	json_t *collection, *host;
	char *text;

	/* The verifier */
	struct affiant_policy policy;
	struct affiant_pem tpm_pem, ak_root_pem;
	struct affiant_host hosts[2];
	struct affiant_agent agents[2];
	struct affiant_ima_file files[8];
	struct affiant_digest digests[16];
	struct affiant_event_rule rules[4];
	const char *nonce, *audience;
	int64_t now;
	const struct hoststate *cached;
};

/* ---- logs ---- */

static inline void ima_put(struct ima_builder *b, const void *data, size_t len)
{
	assert_true(b->len + len <= sizeof(b->data));
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

static inline void ima_u32_put(struct ima_builder *b, uint32_t value)
{
	value = htole32(value);
	ima_put(b, &value, 4);
}

/* An entry of template ima-ng. @violation: zeros in the list, ones in the PCR. */
static inline void ima_add(struct ima_builder *b, uint32_t pcr, const char *template,
			   const uint8_t digest[32], const char *path, bool violation)
{
	uint8_t entry[4096] = {40, 0, 0, 0, 's', 'h', 'a', '2', '5', '6', ':', 0}, hash[64] = {};
	size_t len = 12;
	uint32_t path_len = htole32(strlen(path) + 1);

	memcpy(entry + len, digest, 32);
	memcpy(entry + len + 32, &path_len, 4);
	memcpy(entry + len + 36, path, strlen(path) + 1);
	len += 36 + strlen(path) + 1;
	ima_u32_put(b, pcr);
	if (violation)
		memset(entry + 12, 0, 32);
	assert_int_equal(hash_of(TPM2_SHA1, entry, len, hash), 0);
	if (violation)
		memset(hash, 0, 20);
	ima_put(b, hash, 20);
	ima_u32_put(b, strlen(template));
	ima_put(b, template, strlen(template));
	ima_u32_put(b, len);
	ima_put(b, entry, len);
	if (!b->padded)
		assert_int_equal(hash_of(TPM2_SHA256, entry, len, hash), 0);
	if (violation)
		memset(hash, 0xff, 32);
	if (pcr == 10)
		assert_int_equal(pcr_extend(&b->bank, 10, hash), 0);
	b->entries++;
}

static inline void ima_file(struct ima_builder *b, uint8_t byte, const char *path)
{
	uint8_t digest[32];

	memset(digest, byte, sizeof(digest));
	ima_add(b, 10, "ima-ng", digest, path, false);
}

static inline void forge_boot_log(struct builder *b, uint8_t secure_boot)
{
	put_header(b);
	put_text(b, 0, EV_S_CRTM_VERSION, "firmware 1");
	put_variable(b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", &secure_boot, 1);
	for (uint32_t pcr = 0; pcr < 8; pcr++)
		put_separator(b, pcr);
	put_event(b, 4, EV_EFI_BOOT_SERVICES_APPLICATION, "the kernel", 10, "path", 4);
	put_text(b, 8, EV_IPL, "ro quiet lockdown=integrity");
}

/* The PCRs to which the logs lead, and the list's first entry. */
static inline void forge_replay(struct forge *f)
{
	struct eventlog *l = parsed(&f->boot);

	assert_int_equal(eventlog_replay(l, TPM2_SHA256, &f->bank), 0);
	eventlog_free(l);
}

static inline void forge_aggregate(struct forge *f)
{
	struct tpm2_selection s = {.alg = TPM2_SHA256, .pcrs = 0x3ff};
	struct tpm2_bytes digest;

	forge_replay(f);
	assert_int_equal(pcr_digest(&f->bank, 1, &s, 1, TPM2_SHA256, &digest), 0);
	ima_add(&f->ima, 10, "ima-ng", digest.data, "boot_aggregate", false);
}

/* ---- good evidence ---- */

static inline json_t *forge_json(const char *name)
{
	char path[512];
	json_t *o;

	snprintf(path, sizeof(path), TEST_DATA "/attest/%s", name);
	o = json_load_file(path, 0, NULL);
	assert_non_null(o);
	return o;
}

static inline void forge_authority(const char *name, struct authority *ret, char *pem, size_t size)
{
	assert_int_equal(authority_new("P-256", name, FORGE_NOW - 86400, 3650, ret), 0);
	put_pem(ret->certificate, pem, size);
}

static inline struct affiant_digests forge_digest(struct forge *f, size_t at, const char *text)
{
	assert_int_equal(base64url_decode_exact(text, strlen(text), f->digests[at].sha256, 32), 0);
	return (struct affiant_digests){.list = &f->digests[at], .count = 1};
}

/* What names exactly the host and the agent of tests/data/attest/claims/usual.json. */
static inline void forge_policy(struct forge *f)
{
	static const char *const agents[] = {FORGE_AGENT};
	struct affiant_agent *a = &f->agents[0];

	f->tpm_pem = (struct affiant_pem){.text = f->tpm_root, .len = strlen(f->tpm_root)};
	f->ak_root_pem = (struct affiant_pem){.text = f->ak_root, .len = strlen(f->ak_root)};
	f->hosts[0].asset = "rack 7";
	f->hosts[0].agents = (struct affiant_texts){agents, 1};
	*a = (struct affiant_agent){
		.id = FORGE_AGENT,
		.allow_asserted = true,
		.isolations = AFFIANT_ISOLATED,
		.custodies = AFFIANT_ANY_CUSTODY,
		.states = AFFIANT_STATES_PROVEN,
		.programs = {.any = true},
		.max_lost = AFFIANT_ANY_LOST,
	};
	a->arguments = forge_digest(f, 0, "zneiv03LICh84KSPhRI1wBs4BxFyl4phi-VAScbsAdM");
	a->executables = forge_digest(f, 1, "yj7XhBhPGzu3w1Ob-0XnFxDNJ2Z0JPksLVu035wQfCM");
	a->loaders = forge_digest(f, 2, "XOPlkGaV0bbCmLad5Fk8xEuDABgvj1ltH2VMC7jbx9g");
	forge_digest(f, 3, "gsCq0TMKDEKO4_m3_w1bp-UjjFUMWMF6pO0nOCkC4AI");
	forge_digest(f, 4, "iY5zA-mvYiyy2PhXXMxTWdyvPbBoK55hJVSIBVC1W-g");
	a->ancestors = (struct affiant_digests){.list = &f->digests[2], .count = 3};
	a->manifests = forge_digest(f, 5, "35saPbe86hTRChkHP-n0elHnYcM0FYIy8V6NLHWG5Jk");
	f->files[0] = (struct affiant_ima_file){.alg = TPM2_SHA256, .glob = "/usr/bin/*"};
	memset(f->files[0].digest, 0xb1, 32);
	f->files[1] = (struct affiant_ima_file){.alg = TPM2_SHA256};
	memcpy(f->files[1].digest,
	       forge_digest(f, 6, "juetU3zNb2ckxYuXWzh-APpIfp3VTxDe6R74KL6GWOM").list, 32);
	f->files[2] = (struct affiant_ima_file){.glob = "/var/log/*"};
	f->policy = (struct affiant_policy){
		.digest = "the policy",
		.tpm_roots = &f->tpm_pem,
		.tpm_roots_count = 1,
		.ak_roots = &f->ak_root_pem,
		.ak_roots_count = 1,
		.hosts = f->hosts,
		.hosts_count = 1,
		.agents = f->agents,
		.agents_count = 1,
		.ima = {.allowed = f->files, .allowed_count = 3},
		.boot = {.kernels = {.any = true}},
		.any_firmware = true,
		.max_age = 300,
		.skew = 5,
		.daemon =
			{
				.executables = forge_digest(
					f, 6, "juetU3zNb2ckxYuXWzh-APpIfp3VTxDe6R74KL6GWOM"),
				.configurations = forge_digest(
					f, 7, "I6r85VJgoC7CNtEZrzDFQVBIKL6t_8By8wV4qdJyHx0"),
				.bpf = forge_digest(f, 8,
						    "M4vmnyAbGd2vwypB6rufOpWmD5hy__Buuz0zpfP2Rrk"),
			},
	};
}

static inline void forge_begin(struct forge *f)
{
	memset(f, 0, sizeof(*f));
	f->kind = (struct ak_kind){TPM2_ECC,    TPM2_SHA256, TPM2_ECDSA,
				   TPM2_SHA256, TPM2_P256,   AK_ATTRIBUTES};
	f->ek_attributes = EK_ATTRIBUTES;
	f->hierarchy = TPM2_RH_ENDORSEMENT;
	f->ek_key = EVP_EC_gen("P-256");
	f->evidence_key = EVP_EC_gen("P-256");
	f->maker = "id:494E5443";
	f->certificates_until = FORGE_NOW + 86400;
	forge_authority("makers of TPMs", &f->tpm_ca, f->tpm_root, sizeof(f->tpm_root));
	forge_authority("enrolment", &f->ak_ca, f->ak_root, sizeof(f->ak_root));
	forge_boot_log(&f->boot, 1);
	assert_int_equal(pcr_bank_init(&f->ima.bank, TPM2_SHA256), 0);
	forge_aggregate(f);
	ima_file(&f->ima, 0xb1, "/usr/bin/true");
	ima_add(&f->ima, 10, "ima-ng",
		(const uint8_t *)"\x8e\xe7\xad\x53\x7c\xcd\x6f\x67\x24\xc5\x8b\x97\x5b\x38\x7e\x00"
				 "\xfa\x48\x7e\x9d\xd5\x4f\x10\xde\xe9\x1e\xf8\x28\xbe\x86\x58\xe3",
		"/usr/sbin/affiantd", false);
	ima_file(&f->ima, 0x77, "/var/log/syslog");
	f->pcrs = FORGE_PCRS;
	f->magic = TPM2_GENERATED;
	f->type = TPM2_ST_ATTEST_QUOTE;
	f->clock = (struct tpm2_clock){.ms = 1000000, .resets = 12, .restarts = 1, .safe = true};
	f->firmware = 0x2019102300163636;
	f->batch = 5;
	f->index = 3;
	f->payload = forge_json("claims/usual.json");
	f->host_claims = forge_json("host-claims/usual.json");
	f->nonce = FORGE_NONCE;
	f->audience = FORGE_AUDIENCE;
	f->now = FORGE_NOW;
	forge_policy(f);
}

/* ---- building ---- */

static inline void forge_certificates(struct forge *f)
{
	struct authority stranger;
	char unused[4096];
	uint8_t ueid[CLAIMS_UEID_SIZE];
	struct tpm2_public ak;
	X509 *x;

	forge_authority("a stranger", &stranger, unused, sizeof(unused));
	x = ek_certificate(f->ek_by_other_ca ? &stranger : &f->tpm_ca, f->ek_key, f->maker,
			   f->certificates_until);
	put_pem(x, f->ek_pem, sizeof(f->ek_pem));
	X509_free(x);
	assert_int_equal(claims_ueid(f->ek.data, f->ek.len, ueid), 0);
	if (f->ak_of_other_ek)
		ueid[5] ^= 1;
	if (!tpm2_public_parse(f->ak.data, f->ak.len, &ak)) {
		assert_int_equal(authority_issue(f->ak_by_other_ca ? &stranger : &f->ak_ca, &ak,
						 ueid, FORGE_NOW, 1, &x),
				 0);
		put_pem(x, f->ak_pem, sizeof(f->ak_pem));
		X509_free(x);
	}
	authority_clear(&stranger);
}

static inline void forge_identity(struct forge *f)
{
	uint8_t ueid[CLAIMS_UEID_SIZE];
	char text[128];

	if (!f->ak_key)
		f->ak_key = key_new(&f->kind);
	if (!f->signer)
		f->signer = f->ak_key;
	f->ek = ek_public(f->ek_key, f->ek_attributes);
	f->ak = ak_public(f->ak_key, &f->kind);
	assert_int_equal(tpm2_name(f->kind.name_alg, f->ak.data, f->ak.len, &f->ak_name), 0);
	forge_certificates(f);
	assert_int_equal(claims_ueid(f->ek.data, f->ek.len, ueid), 0);
	memcpy(f->hosts[0].ueid, ueid, sizeof(ueid));
	base64url_encode(ueid, sizeof(ueid), text);
	if (!f->keep_ueid)
		json_object_set_new(f->payload, "ueid", json_string(text));
	else
		memset(f->hosts[0].ueid, 1, sizeof(ueid));
	hex_encode(f->ak_name.data, f->ak_name.len, text + 0);
	if (!f->keep_ak)
		json_object_set_new(json_object_get(f->host_claims, "tpm"), "ak",
				    json_string(text));
}

static inline json_t *at(json_t *o, const char *a, const char *b)
{
	return json_object_get(json_object_get(o, a), b);
}

/* What file @i of "measurements" is, a text in the claims: to be freed. */
static inline json_t *forge_body(const json_t *measurements, size_t i)
{
	const char *text = json_string_value(json_array_get(json_array_get(measurements, i), 1));
	json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

	assert_non_null(o);
	return o;
}

/* The other way round; takes @body. */
static inline void forge_set_body(json_t *measurements, size_t i, int format, json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT);

	assert_non_null(text);
	assert_int_equal(json_array_set_new(measurements, i, json_pack("[is]", format, text)), 0);
	free(text);
	json_decref(body);
}

static inline void forge_digest_members(json_t *body, json_t **ret)
{
	static const char *const members[] = {"digested-measurement", "verity_measurement",
					      "unproven_measurement"};

	for (size_t i = 0; i < 3; i++) {
		json_t *digest = json_object_get(body, members[i]);

		if (digest)
			*ret = json_incref(digest);
		json_object_del(body, members[i]);
	}
}

/*
 * File @i in another @state, its digest in @member; NULL: it has none. @role 0: as it is. What has a
 * digest as RFC 10013 has it has that content-format too.
 */
static inline void forge_restate(json_t *measurements, size_t i, unsigned int role,
				 unsigned int state, const char *member)
{
	json_t *body = forge_body(measurements, i), *digest = NULL;
	uint8_t flags[8];
	char text[16];

	assert_int_equal(base64url_decode_exact(json_string_value(json_object_get(body, "flags")),
						11, flags, sizeof(flags)),
			 0);
	if (role)
		flags[6] = role;
	flags[7] = state;
	base64url_encode(flags, sizeof(flags), text);
	forge_digest_members(body, &digest);
	if (member)
		json_object_set(body, member, digest);
	json_decref(digest);
	json_object_set_new(body, "flags", json_string(text));
	forge_set_body(measurements, i,
		       member && !strcmp(member, "digested-measurement") ? 296 : 65040, body);
}

static inline void forge_token(struct forge *f)
{
	char *host = json_dumps(f->host_claims, JSON_COMPACT), text[64], kid[JOSE_THUMBPRINT_SIZE];
	struct sha256 digest;
	char *input;

	assert_int_equal(sha256_of(host, strlen(host), &digest), 0);
	base64url_encode(&digest, sizeof(digest), text);
	if (!f->keep_host_digest)
		json_object_set_new(json_object_get(f->payload, "submods"), "host",
				    json_pack("[s,[ss]]", "DIGEST", "SHA-256", text));
	assert_int_equal(jose_thumbprint(f->evidence_key, kid), 0);
	if (!f->keep_kid)
		json_object_set_new(f->payload, "kid", json_string(kid));
	if (!f->keep_header)
		f->header = json_pack("{ssssso}", "alg", "ES256", "typ", "eat+jwt", "jwk",
				      jose_jwk(f->evidence_key, false));
	assert_int_equal(jose_signing_input(f->header, f->payload, &input), 0);
	f->signing_input_len = strlen(input);
	assert_int_equal(jose_jws(f->evidence_key, input, &f->token), 0);
	assert_int_equal(batch_leaf(f->domain, input, strlen(input), &f->leaf), 0);
	free(input);
	free(host);
}

/* extraData over the batch; the audit path. */
static inline struct sha256 forge_batch(struct forge *f)
{
	struct sha256 leaves[64] = {}, extra;
	uint8_t path[BATCH_PATH_SIZE_MAX];
	struct batch *b;

	for (size_t i = 0; i < f->batch; i++)
		leaves[i] = f->other_leaves ? f->other_leaves[i] : (struct sha256){{i + 1}};
	leaves[f->index] = f->leaf;
	assert_int_equal(batch_new(leaves, f->batch, &b), 0);
	f->path.len = 0;
	add(&f->path, path, batch_path(b, f->index, path));
	assert_int_equal(batch_extra(f->domain, f->batch, batch_root(b), &extra), 0);
	batch_free(b);
	return extra;
}

static inline struct tpm2_bytes forge_signer(const struct forge *f)
{
	const struct tpm2_bytes hierarchy = tpm2_handle_name(f->hierarchy);
	struct tpm2_bytes ek_name, parent, qualified;

	assert_int_equal(tpm2_name(TPM2_SHA256, f->ek.data, f->ek.len, &ek_name), 0);
	assert_int_equal(tpm2_qualified_name(&hierarchy, &ek_name, &parent), 0);
	assert_int_equal(tpm2_qualified_name(&parent, &f->ak_name, &qualified), 0);
	return qualified;
}

static inline void forge_quote(struct forge *f)
{
	const struct sha256 extra = forge_batch(f);
	const struct tpm2_bytes signer = forge_signer(f);
	struct bytes *a = &f->attest;
	struct tpm2_bytes digest;

	if (!f->selections_count) {
		f->selections[0] = (struct tpm2_selection){TPM2_SHA256, f->pcrs};
		f->selections_count = 1;
	}
	add_be(a, f->magic, 4);
	add_be(a, f->type, 2);
	add_sized(a, signer.data, signer.len);
	add_sized(a, &extra, sizeof(extra));
	add_be(a, f->clock.ms, 8);
	add_be(a, f->clock.resets, 4);
	add_be(a, f->clock.restarts, 4);
	add_be(a, f->clock.safe, 1);
	add_be(a, f->firmware, 8);
	if (f->type == TPM2_ST_ATTEST_NV) {
		add_sized(a, signer.data, signer.len);
		add_be(a, 0, 2);
		add_be(a, 8, 2);
		add_be(a, 5, 8);
	} else {
		add_be(a, f->selections_count, 4);
		for (size_t i = 0; i < f->selections_count; i++) {
			add_be(a, f->selections[i].alg, 2);
			add_be(a, 3, 1);
			for (int k = 0; k < 24; k += 8)
				add_be(a, f->selections[i].pcrs >> k & 0xff, 1);
		}
		assert_int_equal(pcr_digest(&f->bank, 1, f->selections,
					    f->selections[0].alg == TPM2_SHA256 ? 1 : 0,
					    f->kind.hash == TPM2_SHA1 ? TPM2_SHA256 : f->kind.hash,
					    &digest),
				 0);
		add_sized(a, digest.data, digest.len);
		for (uint32_t pcr = 0; pcr < TPM2_PCRS; pcr++)
			if (f->selections[0].pcrs & 1u << pcr)
				add(&f->pcr_values, f->bank.values[pcr], f->bank.size);
	}
	f->signature = tpm_sign(f->signer, f->scheme ?: f->kind.scheme, f->hash ?: f->kind.hash,
				a->data, a->len);
}

static inline void put_member(json_t *o, const char *name, const char *type, const void *data,
			      size_t len)
{
	assert_int_equal(cmw_add(o, name, type, data, len), 0);
}

static inline void forge_host(struct forge *f)
{
	char *claims = json_dumps(f->host_claims, JSON_COMPACT), range[96];

	f->host = cmw_collection(CMW_TYPE_HOST);
	put_member(f->host, "claims", CMW_HOST_CLAIMS, claims, strlen(claims));
	put_member(f->host, "ek_public", CMW_TPMT_PUBLIC, f->ek.data, f->ek.len);
	put_member(f->host, "ak_public", CMW_TPMT_PUBLIC, f->ak.data, f->ak.len);
	if (!f->no_ek_chain)
		put_member(f->host, "ek_chain", CMW_PEM, f->ek_pem, strlen(f->ek_pem));
	if (!f->no_ak_chain)
		put_member(f->host, "ak_chain", CMW_PEM, f->ak_pem, strlen(f->ak_pem));
	if (f->real_boot.data) {
		put_member(f->host, "boot_log", CMW_EVENT_LOG, f->real_boot.data, f->real_boot.len);
		put_member(f->host, "ima_log", CMW_IMA_LOG, f->real_ima.data, f->real_ima.len);
		put_member(f->host, "ima_range", CMW_IMA_RANGE, "{\"from\":0,\"entries\":0}", 22);
		free(claims);
		return;
	}
	if (!f->no_boot_log)
		put_member(f->host, "boot_log", CMW_EVENT_LOG, f->boot.data, f->boot.len);
	if (!f->no_ima_log) {
		snprintf(range, sizeof(range), "{\"from\":%zu,\"entries\":%zu}",
			 (size_t)f->ima_from, f->ima.entries - (size_t)f->ima_from);
		put_member(f->host, "ima_log", CMW_IMA_LOG, f->ima.data + f->ima_skip,
			   f->ima.len - f->ima_skip - f->ima_cut);
		put_member(f->host, "ima_range", CMW_IMA_RANGE, range, strlen(range));
	}
	free(claims);
}

/* The collection, from what is there. */
static inline void forge_wrap(struct forge *f)
{
	json_decref(f->collection);
	f->collection = cmw_collection(CMW_TYPE_EVIDENCE);
	put_member(f->collection, "eat", CMW_EAT, f->token, strlen(f->token));
	put_member(f->collection, "quote", CMW_TPMS_ATTEST, f->attest.data, f->attest.len);
	put_member(f->collection, "signature", CMW_TPMT_SIGNATURE, f->signature.data,
		   f->signature.len);
	put_member(f->collection, "pcrs", CMW_PCRS, f->pcr_values.data, f->pcr_values.len);
	put_member(f->collection, "path", CMW_PATH, f->path.data, f->path.len);
	if (f->host)
		json_object_set(f->collection, "host", f->host);
}

static inline void forge_build(struct forge *f)
{
	forge_identity(f);
	if (!f->real_boot.data)
		memcpy(f->bank.values[10], f->ima.bank.values[10], f->bank.size);
	forge_token(f);
	forge_quote(f);
	forge_host(f);
	forge_wrap(f);
}

/* Made anew by the same host, with what changed since; with host evidence if @host. */
static inline void forge_again(struct forge *f, bool host)
{
	json_decref(f->host);
	json_decref(f->header);
	f->host = f->header = NULL;
	free(f->token);
	f->attest.len = f->pcr_values.len = 0;
	memcpy(f->bank.values[10], f->ima.bank.values[10], f->bank.size);
	forge_token(f);
	forge_quote(f);
	if (host)
		forge_host(f);
	forge_wrap(f);
}

static inline struct verify_result *forge_verify(struct forge *f)
{
	struct verify_result *r;
	struct verifier *v;
	const char *why = "";

	if (verifier_new(&f->policy, &v, &why))
		fail_msg("%s", why);
	if (f->collection) {
		free(f->text);
		f->text = json_dumps(f->collection, JSON_COMPACT);
	}
	const struct verify_request q = {
		.evidence = f->text,
		.len = strlen(f->text),
		.nonce = f->nonce,
		.audience = f->audience,
		.now = f->now,
		.cached = f->cached,
	};
	assert_int_equal(verify(v, &q, &r), 0);
	verifier_free(v);
	return r;
}

static inline void forge_end(struct forge *f)
{
	if (f->signer != f->ak_key)
		EVP_PKEY_free(f->signer);
	EVP_PKEY_free(f->ak_key);
	EVP_PKEY_free(f->ek_key);
	EVP_PKEY_free(f->evidence_key);
	authority_clear(&f->tpm_ca);
	authority_clear(&f->ak_ca);
	json_decref(f->header);
	json_decref(f->payload);
	json_decref(f->host_claims);
	json_decref(f->collection);
	json_decref(f->host);
	free(f->token);
	free(f->text);
	memset(f, 0, sizeof(*f));
}
