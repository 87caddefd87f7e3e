/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server: the local socket. It finds out who calls, by the kernel's word (peer.h), decides by role
 * whether they may, and hands what is left to the daemon's core through struct server_ops.
 * Everything a client can make it keep is bounded, and no client can make it wait.
 *
 * One thread: all of it runs in the sd-event loop that it was made with.
 */
#pragma once

#include <affiant/v1/api.pb-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "daemon/packet.h"
#include "values.h"

#define SERVER_MESSAGE_MAX 65536           /* bytes of one request; larger answers go by memfd */
#define SERVER_MEASURES_MAX 64             /* descriptors of one request, besides a pidfd */
#define SERVER_SEGMENTS_MAX PACKET_FDS_MAX /* descriptors of one answer */
#define SERVER_CONNECTIONS_MAX 4096
#define SERVER_CONNECTIONS_UID_MAX 16      /* of one user; root is bounded by the whole alone */
#define SERVER_CONNECTIONS_SESSION_MAX 256 /* of one session, whoever its processes run as */
#define SERVER_CONNECTIONS_AGENTS_MAX 1024 /* of all sessions whose processes run as one user */

struct server;

/* A request that was believed and not yet answered. */
struct server_call;

enum server_role {
	SERVER_ROLE_ROOT = 1 << 0,
	SERVER_ROLE_LAUNCHER = 1 << 1, /* root too */
	SERVER_ROLE_READER = 1 << 2,   /* root too */
	SERVER_ROLE_AGENT = 1 << 3,    /* a process of a session, and nothing else */
};

struct server_caller {
	pid_t pid; /* in the daemon's pid namespace */
	int pidfd; /* borrowed */
	uid_t uid;
	gid_t gid;
	unsigned int roles;
	struct tag tag;           /* SERVER_ROLE_AGENT: of which session, and which image asks */
	const uint8_t *challenge; /* that the request echoed, REQUEST_CHALLENGE_SIZE bytes */
};

struct server_open {
	const Affiant__V1__OpenSession *request;
	pid_t target;        /* the caller, or who the passed pidfd refers to */
	int target_pidfd;    /* borrowed, as the descriptors below: dup what outlives the call */
	const int *measures; /* request->n_measure of them, of any kind: the caller's word */
};

/*
 * The daemon's core. Every function but tag_of and segment gets a call, and ends it by
 * server_answer() or server_refuse(), then and there or later: exactly once. The caller may be gone
 * by then, which is no concern of the core's. What a request points to lives until the call is
 * ended.
 */
struct server_ops {
	/* As source_tag_of(): -ENOENT for a process of no session. */
	int (*tag_of)(void *context, pid_t pid, struct tag *ret);

	/*
	 * The server has seen to it: the caller is a launcher and of no session; a target that is
	 * not the caller is of the caller's user, unless the caller is root. Whether the agent may
	 * be named, and whether the target is of a session already (-EEXIST of source_tag()), is
	 * for the core to say.
	 */
	void (*open_session)(void *context, struct server_call *call,
			     const struct server_open *open);

	/*
	 * The caller is a launcher; if not root, only sessions that its uid opened are its to end.
	 */
	void (*end_session)(void *context, struct server_call *call,
			    const uint8_t session[static 16], bool kill);

	/* The caller is a reader. */
	void (*list_sessions)(void *context, struct server_call *call, bool ended);
	void (*get_status)(void *context, struct server_call *call);

	/*
	 * The caller is a reader or a launcher; @pid is in the daemon's pid namespace, and was
	 * there just now.
	 */
	void (*match)(void *context, struct server_call *call, pid_t pid);

	/* The caller is a process of a session. */
	void (*get_evidence)(void *context, struct server_call *call,
			     const Affiant__V1__GetEvidence *request);
	void (*sign_proof)(void *context, struct server_call *call,
			   const Affiant__V1__SignProof *request);

	/* Or of none, and was refused. */
	void (*untagged)(void *context);

	/* The caller is root. */
	void (*get_enrolment)(void *context, struct server_call *call);
	void (*activate_credential)(void *context, struct server_call *call,
				    const Affiant__V1__ActivateCredential *request);
	void (*install_certificate)(void *context, struct server_call *call,
				    const Affiant__V1__InstallCertificate *request);

	/* As ledger_segment_fd(): a descriptor that the server closes, or -ENOENT past the last. */
	int (*segment)(void *context, uint64_t index, uint64_t *ret_index,
		       uint64_t *ret_first_sequence, bool *ret_sealed);
};

struct server_config {
	const char *socket; /* path; its directory exists */
	const uid_t *launcher_users, *reader_users;
	const gid_t *launcher_groups, *reader_groups;
	size_t launcher_users_count, reader_users_count;
	size_t launcher_groups_count, reader_groups_count;
	size_t connections_max; /* 0: SERVER_CONNECTIONS_MAX */
	/* for a client to speak after it was spoken to, and to read; 0: 10 s */
	uint64_t timeout_us;
};

/*
 * Listens. What @config points to is borrowed for good. -EADDRINUSE: another daemon answers there;
 * a socket that nobody answers is replaced.
 */
int server_new(sd_event *event, const struct server_config *config, const struct server_ops *ops,
	       void *context, struct server **ret);

/*
 * Ends all connections and removes the socket. Calls that are not ended yet must not be ended any
 * more.
 */
void server_free(struct server *s);

const struct server_caller *server_call_caller(const struct server_call *call);

/*
 * Ends @call. The response is packed before this returns; its challenge is the server's to set.
 * Before it is sent, the caller must still be who it was (alive, no exec since); else nobody gets
 * it.
 */
void server_answer(struct server_call *call, Affiant__V1__Response *response);

/* The same with a descriptor, which is the server's from here on. */
void server_answer_fd(struct server_call *call, Affiant__V1__Response *response, int fd);

/* @code: a word of api.proto's Error. @format: what is wrong, and what to do. */
void server_refuse(struct server_call *call, const char *code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Segment @index now ends with record @sequence: told to those who follow, without ever waiting for
 * one.
 */
void server_appended(struct server *s, uint64_t index, uint64_t sequence);
