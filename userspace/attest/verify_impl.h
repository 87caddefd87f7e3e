/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of verify.h: each is a stage that ends the verification with a verdict, or goes on. */
#pragma once

#include "attest/certificate.h"
#include "attest/eventlog.h"
#include "attest/ossl.h"
#include "attest/parts.h"
#include "attest/systemdlog.h"
#include "attest/verify.h"

#define QUOTES_KEPT 64
#define KEYS_KEPT 64

/* Lines of the allowlist: those with a digest sorted by it, those for any content as they stand. */
struct allowlist {
	const struct affiant_ima_file **by_digest;
	size_t digests;
	const struct affiant_ima_file **by_path;
	size_t paths;
};

/* Making a key of what names it takes a quarter of what a signature does: hosts come back. */
struct kept_key {
	struct sha256 name;
	EVP_PKEY *key;
};

struct verifier {
	const struct affiant_policy *policy;
	struct certificate_store *tpm_roots, *ak_roots;
	struct allowlist allowed;
	/* SHA-256 of key, quote and signature that were good: those of one batch are checked once.
	 */
	struct sha256 quotes[QUOTES_KEPT];
	size_t next_quote;
	struct kept_key keys[KEYS_KEPT];
	size_t next_key;
};

struct verification {
	struct verifier *verifier;
	const struct affiant_policy *policy;
	const struct verify_request *request;
	const struct hoststate *cached; /* the request's, as long as it may count */
	struct verify_result *result;
	int err; /* -ENOMEM ends it without a verdict */

	/* Found by verify_parse(), decoded one after the other. */
	struct parts parts;
	struct cmw_item *items, *host; /* of parts, by enum member and host_member */
	bool has_host;
	uint64_t ima_from; /* of ima_range */

	struct jose_parsed token;
	struct tpm2_attest attest;
	struct tpm2_signature signature;
	struct tpm2_public ek, ak;
	struct tpm2_bytes ak_name;
	struct claims_host host_claims;
	bool has_host_claims;
	struct pcr_bank quoted[TPM2_SELECTIONS_MAX];
	const struct pcr_bank *bank; /* of quoted: SHA-256 */
	uint32_t pcrs;               /* selected in it */
	struct eventlog *boot_log;
	struct systemdlog systemd_log;
	uint32_t led;           /* PCRs whose quoted values these logs lead to, */
	struct pcr_bank booted; /* and where the boot log alone does: as the kernel was started */
	struct ima_state list;
	const struct affiant_host *host_policy;
	bool judged_host; /* from host evidence, not from the cache */
	bool software, boot_judged, ima_judged, daemon_seen;
	int64_t until, enrolled; /* of the certificates; see struct hoststate */
};

/* True: go on. */
bool pass(struct verification *v, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
bool not_judged(struct verification *v, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* False: that is the end. */
bool fail(struct verification *v, enum verify_code code, const char *name, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
bool need_host(struct verification *v, uint64_t from, const char *why);
bool broken(struct verification *v, int err);

/* A key that was kept by that name, borrowed; NULL. */
EVP_PKEY *verifier_key(const struct verifier *v, const struct sha256 *name);
/* Takes the key, and drops another one. */
EVP_PKEY *verifier_keep(struct verifier *v, const struct sha256 *name, EVP_PKEY *key);

/* What is kept of the host was judged by this policy. */
bool kept_by_policy(const struct verification *v);

bool policy_has(const struct affiant_digests *d, const void *digest, size_t len);
bool policy_names(const struct affiant_texts *t, const char *text);

/*
 * The stages, in their order: what is cheap and what a stranger can't have comes before what is
 * long. Up to verify_members() it is the token alone, up to verify_logs() what is short.
 */
bool verify_parse(struct verification *v);
bool verify_token(struct verification *v);
bool verify_binding(struct verification *v);
bool verify_known(struct verification *v);
bool verify_members(struct verification *v);
bool verify_identity(struct verification *v);
bool verify_quote(struct verification *v);
bool verify_logs(struct verification *v);
bool verify_clock(struct verification *v);
bool verify_pcrs(struct verification *v);
bool verify_host_claims(struct verification *v);
bool verify_boot(struct verification *v);
bool verify_ima(struct verification *v);
bool verify_daemon(struct verification *v);
bool verify_workload(struct verification *v);
void verify_keep(struct verification *v);

int allowlist_new(const struct affiant_ima *ima, struct allowlist *ret);
void allowlist_clear(struct allowlist *a);
bool allowlist_has(const struct allowlist *a, const struct ima_entry *e);
