/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_done(struct buffer *b)
{
	free(b->data);
	*b = (struct buffer){};
}

void buffer_clear(struct buffer *b)
{
	b->len = 0;
	b->failed = false;
}

int buffer_error(const struct buffer *b)
{
	return b->failed ? -ENOMEM : 0;
}

/* Room for @more bytes behind what there is. */
static bool reserve(struct buffer *b, size_t more)
{
	size_t need, room = b->room ?: 256;
	char *data;

	if (b->failed || __builtin_add_overflow(b->len, more, &need))
		goto fail;
	if (need <= b->room)
		return true;
	while (room < need)
		if (__builtin_mul_overflow(room, 2, &room))
			goto fail;
	data = realloc(b->data, room);
	if (!data)
		goto fail;
	b->data = data;
	b->room = room;
	return true;
fail:
	b->failed = true;
	return false;
}

void buffer_add(struct buffer *b, const void *data, size_t len)
{
	if (!len || !reserve(b, len))
		return;
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

void buffer_add_char(struct buffer *b, char c)
{
	buffer_add(b, &c, 1);
}

void buffer_add_text(struct buffer *b, const char *text)
{
	buffer_add(b, text, strlen(text));
}

void buffer_print(struct buffer *b, const char *format, ...)
{
	va_list ap;
	int len;

	va_start(ap, format);
	len = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (len < 0 || !reserve(b, (size_t)len + 1)) {
		b->failed = true;
		return;
	}
	va_start(ap, format);
	vsnprintf(b->data + b->len, (size_t)len + 1, format, ap);
	va_end(ap);
	b->len += len;
}
