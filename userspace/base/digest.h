/* SPDX-License-Identifier: Apache-2.0 */
/* digest: SHA-256 (FIPS 180-4) by OpenSSL, and hexadecimal. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32
#define SHA256_HEX_SIZE (2 * SHA256_SIZE + 1)

struct sha256 {
	uint8_t bytes[SHA256_SIZE];
};

/* 0, or -ENOMEM when OpenSSL could not. */
int sha256_of(const void *data, size_t len, struct sha256 *ret);

/* Incremental; the context belongs to the caller and is freed by sha256_free() (NULL is fine). */
struct sha256_context;
int sha256_new(struct sha256_context **ret);
int sha256_update(struct sha256_context *c, const void *data, size_t len);
int sha256_final(struct sha256_context *c, struct sha256 *ret); /* then it can be used anew */
void sha256_free(struct sha256_context *c);

/* Lower case, NUL-terminated: @ret has room for 2 * len + 1 bytes. */
void hex_encode(const void *data, size_t len, char *ret);

/*
 * Lower case digits, two for each byte: -EBADMSG for anything else, for none, and for more than
 * @max bytes.
 */
int hex_decode(const char *text, size_t len, void *ret, size_t max, size_t *ret_len);
