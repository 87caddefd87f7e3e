/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forgery_relay: what is genuine, of another host, another time or another place of a batch; and what
 * a verifier remembers of a host. For test_forgery.c.
 */
#pragma once

#include "forgery_agent.h"

/* ---- of another host ---- */

/* A host as good as the first one, of the same makers of TPMs, enrolled by the same. */
static struct forge second;
static struct affiant_pem both_tpm[2], both_ak[2];

static void make_other(void)
{
	forge_begin(&second);
	forge_build(&second);
	both_tpm[0] = f.tpm_pem;
	both_tpm[1] = second.tpm_pem;
	both_ak[0] = f.ak_root_pem;
	both_ak[1] = second.ak_root_pem;
	f.policy.tpm_roots = both_tpm;
	f.policy.ak_roots = both_ak;
	f.policy.tpm_roots_count = f.policy.ak_roots_count = 2;
}

/* Which the policy knows, and has no agents on. */
static void know_other(void)
{
	make_other();
	f.hosts[1] = second.hosts[0];
	f.hosts[1].agents.count = 0;
	f.policy.hosts_count = 2;
}

static void take_other(const char *const *names)
{
	for (; *names; names++)
		json_object_set(f.collection, *names, json_object_get(second.collection, *names));
}

static void take_other_host(const char *const *names)
{
	for (; *names; names++)
		json_object_set(f.host, *names, json_object_get(second.host, *names));
}

#define OF_OTHER(...) take_other((const char *const[]){__VA_ARGS__, NULL})
#define OF_OTHER_HOST(...) take_other_host((const char *const[]){__VA_ARGS__, NULL})

static void other_quote(void)
{
	make_other();
	OF_OTHER("quote", "signature", "pcrs", "path");
}
static void other_quote_and_host(void)
{
	make_other();
	OF_OTHER("quote", "signature", "pcrs", "path", "host");
}
static void other_quote_and_keys(void)
{
	know_other();
	OF_OTHER("quote", "signature", "pcrs", "path");
	OF_OTHER_HOST("ak_public", "ak_chain");
}
static void other_token_unknown(void)
{
	make_other();
	OF_OTHER("eat");
}
static void other_token(void)
{
	know_other();
	OF_OTHER("eat");
}
static void other_token_and_path(void)
{
	know_other();
	OF_OTHER("eat", "path", "host");
}
static void other_ak(void)
{
	make_other();
	OF_OTHER_HOST("ak_public", "ak_chain");
}
static void other_ak_certificate(void)
{
	make_other();
	OF_OTHER_HOST("ak_chain");
}
static void other_ek(void)
{
	make_other();
	OF_OTHER_HOST("ek_public", "ek_chain");
}
static void other_ek_certificate(void)
{
	make_other();
	OF_OTHER_HOST("ek_chain");
}
static void other_host_claims(void)
{
	make_other();
	OF_OTHER_HOST("claims");
}
/* All of it, from a host that may have no such agent. */
static void other_whole(void)
{
	know_other();
	OF_OTHER("eat", "quote", "signature", "pcrs", "path", "host");
}
static void chains_exchanged(void)
{
	json_t *ek = json_incref(json_object_get(f.host, "ek_chain"));

	json_object_set(f.host, "ek_chain", json_object_get(f.host, "ak_chain"));
	json_object_set_new(f.host, "ak_chain", ek);
}

/* ---- of another time ---- */

static json_t *earlier(const char *name)
{
	return json_incref(json_object_get(f.collection, name));
}

/* The verifier gave one nonce out twice: the token of then does not go with the quote of now. */
static void token_of_then(void)
{
	json_t *eat = earlier("eat");

	set(f.payload, "jti", json_string("00000000-0000-4000-8000-00000000000a"));
	forge_again(&f, true);
	set(f.collection, "eat", eat);
}
static void path_of_then(void)
{
	json_t *path = earlier("path");

	f.batch = 9;
	f.index = 6;
	forge_again(&f, true);
	set(f.collection, "path", path);
}
static void signature_of_then(void)
{
	json_t *signature = earlier("signature");

	f.clock.ms++;
	forge_again(&f, true);
	set(f.collection, "signature", signature);
}
static void pcrs_of_then(void)
{
	json_t *pcrs = earlier("pcrs");

	pcr_extend(&f.bank, 9, f.files[0].digest);
	forge_again(&f, true);
	set(f.collection, "pcrs", pcrs);
}
/* Before a reboot with another kernel: its logs don't lead to what is quoted now. */
static void logs_of_the_boot_before(void)
{
	json_t *log = json_incref(json_object_get(f.host, "boot_log"));

	put_text(&f.boot, 9, EV_IPL, "another initrd");
	forge_replay(&f);
	f.ima = (struct ima_builder){};
	pcr_bank_init(&f.ima.bank, TPM2_SHA256);
	forge_aggregate(&f);
	ima_file(&f.ima, 0xb1, "/usr/bin/true");
	forge_again(&f, true);
	set(f.host, "boot_log", log);
}
static void claims_of_the_boot_before(void)
{
	json_t *claims = json_incref(json_object_get(f.host, "claims"));

	set(f.host_claims, "boot_id", json_string("1f8fad5b-d9cb-469f-a165-70867728950e"));
	forge_again(&f, true);
	set(f.host, "claims", claims);
}
static void list_of_then(void)
{
	json_t *list = json_incref(json_object_get(f.host, "ima_log"));

	ima_file(&f.ima, 0x66, "/usr/bin/evil");
	forge_again(&f, true);
	set(f.host, "ima_log", list);
}

/* ---- of another place of the batch ---- */

static void change_path(size_t byte, uint8_t value)
{
	struct bytes path = member(f.collection, "path");

	path.data[byte] = value;
	replace(f.collection, "path", &path);
}
static void batch_of_none(void)
{
	change_path(15, 0);
}
static void batch_of_one(void)
{
	change_path(15, 1);
}
static void batch_of_six(void)
{
	change_path(15, 6);
}
static void index_behind(void)
{
	change_path(7, 5);
}
static void index_far(void)
{
	change_path(0, 0x80);
}
static void path_longer(void)
{
	struct bytes path = member(f.collection, "path");

	add(&path, f.leaf.bytes, 32);
	replace(f.collection, "path", &path);
}
static void path_without_hashes(void)
{
	struct bytes path = {};

	add_be(&path, 0, 8);
	add_be(&path, 1, 8);
	replace(f.collection, "path", &path);
}
static void path_reversed(void)
{
	struct bytes path = member(f.collection, "path"), old = path;

	memcpy(path.data + 16, old.data + old.len - 32, 32);
	memcpy(path.data + old.len - 32, old.data + 16, 32);
	replace(f.collection, "path", &path);
}

/* ---- what is remembered ---- */

/* As a host that was enrolled anew looks to who remembers it, and a forgery. */
static void kept_ak_of_other(void)
{
	keep();
	make_other();
	memcpy(kept.ak.data, second.ak.data, second.ak.len);
	kept.ak.len = second.ak.len;
	unknown_host();
}
static void kept_ak_of_other_kind(void)
{
	const struct ak_kind kind = {TPM2_ECC,    TPM2_SHA256, TPM2_ECDSA,
				     TPM2_SHA384, TPM2_P384,   AK_ATTRIBUTES};
	EVP_PKEY *key = key_new(&kind);
	struct bytes ak = ak_public(key, &kind);

	keep();
	memcpy(kept.ak.data, ak.data, ak.len);
	kept.ak.len = ak.len;
	EVP_PKEY_free(key);
	unknown_host();
}
static void kept_ak_damaged(void)
{
	keep();
	kept.ak.len = 3;
	unknown_host();
}
static void kept_ek_damaged(void)
{
	keep();
	kept.ek.data[0] ^= 0xff;
	unknown_host();
}
static void kept_ek_of_other(void)
{
	keep();
	make_other();
	memcpy(kept.ek.data, second.ek.data, second.ek.len);
	kept.ek.len = second.ek.len;
	unknown_host();
}
static void kept_of_software(void)
{
	keep();
	kept.software = true;
	unknown_host();
}
/* With the remembered AK's public half, as the attacker has it too, and a signature of its own. */
static void kept_and_key_outside(void)
{
	keep();
	f.signer = EVP_EC_gen("P-256");
	forge_again(&f, false);
}
/* The attacker sends the host evidence that is asked for then: it names the key. */
static void kept_and_key_outside_with_host(void)
{
	keep();
	f.signer = EVP_EC_gen("P-256");
	forge_again(&f, true);
}
/* What is kept is of one host, and the token's issuer another: as with host evidence. */
static void kept_and_other_issuer(void)
{
	char *iss = strdup(json_string_value(json_object_get(f.payload, "iss")));

	keep();
	iss[strlen(iss) - 1] ^= 1;
	set(f.payload, "iss", json_string(iss));
	free(iss);
	forge_again(&f, false);
}
static void kept_without_list(void)
{
	keep();
	kept.ima = false;
	unknown_host();
}
static void kept_list_longer(void)
{
	keep();
	kept.list.entries += 2;
	f.ima_from = f.ima.entries;
	f.ima_skip = f.ima.len;
	ima_file(&f.ima, 0xb1, "/usr/bin/id");
	forge_again(&f, true);
}

#define FORGERIES_OF_RELAYS                                                                        \
	A(other_quote, quote_signature), A(other_quote_and_host, ek_mismatch),                     \
		A(other_quote_and_keys, ak_other_ek), A(other_token_unknown, host_unknown),        \
		A(other_token, ek_mismatch), A(other_token_and_path, quote_signature),             \
		A(other_ak, ak_other_ek), A(other_ak_certificate, ak_chain),                       \
		A(other_ek, ek_mismatch), A(other_ek_certificate, ek_chain),                       \
		A(other_host_claims, host_claims_mismatch), A(other_whole, agent_not_on_host),     \
		A(chains_exchanged, ek_chain), A(token_of_then, quote_extra),                      \
		A(path_of_then, quote_extra), A(signature_of_then, quote_signature),               \
		A(pcrs_of_then, quote_pcrs), A(logs_of_the_boot_before, boot_log_mismatch),        \
		A(claims_of_the_boot_before, host_claims_mismatch), A(list_of_then, ima_mismatch), \
		A(batch_of_none, malformed_path), A(batch_of_one, malformed_path),                 \
		A(batch_of_six, quote_extra), A(index_behind, malformed_path),                     \
		A(index_far, malformed_path), A(path_longer, malformed_path),                      \
		A(path_without_hashes, quote_extra), A(path_reversed, quote_extra),                \
		A(kept_ak_of_other, host_evidence_needed),                                         \
		A(kept_ak_of_other_kind, host_evidence_needed),                                    \
		A(kept_ak_damaged, host_evidence_needed),                                          \
		A(kept_ek_damaged, host_evidence_needed), A(kept_ek_of_other, quote_signer),       \
		A(kept_of_software, software_tpm), A(kept_and_key_outside, host_evidence_needed),  \
		A(kept_and_key_outside_with_host, quote_signature),                                \
		A(kept_and_other_issuer, host_claims_mismatch),                                    \
		A(kept_without_list, host_evidence_needed),                                        \
		A(kept_list_longer, host_evidence_needed)
