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

/* 0..63, or -1. */
static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int base64url_decode(const char *text, size_t len, void *ret, size_t size, size_t *ret_len)
{
	size_t bytes = len / 4 * 3 + (len % 4 ? len % 4 - 1 : 0);
	uint8_t *out = ret;
	uint32_t bits = 0;
	int held = 0, value;

	if (len % 4 == 1)
		return -EBADMSG;
	if (bytes > size)
		return -ENOBUFS;
	for (size_t i = 0; i < len; i++) {
		value = value_of(text[i]);
		if (value < 0)
			return -EBADMSG;
		bits = bits << 6 | value;
		held += 6;
		if (held >= 8) {
			held -= 8;
			*out++ = bits >> held;
		}
	}
	if (bits & ((1u << held) - 1))
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
