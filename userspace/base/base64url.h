/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base64url: RFC 4648, section 5, without padding. Bytes have one encoding, and only that one is
 * read.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Characters for @len bytes, without the NUL. */
#define BASE64URL_LEN(len) ((len) / 3 * 4 + ((len) % 3 ? (len) % 3 + 1 : 0))

/* NUL-terminated: @ret has room for BASE64URL_LEN(len) + 1. */
void base64url_encode(const void *data, size_t len, char *ret);

/* To be freed; NULL: no memory. */
char *base64url_new(const void *data, size_t len);

/*
 * -EBADMSG: another character (padding, white space), a length that no bytes give, or bits left
 * over that are not zero; -ENOBUFS: more than @size bytes. Then *@ret_len is untouched, and @ret
 * may be written to.
 */
int base64url_decode(const char *text, size_t len, void *ret, size_t size, size_t *ret_len);

/* Of exactly @size bytes: -EBADMSG for any other length. */
int base64url_decode_exact(const char *text, size_t len, void *ret, size_t size);

/* To be freed; a NUL stands behind its bytes. -EBADMSG, -ENOMEM. */
int base64url_decode_new(const char *text, size_t len, uint8_t **ret, size_t *ret_len);
