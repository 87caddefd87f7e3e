/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text: bytes that somebody else chose, made fit to be shown. The kernel promises no encoding for
 * paths, argv and comm, and a file name can carry an escape sequence.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

/*
 * The character at @at: returns its bytes and sets *@ret, or 0 when there is none: cut, overlong, a
 * surrogate, or beyond U+10FFFF (RFC 3629).
 */
size_t utf8_decode(const uint8_t *at, size_t left, uint32_t *ret);

enum text_flag {
	TEXT_WORD = 1 << 0, /* a space too is escaped: a name is one word of a line */
	/* all that is not ASCII: a terminal without UTF-8 would see C1 controls in it */
	TEXT_ASCII = 1 << 1,
};

/*
 * For a terminal: printable UTF-8 stays, a backslash is doubled, and each byte of all else becomes
 * \xNN: control characters, C1 too, what reorders or hides text (bidirectional controls, zero-width
 * characters), and bytes that are no UTF-8. @flags: enum text_flag.
 */
void text_printable(struct buffer *out, const void *data, size_t len, unsigned int flags);

/*
 * For JSON: valid UTF-8 stays, other bytes become %NN; with @percent a percent sign becomes %25,
 * which makes it reversible. Returns whether a byte had to be escaped.
 */
bool text_utf8(struct buffer *out, const void *data, size_t len, bool percent);
