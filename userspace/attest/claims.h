/* SPDX-License-Identifier: Apache-2.0 */
/*
 * claims: what evidence says (docs/evidence.md, "Claims"), as a structure. The daemon makes JSON of
 * it, a verifier reads it back; both through the same bounds. That something stands here says
 * nothing about whether it is true.
 *
 * Texts are UTF-8, owned by the structure. NULL and "absent" are what docs/evidence.md calls
 * absent.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest/jose.h"
#include "base/bounds.h"
#include "base/digest.h"
#include "base/environment.h"
#include "base/uuid.h"

#define CLAIMS_PROFILE "tag:affiant.dev,2026:evidence#1"
#define CLAIMS_DEPTH_MAX 8 /* of the JSON: for jose_parse() */

/*
 * Bytes: of the claims as compact JSON, and of the CMW around them without host evidence, alone in
 * its batch. A JWS in a CMW is base64url in base64url, 16/9 of what it says.
 */
#define CLAIMS_MAX 2520
#define CLAIMS_EVIDENCE_MAX 6144

#define CLAIMS_FILES_MAX 128
#define CLAIMS_PROCESS_FILES_MAX 20 /* of one process */
#define CLAIMS_ANCESTORS_MAX 16
#define CLAIMS_HOST_FILES_MAX 8
#define CLAIMS_MANIFESTS_MAX 64
#define CLAIMS_SCOPES_MAX TASK_SCOPES_MAX
#define CLAIMS_TEXT_MAX TASK_TEXT_MAX /* bytes: agent, task, principal, versions */
#define CLAIMS_PATH_MAX 4096
#define CLAIMS_AUDIENCE_MAX 512
#define CLAIMS_NONCE_MIN 8
#define CLAIMS_NONCE_MAX 88
#define CLAIMS_SUBJECT_MAX 2048 /* of a SPIFFE ID */
#define CLAIMS_CMDLINE_MAX 512
#define CLAIMS_VARIABLES_MAX 128 /* names of one process's environment, */
#define CLAIMS_VARIABLE_MAX 32   /* and bytes of one */
#define CLAIMS_UEID_SIZE 33

enum claims_role {
	CLAIMS_EXECUTABLE,
	CLAIMS_SCRIPT,
	CLAIMS_INTERPRETER,
	CLAIMS_LOADER,
	CLAIMS_ARGUMENT,
	CLAIMS_MANIFEST,
	CLAIMS_CONFIGURATION,
	CLAIMS_BPF, /* of the host alone */
};

/* The numbers of HashState (record.proto): programs.root has them in its leaves. */
enum claims_state {
	CLAIMS_KERNEL = 1,
	CLAIMS_VERITY,
	CLAIMS_HELD,
	CLAIMS_OBSERVED,
	CLAIMS_TOO_LATE,
	CLAIMS_TOO_LARGE,
	CLAIMS_CHANGED,
	CLAIMS_UNREADABLE,
	CLAIMS_DISABLED,
	CLAIMS_UNPROVEN,
	CLAIMS_OFFERED,
	CLAIMS_CLAIMED,
};

enum claims_custody { CLAIMS_OF_PROCESS, CLAIMS_OF_DAEMON };
enum claims_origin { CLAIMS_RUN, CLAIMS_SELECTOR, CLAIMS_API };
enum claims_isolation { CLAIMS_LANDLOCK, CLAIMS_UID, CLAIMS_NONE, CLAIMS_ISOLATION_UNKNOWN };
enum claims_lockdown {
	CLAIMS_UNLOCKED,
	CLAIMS_INTEGRITY,
	CLAIMS_CONFIDENTIALITY,
	CLAIMS_LOCKDOWN_UNAVAILABLE
};
enum claims_secure_boot {
	CLAIMS_SECURE_BOOT_ON,
	CLAIMS_SECURE_BOOT_OFF,
	CLAIMS_SECURE_BOOT_UNAVAILABLE
};

/* The word that stands in the claim; NULL: no such number. */
const char *claims_role_word(enum claims_role r);
const char *claims_state_word(enum claims_state s);
/* kernel, verity, held, observed: the digest is of what ran. */
bool claims_state_proven(enum claims_state s);

struct claims_file {
	char *path; /* escaped: text_utf8() with percent */
	enum claims_role role;
	enum claims_state state;
	uint8_t digest[64]; /* proven, or OFFERED, which a script alone is */
	size_t digest_len;  /* 32 or, of fs-verity, 64; 0: none */
	/* UNPROVEN: apart, so that nobody takes it for the other. */
	struct sha256 unproven;
	bool has_unproven; /* something was read */
};

struct claims_process {
	uint32_t pid, exec_seq;
	uint64_t started_ns;
	uint32_t uid, gid;                       /* of the process that asked alone */
	uint8_t files[CLAIMS_PROCESS_FILES_MAX]; /* indices into claims.files */
	size_t files_count;
	uint64_t environment[ENVIRONMENT_SET_SIZE]; /* a set of base/environment.h */
	bool environment_cut;     /* there may be more of them */
	bool environment_unknown; /* names, too, that this version does not know: by parsing alone */
};

struct claims_task {
	bool present;
	char *id, *purpose; /* NULL: not given */
	uint64_t expires;   /* seconds; 0: not given */
	char *scope[CLAIMS_SCOPES_MAX];
	size_t scope_count;
};

struct claims_workload {
	char *agent;
	struct {
		struct uuid id;
		uint64_t started; /* seconds */
		enum claims_origin origin;
		bool late;
	} session;
	struct claims_task task;
	char *principal; /* its subject, asserted; NULL: none was named */
	struct claims_process process;
	struct claims_process ancestors[CLAIMS_ANCESTORS_MAX];
	size_t ancestors_count;
	bool ancestors_cut;
	uint64_t programs_count;
	bool programs_cut; /* there are more, which neither count nor root tell of */
	struct sha256 programs_root;
	uint64_t execs;
	uint8_t manifests[CLAIMS_MANIFESTS_MAX]; /* indices into claims.files */
	size_t manifests_count;
	enum claims_isolation isolation;
	uint64_t lost;
	bool folded; /* part of what it did is counted, not told one by one */
	bool untagged_children; /* some of its processes were not recorded */
};

struct claims_host {
	uint8_t host_id[16];
	struct uuid boot_id;
	char *kernel;
	char *cmdline; /* NULL: empty, or longer than CLAIMS_CMDLINE_MAX */
	struct sha256 cmdline_sha256;
	enum claims_lockdown lockdown;
	enum claims_secure_boot secure_boot;
	bool boot_log, ima_log, systemd_log; /* there is one */
	struct {
		char *manufacturer, *vendor;
		uint64_t firmware;
		uint8_t ak_name[66];
		size_t ak_name_len; /* 34, 50 or 66 */
		bool enrolled;
	} tpm;
	struct claims_file files[CLAIMS_HOST_FILES_MAX];
	size_t files_count;
};

struct claims {
	char *nonce, *audience;
	uint8_t ueid[CLAIMS_UEID_SIZE];
	uint64_t iat, exp; /* seconds */
	struct uuid jti;
	char *sub;
	char kid[JOSE_THUMBPRINT_SIZE];
	EVP_PKEY *cnf; /* public, P-256 */
	enum claims_custody custody;
	char *version; /* of affiantd */
	struct claims_file files[CLAIMS_FILES_MAX];
	size_t files_count;
	struct claims_workload workload;
	uint8_t host_id[16];
	struct sha256 host; /* of the bytes of the host claims: claims_host_encode() */
};

/* Frees what it holds, and empties it. */
void claims_clear(struct claims *c);

/*
 * The claims as JSON. -EINVAL: something in @c is missing or beyond its bounds, then *@ret_why
 * names the claim: what is made here is what claims_parse() takes.
 */
int claims_encode(const struct claims *c, json_t **ret, const char **ret_why);

/*
 * The same, in at most @max bytes of compact JSON (the daemon: CLAIMS_MAX) if leaving out suffices:
 * the ancestors farthest away, with the files that only they name, and ancestors_cut says so. The
 * asking process, manifests, and the texts of the task and the principal are never cut.
 */
int claims_fit(struct claims *c, size_t max, json_t **ret, const char **ret_why);

/*
 * -EBADMSG: a claim is missing, of the wrong type, or out of bounds: *@ret_why names it
 * ("submods.workload.task.id"; static). Claims that are not known are passed over: they stay in
 * @payload, and decide nothing. @ret needs no initialisation, and is empty after a failure.
 */
int claims_parse(const json_t *payload, struct claims *ret, const char **ret_why);

/*
 * What a host says of itself, which is the same for a boot: it comes with host evidence
 * (docs/evidence.md, "Host claims"), and claims name its digest. The bytes are the claims: *@ret,
 * to be freed, is what is hashed. Errors as claims_encode().
 */
int claims_host_encode(const struct claims_host *h, char **ret, struct sha256 *ret_digest,
		       const char **ret_why);
/* As claims_parse(). */
int claims_host_parse(const json_t *o, struct claims_host *ret, const char **ret_why);
void claims_host_clear(struct claims_host *h);

/* 01 || SHA-256(TPMT_PUBLIC of the EK): RFC 9711, section 4.2.1, type RAND. */
int claims_ueid(const void *ek_public, size_t len, uint8_t ret[static CLAIMS_UEID_SIZE]);
