/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libaffiant: what an agent, an orchestrator or a tool says to affiantd on the same host.
 *
 * Plain C types throughout, so that it can be called from other languages (ctypes, cgo, FFI).
 * Functions return 0 or a negative errno; affiant_error() then tells why, for a person. A context
 * is used by one thread at a time.
 *
 * Strings are UTF-8 and NUL-terminated. What a function returns in a struct lies in the struct
 * itself.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AFFIANT_API __attribute__((visibility("default")))

#define AFFIANT_UUID_TEXT 37
#define AFFIANT_NAME_TEXT 512

struct affiant;

/*
 * Connects. @socket NULL: $AFFIANT_SOCKET, else /run/affiant/affiant.sock. -ENOENT, -ECONNREFUSED:
 * no daemon runs; -EACCES: not of a group that may connect.
 */
AFFIANT_API int affiant_connect(const char *socket, struct affiant **ret);
AFFIANT_API void affiant_disconnect(struct affiant *a); /* NULL is fine */

/* Why the last call failed, "" if it did not. Borrowed until the next call. */
AFFIANT_API const char *affiant_error(const struct affiant *a);

enum affiant_isolation {
	AFFIANT_ISOLATION_UNKNOWN = 0, /* nothing is claimed */
	AFFIANT_ISOLATION_NONE = 1,
	AFFIANT_ISOLATION_LANDLOCK = 2, /* the process is in a Landlock domain of its own already */
};

struct affiant_open {
	const char *agent; /* required: a configured agent's name */
	/*
	 * NULL: none, as for all that follow. Task, purpose, principal and each scope (64 at most)
	 * have 1 to 1,024 bytes, and all together at most 8,192.
	 */
	const char *task;
	const char *purpose;
	const char *principal;     /* for whom: recorded as asserted by the caller */
	uint64_t expires_ns;       /* the task's end, UTC since the epoch; 0: never */
	const char *const *scopes; /* NULL-terminated */
	const char *const
		*measures; /* NULL-terminated paths, opened by this process with its own rights */
	enum affiant_isolation isolation;
	int pidfd; /* -1: this process itself */
	/*
	 * The process of pidfd waits, and has done nothing of its own yet: what it did before does
	 * not count, and the session is not late. The caller's word, as the rest is.
	 */
	int held;
};

struct affiant_session {
	char id[AFFIANT_UUID_TEXT]; /* UUIDv7 */
	char spiffe_id[AFFIANT_NAME_TEXT];
};

/*
 * Opens a session: from now on, that process and all its descendants are this agent's, and stay so.
 * A process can't leave its session, and can't open one while in one (-EACCES).
 */
AFFIANT_API int affiant_open_session(struct affiant *a, const struct affiant_open *open,
				     struct affiant_session *ret);

/*
 * Ends a session: its task is over. Its processes stay recorded until they exit; with @kill they
 * get SIGKILL.
 * @ret_processes (may be NULL): how many are alive. -ESRCH: no such session lives.
 */
AFFIANT_API int affiant_end_session(struct affiant *a, const char *id, bool kill,
				    uint32_t *ret_processes);

/* ---- evidence: a process of a session asks about itself ---- */

#define AFFIANT_SIGNATURE_SIZE 64

struct affiant_evidence_request {
	const char *nonce;    /* required: the verifier's, 8 to 88 characters of ASCII */
	const char *audience; /* required: who is to check it */
	/*
	 * The key that a credential is to be bound to, as a public JWK (EC, P-256). NULL: the
	 * daemon makes one for this process, and signs with it for this process alone
	 * (affiant_dpop(), affiant_wpt()).
	 */
	const char *cnf;
	/*
	 * With @cnf: signs @message with its private key, as ES256 does (r and s, 32 bytes each). 0
	 * or a negative errno.
	 */
	int (*sign)(void *data, const uint8_t *message, size_t len,
		    uint8_t signature[AFFIANT_SIGNATURE_SIZE]);
	void *data;        /* of @sign */
	bool host;         /* with host evidence: once per boot, and when a verifier asks for it */
	uint64_t ima_from; /* of host evidence: the first entry of the IMA log that is wanted */
};

struct affiant_evidence {
	char *cmw;  /* JSON, NUL-terminated: to be sent to the verifier as it is */
	size_t len; /* without the NUL */
	char *cnf;  /* the public JWK that it is bound to */
};

/*
 * Evidence for the calling process: about this process and its session, good for that nonce and
 * audience alone. Waits for the TPM. -EPERM: there is none for this process (affiant_error_code()
 * says why: untagged, session_ended, task_expired, traced, executable_changed, untagged_children);
 * -ENODEV: no TPM answers (no_tpm); -ENOSPC: asked too often (limit); -EBUSY: another request of
 * this process is not answered yet.
 */
AFFIANT_API int affiant_get_evidence(struct affiant *a,
				     const struct affiant_evidence_request *request,
				     struct affiant_evidence *ret);
AFFIANT_API void affiant_evidence_clear(struct affiant_evidence *e); /* an empty one is fine */

/*
 * Proofs of possession by the key that the daemon holds for this process: a JWT in *@ret, to be
 * freed by affiant_free(). -ESRCH: none is held; ask for evidence without cnf first; -EPERM: there
 * would be no evidence for this process any more, as above. DPoP, RFC 9449: @nonce and
 * @access_token may be NULL.
 */
AFFIANT_API int affiant_dpop(struct affiant *a, const char *method, const char *url,
			     const char *nonce, const char *access_token, char **ret);
/*
 * A WIMSE workload proof token (draft-ietf-wimse-wpt) for @wit, the workload identity token.
 * @access_token may be NULL.
 */
AFFIANT_API int affiant_wpt(struct affiant *a, const char *audience, const char *wit,
			    const char *access_token, char **ret);
AFFIANT_API void affiant_free(char *text); /* NULL is fine */

/*
 * The daemon's word for why the last call was refused ("traced", "limit", ...), "" if it was not
 * the daemon who refused. Borrowed until the next call.
 */
AFFIANT_API const char *affiant_error_code(const struct affiant *a);

struct affiant_session_info {
	char id[AFFIANT_UUID_TEXT];
	char agent[AFFIANT_NAME_TEXT];
	char spiffe_id[AFFIANT_NAME_TEXT];
	char task[AFFIANT_NAME_TEXT]; /* "" for none; cut when longer, as the principal */
	char principal[AFFIANT_NAME_TEXT];
	uint64_t started_ns, ended_ns; /* UTC since the epoch; ended_ns 0: it lives */
	uint64_t processes;            /* alive */
	uint64_t connections, execs;
};

/*
 * Calls @each for every living session, with @ended also for those that ended lately; a non-zero
 * return ends it.
 */
AFFIANT_API int
affiant_list_sessions(struct affiant *a, bool ended,
		      int (*each)(void *data, const struct affiant_session_info *info), void *data);

#ifdef __cplusplus
}
#endif
