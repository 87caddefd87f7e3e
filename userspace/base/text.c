/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <stdio.h>

size_t utf8_decode(const uint8_t *at, size_t left, uint32_t *ret)
{
	static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t size;
	uint32_t c;

	if (!left)
		return 0;
	c = at[0];
	if (c < 0x80) {
		*ret = c;
		return 1;
	}
	size = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	if (c < 0xc2 || c > 0xf4 || left < size)
		return 0;
	c &= 0x7f >> size;
	for (size_t i = 1; i < size; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (at[i] & 0x3f);
	}
	if (c < lowest[size] || (c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
		return 0;
	*ret = c;
	return size;
}

static bool is_printable(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} hidden[] = {
		{0x00, 0x1f},     {0x7f, 0x9f}, /* DEL and C1: U+009B is a CSI to some terminals */
		{0xad, 0xad},     {0x34f, 0x34f},   {0x61c, 0x61c},     {0x115f, 0x1160},
		{0x17b4, 0x17b5}, {0x180b, 0x180f}, {0x200b, 0x200f},   {0x2028, 0x202e},
		{0x2060, 0x206f}, {0x3164, 0x3164}, {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},
		{0xffa0, 0xffa0}, {0xfff0, 0xfffb}, {0xe0000, 0xe0fff},
	};

	for (size_t i = 0; i < sizeof(hidden) / sizeof(*hidden); i++)
		if (c >= hidden[i].first && c <= hidden[i].last)
			return false;
	return true;
}

/*
 * How many bytes from @at on are ASCII and stay as they are: most of what is met, taken in one go.
 */
static size_t plain_run(const uint8_t *at, size_t left, char except, uint8_t lowest)
{
	size_t len = 0;

	while (len < left && at[len] >= lowest && at[len] < 0x7f && at[len] != (uint8_t)except)
		len++;
	return len;
}

void text_printable(struct buffer *out, const void *data, size_t len, unsigned int flags)
{
	const uint8_t *at = data;

	while (len) {
		size_t size = plain_run(at, len, '\\', flags & TEXT_WORD ? 0x21 : 0x20);
		uint32_t c;

		if (size) {
			buffer_add(out, at, size);
		} else {
			size = utf8_decode(at, len, &c);
			if (c == '\\' && size)
				buffer_add_text(out, "\\\\");
			else if (size && c > 0x7f && is_printable(c) && !(flags & TEXT_ASCII))
				buffer_add(out, at, size);
			else
				for (size_t i = 0; i < (size ?: 1); i++)
					buffer_print(out, "\\x%02x", at[i]);
			size = size ?: 1;
		}
		at += size;
		len -= size;
	}
}

bool text_utf8(struct buffer *out, const void *data, size_t len, bool percent)
{
	const uint8_t *at = data;
	bool escaped = false;

	while (len) {
		size_t size = plain_run(at, len, '%', 0);
		uint32_t c;

		if (!size)
			size = utf8_decode(at, len, &c);
		if (!size || (percent && at[0] == '%')) {
			buffer_print(out, "%%%02X", at[0]);
			escaped |= !size;
			size = 1;
		} else {
			buffer_add(out, at, size);
		}
		at += size;
		len -= size;
	}
	return escaped;
}
