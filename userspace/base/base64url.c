/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64url.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"

void base64url_encode(const void *data, size_t len, char *ret)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const uint8_t *in = data;
	uint32_t bits = 0;
	int held = 0;

	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | in[i];
		for (held += 8; held >= 6; held -= 6)
			*ret++ = alphabet[bits >> (held - 6) & 63];
	}
	if (held)
		*ret++ = alphabet[bits << (6 - held) & 63];
	*ret = '\0';
}

char *base64url_new(const void *data, size_t len)
{
	char *text = malloc(BASE64URL_LEN(len) + 1);

	if (text)
		base64url_encode(data, len, text);
	return text;
}

/* Of each character one more than its six bits; 0: it is none. */
/* clang-format off */
static const uint8_t values[256] = {
	['A'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
		14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
	['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39,
		40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52,
	['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62,
	['-'] = 63,
	['_'] = 64,
};
/* clang-format on */

/* What is none gives all ones here: beyond six bits. */
static uint8_t value_of(uint8_t c)
{
	return values[c] - 1;
}

int base64url_decode(const char *text, size_t len, void *ret, size_t size, size_t *ret_len)
{
	const uint8_t *in = (const uint8_t *)text, *end = in + len / 4 * 4;
	size_t rest = len % 4, bytes = len / 4 * 3 + (rest ? rest - 1 : 0);
	uint8_t a, b, c, d, bad = 0, *out = ret;

	if (rest == 1)
		return -EBADMSG;
	if (bytes > size)
		return -ENOBUFS;
	for (; in < end; in += 4) {
		a = value_of(in[0]), b = value_of(in[1]), c = value_of(in[2]), d = value_of(in[3]);
		bad |= a | b | c | d;
		*out++ = a << 2 | b >> 4;
		*out++ = b << 4 | c >> 2;
		*out++ = c << 6 | d;
	}
	if (rest) {
		a = value_of(in[0]), b = value_of(in[1]), c = rest == 3 ? value_of(in[2]) : 0;
		bad |= a | b | c;
		*out++ = a << 2 | b >> 4;
		if (rest == 3)
			*out++ = b << 4 | c >> 2;
		/* Bits that are left over are zero: else there were another encoding. */
		bad |= (rest == 3 ? c & 3 : b & 15) ? 0xff : 0;
	}
	if (bad > 63)
		return -EBADMSG;
	*ret_len = bytes;
	return 0;
}

int base64url_decode_exact(const char *text, size_t len, void *ret, size_t size)
{
	size_t got;

	return len == BASE64URL_LEN(size) ? base64url_decode(text, len, ret, size, &got) : -EBADMSG;
}

int base64url_decode_new(const char *text, size_t len, uint8_t **ret, size_t *ret_len)
{
	_cleanup_free_ uint8_t *bytes = malloc(len / 4 * 3 + 3);
	size_t got;
	int err;

	if (!bytes)
		return -ENOMEM;
	err = base64url_decode(text, len, bytes, len / 4 * 3 + 2, &got);
	if (err)
		return err;
	bytes[got] = '\0';
	*ret = TAKE_PTR(bytes);
	*ret_len = got;
	return 0;
}
