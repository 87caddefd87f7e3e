/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: one connection to affiantd's local socket (api.proto). The daemon speaks first; every
 * request echoes the challenge that came before, and the kernel attaches the credentials of whoever
 * sends it. Not thread-safe.
 */
#pragma once

#include <stddef.h>

#include "affiant/v1/api.pb-c.h"

#define CLIENT_SOCKET "/run/affiant/affiant.sock"
#define CLIENT_FDS_MAX 64

struct client;

/*
 * @path NULL: $AFFIANT_SOCKET, else CLIENT_SOCKET. -ENOENT, -ECONNREFUSED: no daemon there;
 * -EACCES; -EPROTO: something else answers; -ETIMEDOUT.
 */
int client_open(const char *path, struct client **ret);
void client_close(struct client *c);

/* The path that was tried, or would be: borrowed. */
const char *client_path(const char *path);

/* What the daemon said of itself. Borrowed. */
const char *client_version(const struct client *c);

/*
 * Sends @request with @fds (borrowed) and waits for its answer, which is the caller's to free, with
 * up to CLIENT_FDS_MAX descriptors. A refusal is -EACCES (denied), -ESRCH (not_found), -EINVAL
 * (bad_request), -EAGAIN (unavailable), -EBUSY, -ENOSPC (limit) or -EREMOTEIO, and client_error()
 * is the daemon's word. What was sent while following (Appended) is kept for client_appended().
 */
int client_call(struct client *c, Affiant__V1__Request *request, const int *fds, size_t fds_count,
		Affiant__V1__Response **ret, int *ret_fds, size_t *ret_fds_count);

/* For a person: why the last call failed. Borrowed until the next. */
const char *client_error(const struct client *c);

/*
 * The daemon's word for its refusal (api.proto, Error.code); "" when it was none. Borrowed until
 * the next call.
 */
const char *client_error_code(const struct client *c);

#define CLIENT_CHALLENGE_SIZE 32

/* What the next request will echo: NULL when there is none. Borrowed until then. */
const uint8_t *client_challenge(const struct client *c);

/*
 * While following: 1 when there is more to read, 0 after @timeout_ms (-1: never) without, -EPIPE
 * when the daemon is gone, -EINTR.
 */
int client_appended(struct client *c, int timeout_ms);
