/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/jsontext.h"

#include <errno.h>
#include <string.h>

static void skip_space(struct reader *r)
{
	while (r->left && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) {
		r->at++;
		r->left--;
	}
}

bool jsontext_punctuation(struct reader *r, char c)
{
	skip_space(r);
	if (!r->left || *r->at != c)
		return false;
	r->at++;
	r->left--;
	return true;
}

bool jsontext_end(struct reader *r)
{
	skip_space(r);
	return !r->left;
}

/*
 * The quote that ends a string: the first one without an odd number of backslashes before it. The
 * bytes of a megabyte without escapes are looked at by memchr() alone.
 */
static const uint8_t *end_of(const uint8_t *at, const uint8_t *end)
{
	const uint8_t *quote = memchr(at, '"', end - at);

	while (quote) {
		const uint8_t *before = quote;

		while (before > at && before[-1] == '\\')
			before--;
		if ((quote - before) % 2 == 0)
			return quote;
		at = quote + 1;
		quote = memchr(at, '"', end - at);
	}
	return NULL;
}

int jsontext_string(struct reader *r, struct jsontext *ret)
{
	struct reader s = *r;
	const uint8_t *end;

	if (!jsontext_punctuation(&s, '"'))
		return -EBADMSG;
	end = end_of(s.at, s.at + s.left);
	if (!end)
		return -EBADMSG;
	ret->at = (const char *)s.at;
	ret->len = end - s.at;
	ret->escaped = memchr(s.at, '\\', ret->len);
	s.left -= ret->len + 1;
	s.at = end + 1;
	*r = s;
	return 0;
}

int jsontext_small(struct reader *r, uint32_t *ret)
{
	struct reader s = *r;
	uint32_t n = 0;
	size_t digits = 0;

	skip_space(&s);
	for (; s.left && *s.at >= '0' && *s.at <= '9' && digits < 9; digits++) {
		n = 10 * n + (*s.at++ - '0');
		s.left--;
	}
	if (!digits || (digits > 1 && s.at[-(ptrdiff_t)digits] == '0') ||
	    (s.left && strchr("0123456789.eE+-", *s.at) && *s.at))
		return -EBADMSG;
	*ret = n;
	*r = s;
	return 0;
}

static int hex_of(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* The character of an escape, whose backslash was read; how many bytes it took. 0: none, or not ASCII. */
static size_t unescape(const char *at, size_t left, char *ret)
{
	static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	const char *name = left && *at ? strchr(names, *at) : NULL;
	int value = 0;

	if (name) {
		*ret = meant[name - names];
		return 1;
	}
	if (left < 5 || *at != 'u')
		return 0;
	for (size_t i = 1; i < 5; i++) {
		if (hex_of(at[i]) < 0)
			return 0;
		value = value << 4 | hex_of(at[i]);
	}
	*ret = value;
	return value > 0 && value < 0x80 ? 5 : 0;
}

int jsontext_plain(const struct jsontext *t, char *ret, size_t size, size_t *ret_len)
{
	size_t len = 0;

	for (size_t i = 0, took; i < t->len; i += took) {
		char c = t->at[i];

		took = 1;
		if (c == '\\') {
			took = unescape(t->at + i + 1, t->len - i - 1, &c);
			if (!took++)
				return -EBADMSG;
		} else if (c < ' ' || c > '~') {
			return -EBADMSG;
		}
		if (len + 1 >= size)
			return -ENOBUFS;
		ret[len++] = c;
	}
	if (len >= size)
		return -ENOBUFS;
	ret[len] = '\0';
	*ret_len = len;
	return 0;
}

bool jsontext_is(const struct jsontext *t, const char *word)
{
	const size_t len = strlen(word);
	char plain[128];
	size_t plain_len;

	if (!t->at || (!t->escaped && t->len != len) || t->len > 6 * len || len >= sizeof(plain))
		return false;
	return !jsontext_plain(t, plain, sizeof(plain), &plain_len) && plain_len == len &&
	       !memcmp(plain, word, len);
}

struct jsontext_size jsontext_measure(const void *data, size_t len)
{
	const uint8_t *at = data, *end = at ? at + len : at, *quote;
	struct jsontext_size s = {.values = 1};
	size_t depth = 0;

	for (; at < end; at++) {
		switch (*at) {
		case '"':
			quote = end_of(at + 1, end);
			if (!quote)
				return s;
			at = quote;
			break;
		case '{':
		case '[':
			s.values++;
			if (++depth > s.depth)
				s.depth = depth;
			break;
		case '}':
		case ']':
			depth -= depth > 0;
			break;
		case ',':
			s.values++;
			break;
		}
	}
	return s;
}
