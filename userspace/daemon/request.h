/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request: the bytes of one request, decoded and checked for form: bounded lists, clean text
 * (protobuf-c checks no UTF-8), and as many descriptors as it speaks of. Who may ask for it is not
 * looked at here.
 */
#pragma once

#include <affiant/v1/api.pb-c.h>
#include <stddef.h>

#define REQUEST_CHALLENGE_SIZE 32

#define REQUEST_WORD_MAX 256 /* bytes of what a proof names: a method, a nonce */
#define REQUEST_PATH_MAX 4096
#define REQUEST_NONCE_MIN 8 /* characters of eat_nonce (RFC 9711, section 4.1) */
#define REQUEST_NONCE_MAX 88
#define REQUEST_AUDIENCE_MAX 512
#define REQUEST_JWK_MAX 1024
#define REQUEST_SIGNATURE_SIZE 64 /* ES256: r and s */
#define REQUEST_TOKEN_MAX 16384
#define REQUEST_URL_MAX 2048
#define REQUEST_CREDENTIAL_MAX 1024
#define REQUEST_CHAIN_MAX 32768

/*
 * 0, with *@ret to be freed by affiant__v1__request__free_unpacked(); or -EBADMSG with *@ret_why a
 * constant text for the caller.
 */
int request_decode(const void *data, size_t len, size_t fds_count, Affiant__V1__Request **ret,
		   const char **ret_why);
