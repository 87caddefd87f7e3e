/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify: judges evidence by a policy, in the order that leaves nothing to what an attacker chose:
 * what is read first decides nothing that is checked later. An invalid quote is a verdict with a
 * reason, not an error.
 */
#pragma once

#include <jansson.h>

#include "attest/affiant-verify.h"
#include "attest/bounds.h"
#include "attest/claims.h"
#include "attest/hoststate.h"

#define VERIFY_CHECKS_MAX 64
#define VERIFY_TEXT_MAX 192

/*
 * Why evidence is not affirmed: the names are stable, docs/token-services.md lists them. Up to
 * host_evidence_needed it can't be judged (undecided); the rest is refused.
 */
/* clang-format off */
#define VERIFY_CODES(X) \
	X(malformed_evidence) X(malformed_token) X(malformed_claims) \
	X(malformed_quote) X(malformed_signature) X(malformed_pcrs) X(malformed_path) \
	X(malformed_host) X(malformed_host_claims) X(malformed_boot_log) \
	X(malformed_ima_log) X(malformed_systemd_log) \
	X(host_evidence_needed) \
	X(token_algorithm) X(token_header) X(token_key) X(token_signature) \
	X(nonce) X(audience) X(expired) X(not_yet_valid) X(too_old) \
	X(host_unknown) \
	X(ek_invalid) X(ek_mismatch) X(ek_chain) X(ek_no_certificate) X(software_tpm) \
	X(ak_invalid) X(ak_chain) X(ak_not_enrolled) X(ak_other_ek) \
	X(quote_scheme) X(quote_signature) X(quote_magic) X(quote_type) \
	X(quote_signer) \
	X(quote_purpose) X(quote_extra) \
	X(clock_reset_backwards) X(clock_backwards) X(tpm_reset) X(kexec) X(firmware) \
	X(firmware_changed) \
	X(quote_selection) X(quote_bank) X(quote_resettable) X(quote_pcrs) \
	X(pcr_value) \
	X(host_claims_mismatch) X(ak_claimed) \
	X(boot_log_missing) X(boot_log_bank) X(boot_log_mismatch) X(pcrs_unextended) \
	X(boot_log_separator) X(boot_log_unexplained) \
	X(boot_rule) X(boot_event) X(secure_boot) X(debugger) X(dma_unprotected) \
	X(kernel_unknown) X(kernel_replaceable) \
	X(ima_missing) X(ima_no_policy) X(ima_mismatch) X(ima_padded) X(ima_violation) \
	X(ima_template) X(ima_stray) X(ima_aggregate) X(ima_unlisted) X(ima_no_daemon) \
	X(daemon_digest) X(configuration_digest) X(bpf_digest) \
	X(agent_unknown) X(agent_not_on_host) X(tier) X(hash_state) \
	X(executable_digest) X(script_digest) X(interpreter_digest) X(loader_digest) \
	X(argument_digest) X(manifest_digest) X(ancestor_digest) X(programs_root) \
	X(environment) \
	X(isolation) X(key_custody) X(late_session) X(folded_session) \
	X(untagged_children) X(events_lost) X(principal_asserted) \
	X(principal_missing) X(task_missing)
/* clang-format on */

enum verify_code {
	VERIFY_NONE,
#define X(name) VERIFY_##name,
	VERIFY_CODES(X)
#undef X
		VERIFY_CODES_END,
};
const char *verify_code_name(enum verify_code c); /* "" for VERIFY_NONE */

enum verify_outcome { VERIFY_PASSED, VERIFY_FAILED, VERIFY_NOT_JUDGED };

/* "quote: signature": what stands before the colon is the group. */
struct verify_check {
	const char *name;
	enum verify_outcome outcome;
	char showed[VERIFY_TEXT_MAX];
};

struct verify_result {
	enum affiant_verdict verdict;
	enum verify_code code;
	enum affiant_tier tier;
	uint64_t ima_from; /* with VERIFY_host_evidence_needed */
	const char *asset; /* the policy's name for the host; NULL: not come so far */
	struct verify_check checks[VERIFY_CHECKS_MAX];
	size_t checks_count;
	bool has_claims; /* they are the daemon's, and covered by the quote, only when affirmed */
	struct claims claims;
	bool proven; /* what the kernel executed for the asking process; set once that was judged */
	json_t *payload; /* as they stand there; owned */
	bool has_host;   /* to be kept for that host: its quote and logs were good */
	struct hoststate host;
};

struct verifier;
/* -EINVAL: *@ret_why (static) says what is wrong with the policy, which is borrowed. -ENOMEM. */
int verifier_new(const struct affiant_policy *p, struct verifier **ret, const char **ret_why);
void verifier_free(struct verifier *v);

struct verify_request {
	const void *evidence;
	size_t len;
	const char *nonce, *audience;
	int64_t now;                    /* seconds */
	const struct hoststate *cached; /* of the ueid that it claims; NULL: none is kept */
	/*
	 * Instead of that: asked once, for the ueid of a host that the policy names, after the
	 * token, its nonce, audience and times were found good. So that nobody else's evidence has
	 * a lock taken or a file read. 0, and *@ret NULL or a state that lasts until verify()
	 * returns; or what verify() is to return.
	 */
	int (*recall)(void *data, const uint8_t ueid[CLAIMS_UEID_SIZE],
		      const struct hoststate **ret);
	void *data;
};

/* 0, -ENOMEM, or what recall() returned; whatever the evidence is leads to a verdict. */
int verify(struct verifier *v, const struct verify_request *request, struct verify_result **ret);
void verify_result_free(struct verify_result *r);

/* What failed, or the last check: "" there is none. */
const char *verify_reason(const struct verify_result *r);
const char *verify_tier_word(enum affiant_tier t);
const char *verify_verdict_word(enum affiant_verdict v);
const char *verify_outcome_word(enum verify_outcome o);
json_t *verify_result_json(const struct verify_result *r);

/*
 * What is judged before recall() is asked, and nothing more: 0 and the ueid, or -EBADMSG: verify()
 * would say why it is not affirmed. For who asks for a lock by other ways than recall().
 */
int verify_early(struct verifier *v, const struct verify_request *request,
		 uint8_t ret_ueid[static CLAIMS_UEID_SIZE]);

/* The ueid that evidence claims. -EBADMSG: malformed. */
int verify_ueid(const void *evidence, size_t len, uint8_t ret[static CLAIMS_UEID_SIZE]);
