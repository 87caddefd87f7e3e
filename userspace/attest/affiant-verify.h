/* SPDX-License-Identifier: Apache-2.0 */
/*
 * affiant-verify: judges evidence (docs/evidence.md) by a policy, without TPM, root or affiantd.
 * Everything that a policy does not name is refused. How a token service uses it:
 * docs/token-services.md.
 *
 * Structures are plain and zero-initialised: zero always means the stricter thing, and a list
 * without entries takes nothing. Sets of bits have to be given: affiant_verifier_new() refuses an
 * agent's that are empty, and a host or an agent that is there twice. What a policy may ask for in
 * addition is in boot.values, boot.rules, boot.closed and the members require_...: these ask for
 * what they name, and for nothing when empty. What structures point to is the caller's, and must
 * outlive the verifier made of it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AFFIANT_UEID_SIZE 33

/* What the machine showed, from the weakest on: by what was checked, never the host's word. */
enum affiant_tier {
	AFFIANT_UNATTESTED,
	AFFIANT_SOFTWARE_TPM,     /* a TPM that is a program, whose host's root has its keys */
	AFFIANT_BOOT_UNKNOWN,     /* a TPM, and nothing known of what was booted */
	AFFIANT_BOOT_STATE,       /* the measured boot is as the policy has it */
	AFFIANT_RUNTIME_MEASURED, /* and so is everything that IMA measured since */
};
#define AFFIANT_TIERS 5

enum affiant_verdict { AFFIANT_AFFIRMED, AFFIANT_REFUSED, AFFIANT_UNDECIDED };

struct affiant_digest {
	uint8_t sha256[32];
};

/* Digests of which one must be met: none of none. @any: all pass, and none is needed. */
struct affiant_digests {
	const struct affiant_digest *list;
	size_t count;
	bool any;
};

struct affiant_texts {
	const char *const *list;
	size_t count;
};

/* Certificates in PEM, up to eight to an entry: trust anchors. */
struct affiant_pem {
	const char *text;
	size_t len;
	bool software; /* of TPMs: what it vouches for is a software TPM, whatever it says */
};

/* EK -> asset -> agents allowed there. */
struct affiant_host {
	uint8_t ueid[AFFIANT_UEID_SIZE];
	const char *asset;           /* the operator's name for it */
	struct affiant_texts agents; /* SPIFFE IDs */
	bool no_ek_certificate;      /* the ueid was learnt otherwise: no EK certificate needed */
	bool hardware;               /* and with that: it is known that this TPM is no program */
};

/* An event of the boot log, as eventlog_rule (attest/eventlog.h): by digest or measured text. */
struct affiant_event_rule {
	uint32_t pcrs; /* bit n: PCR n */
	struct affiant_digests digests;
	struct affiant_texts texts; /* '*' at the end: whatever begins so */
	size_t least;               /* so many events must meet it */
	bool early;                 /* only those before the separator do; of PCRs 0-7 alone */
};

struct affiant_pcr_rule {
	uint32_t pcr; /* 0-15, not 10 */
	struct affiant_digests values;
};

enum affiant_boot_mode {
	AFFIANT_BOOT_LOG, /* the boot log must lead to the quoted values, and meet the rules */
	AFFIANT_BOOT_NONE /* nothing is asked of the boot: the tier is boot-unknown at most */
};

struct affiant_boot {
	enum affiant_boot_mode mode;
	/* Values that explain a PCR instead of the log. Whatever the mode, they must be met. */
	const struct affiant_pcr_rule *values;
	size_t values_count;
	const struct affiant_event_rule *rules;
	size_t rules_count;
	uint32_t closed; /* PCRs in which every event must meet a rule */
	/*
	 * Kernels, by the digest that the boot log has of them in PCR 4 or 9; @any: the kernel is
	 * not asked for. One counts only where it can't be exchanged at runtime: with
	 * lockdown=integrity or confidentiality in a measured command line, or under Secure Boot if
	 * kernels_lock_down (these kernels lock down by themselves then). And only where the policy
	 * knows the loader: PCR 4 or 7 is closed, or has values; by PCR 7 alone a command line
	 * counts in PCRs 8 and 9, if IMA is required. If it is not, the kernel's own PCR must be
	 * closed, or have values.
	 */
	struct affiant_digests kernels;
	bool kernels_lock_down;
	bool allow_secure_boot_off, allow_debugger, allow_dma_unprotected, allow_kexec;
};

/* A line of an allowlist: of a file measured by IMA. */
struct affiant_ima_file {
	uint16_t alg;       /* TPM_ALG_ID; 0: any content */
	uint8_t digest[64]; /* of the algorithm's size */
	const char *glob;   /* fnmatch(3), with FNM_PATHNAME; NULL: at any path */
};

struct affiant_ima {
	bool not_required; /* then a list is not judged, and the tier is boot-state at most */
	const struct affiant_ima_file *allowed;
	size_t allowed_count;
	bool allow_violations;
	bool allow_padded; /* kernels before 5.8: banks are worth what SHA-1 is */
	bool allow_unknown_templates;
};

/* What affiantd states of itself; with IMA its executable must be in the list, too. */
struct affiant_daemon {
	struct affiant_digests executables, configurations, bpf;
};

/* HashState n is bit n. A script, which is offered at best, is not judged by them. */
#define AFFIANT_STATE_KERNEL (1u << 1)
#define AFFIANT_STATE_VERITY (1u << 2)
#define AFFIANT_STATE_HELD (1u << 3)
#define AFFIANT_STATE_OBSERVED (1u << 4)
#define AFFIANT_STATE_UNPROVEN (1u << 10) /* read later, from what others than root could change */
#define AFFIANT_STATE_CLAIMED (1u << 12)  /* no digest: it meets no list */
#define AFFIANT_STATES_PROVEN                                                                      \
	(AFFIANT_STATE_KERNEL | AFFIANT_STATE_VERITY | AFFIANT_STATE_HELD | AFFIANT_STATE_OBSERVED)

/* As claims have it: affiant.h has what a launcher says, with numbers of its own. */
enum affiant_verify_isolation {
	AFFIANT_VERIFY_LANDLOCK,
	AFFIANT_VERIFY_UID,
	AFFIANT_VERIFY_NONE,
	AFFIANT_VERIFY_UNKNOWN
};
#define AFFIANT_ISOLATED (1u << AFFIANT_VERIFY_LANDLOCK | 1u << AFFIANT_VERIFY_UID)
enum affiant_custody { AFFIANT_OF_PROCESS, AFFIANT_OF_DAEMON };
#define AFFIANT_ANY_CUSTODY (1u << AFFIANT_OF_PROCESS | 1u << AFFIANT_OF_DAEMON)
#define AFFIANT_ANY_LOST UINT64_MAX

struct affiant_agent {
	const char *id; /* SPIFFE ID */
	/* Files of the process that asked, by role: each that it has must be listed. One of scripts
	 * or arguments it must have, where any are. */
	struct affiant_digests executables, scripts, interpreters, loaders, arguments, manifests;
	struct affiant_digests ancestors; /* all files of the processes above it */
	struct affiant_digests programs;  /* programs.root; @any: not judged */
	enum affiant_tier minimum;        /* AFFIANT_UNATTESTED means runtime-measured */
	uint32_t
		isolations; /* bit n: enum affiant_verify_isolation n passes; usual: AFFIANT_ISOLATED */
	uint32_t custodies;  /* bit n: enum affiant_custody n passes */
	uint32_t states;     /* AFFIANT_STATE_...; usual: AFFIANT_STATES_PROVEN */
	bool allow_late;     /* a session that was found running */
	bool allow_asserted; /* a principal on the launcher's word */
	bool require_principal; /* one is named */
	bool require_task;      /* one is named: it has an id */
	/*
	 * Variables that may be set in the process and in those above it: names of docs/records.md,
	 * "Environment". With @allow_any_environment nothing is asked of them.
	 */
	struct affiant_texts environment;
	bool allow_any_environment;
	bool allow_folded; /* a session that is past its agent's budget */
	/* Processes of the session were not recorded: what the claims say is not all there is. */
	bool allow_untagged_children;
	uint64_t max_lost; /* events that the host lost, of whatever session; AFFIANT_ANY_LOST */
};

struct affiant_policy {
	/* Another one for another policy: cached host states hold it. All zeros: none of them is used. */
	uint8_t digest[32];
	const struct affiant_pem *tpm_roots; /* issuers of EK certificates */
	size_t tpm_roots_count;
	const struct affiant_pem *ak_roots; /* enrolment CAs */
	size_t ak_roots_count;
	bool allow_software_tpm;
	const uint64_t *firmware; /* of TPMs: versions, as a quote has them */
	size_t firmware_count;
	bool any_firmware;
	const struct affiant_host *hosts;
	size_t hosts_count;
	struct affiant_boot boot;
	struct affiant_ima ima;
	struct affiant_daemon daemon;
	const struct affiant_agent *agents;
	size_t agents_count;
	uint32_t max_age; /* seconds since iat; usual: 300 */
	uint32_t skew;    /* seconds that clocks may differ; usual: 5 */
};

/* ---- the library ---- */

struct affiant_verifier;
struct affiant_result;

/* NULL: *@ret_why (static) says what is wrong with the policy. One verifier serves one thread. */
struct affiant_verifier *affiant_verifier_new(const struct affiant_policy *policy,
					      const char **ret_why);
void affiant_verifier_free(struct affiant_verifier *v);

/* Whose evidence it claims to be: by what name a host's state was kept. False: malformed. */
bool affiant_verify_ueid(const void *evidence, size_t len, uint8_t ret[AFFIANT_UEID_SIZE]);

/*
 * Whether it is worth more: its form, its token's signature, nonce, audience and times are good, and
 * the policy names its host, whose ueid is *@ret. It costs little, whatever was sent: for before a
 * lock is taken or a state is read. False: affiant_verify() without a state says why it is refused.
 */
bool affiant_verify_early(struct affiant_verifier *v, const void *evidence, size_t len,
			  const char *nonce, const char *audience, int64_t now,
			  uint8_t ret[AFFIANT_UEID_SIZE]);

/*
 * @nonce, @audience: that the verifier asked for. That a nonce is accepted once only is for the
 * caller to see to. @now: seconds since the epoch. @state: affiant_result_state() of an earlier
 * result for this ueid, which only a verifier may have written; NULL: none. NULL: no memory.
 */
struct affiant_result *affiant_verify(struct affiant_verifier *v, const void *evidence, size_t len,
				      const char *nonce, const char *audience, int64_t now,
				      const void *state, size_t state_len);

enum affiant_verdict affiant_result_verdict(const struct affiant_result *r);
const char *affiant_result_code(const struct affiant_result *r);   /* "" when affirmed */
const char *affiant_result_reason(const struct affiant_result *r); /* for people */
enum affiant_tier affiant_result_tier(const struct affiant_result *r);
/* With code host_evidence_needed: the IMA entry to ask for it from. */
uint64_t affiant_result_ima_from(const struct affiant_result *r);
/* Everything as JSON, to be freed; NULL: no memory. */
char *affiant_result_json(const struct affiant_result *r);
/* What to keep for that host and give next time, to be freed; NULL: leave what was kept. */
char *affiant_result_state(const struct affiant_result *r);
/*
 * An EAR (docs/token-services.md), signed with ES256 by @jwk, a private key in JSON; @verifier and
 * @build name who judged. @veraison: with the names of that profile. To be freed; NULL: a bad key.
 */
char *affiant_result_ear(const struct affiant_result *r, const char *jwk, const char *developer,
			 const char *build, int64_t now, bool veraison);
void affiant_result_free(struct affiant_result *r);

#ifdef __cplusplus
}
#endif
