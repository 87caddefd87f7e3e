/* SPDX-License-Identifier: Apache-2.0 */
/* The JWS half of jose.h: compact serialisation, and JSON that strangers send. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attest/bounds.h"
#include "attest/jose.h"
#include "attest/jsontext.h"
#include "attest/ossl.h"
#include "base/base64url.h"
#include "base/buffer.h"
#include "base/reader.h"

static int add_part(struct buffer *b, const json_t *object)
{
	_cleanup_free_ char *json = json_dumps(object, JSON_COMPACT);
	_cleanup_free_ char *text = json ? base64url_new(json, strlen(json)) : NULL;

	if (!text)
		return -ENOMEM;
	buffer_add_text(b, text);
	return buffer_error(b);
}

static int take_text(struct buffer *b, char **ret)
{
	buffer_add_char(b, '\0');
	if (buffer_error(b))
		return -ENOMEM;
	*ret = TAKE_PTR(b->data);
	return 0;
}

int jose_signing_input(const json_t *header, const json_t *payload, char **ret)
{
	_cleanup_buffer_ struct buffer b = {};
	int err = add_part(&b, header);

	if (err)
		return err;
	buffer_add_char(&b, '.');
	return add_part(&b, payload) ?: take_text(&b, ret);
}

int jose_jws(EVP_PKEY *key, const char *signing_input, char **ret)
{
	_cleanup_buffer_ struct buffer b = {};
	char text[BASE64URL_LEN(96) + 1];
	uint8_t signature[96];
	size_t len;
	int err = jose_sign(key, signing_input, strlen(signing_input), signature, &len);

	if (err)
		return err;
	base64url_encode(signature, len, text);
	buffer_add_text(&b, signing_input);
	buffer_add_char(&b, '.');
	buffer_add_text(&b, text);
	return take_text(&b, ret);
}

/*
 * What daemons write: compact JSON, of ASCII without escapes, of integers that are not negative.
 * Read here, since jansson's lexer takes as long for it as a signature does. Whatever is not of
 * that kind is left to jansson: NULL.
 */
struct quick {
	struct reader r;
	size_t values; /* that may still come */
};

static json_t *quick_value(struct quick *q, size_t depth);

static bool skip(struct reader *r, char c)
{
	if (!r->left || *r->at != c)
		return false;
	r->at++;
	r->left--;
	return true;
}

static bool quick_text(struct reader *r, const char **ret, size_t *ret_len)
{
	const uint8_t *begin, *end;

	if (!skip(r, '"'))
		return false;
	begin = r->at;
	end = memchr(begin, '"', r->left);
	if (!end)
		return false;
	for (const uint8_t *c = begin; c < end; c++)
		if (*c < ' ' || *c > '~' || *c == '\\')
			return false;
	*ret = (const char *)begin;
	*ret_len = end - begin;
	r->left -= *ret_len + 1;
	r->at = end + 1;
	return true;
}

static json_t *quick_number(struct reader *r)
{
	json_int_t n = 0;
	size_t digits = 0;

	while (r->left && *r->at >= '0' && *r->at <= '9' && digits < 18) {
		n = 10 * n + (*r->at++ - '0');
		r->left--;
		if (digits++ && n < 10)
			return NULL; /* a zero in front */
	}
	/* More digits, a fraction, an exponent. */
	if (!digits || !r->left || (*r->at != ',' && *r->at != ']' && *r->at != '}'))
		return NULL;
	return json_integer(n);
}

static json_t *quick_array(struct quick *q, size_t depth)
{
	_cleanup_json_ json_t *array = json_array();
	struct reader *r = &q->r;

	if (skip(r, ']'))
		return json_incref(array);
	do {
		if (json_array_append_new(array, quick_value(q, depth)))
			return NULL;
	} while (skip(r, ','));
	return skip(r, ']') ? json_incref(array) : NULL;
}

static json_t *quick_object(struct quick *q, size_t depth)
{
	_cleanup_json_ json_t *object = json_object();
	struct reader *r = &q->r;
	char name[64];
	const char *text;
	size_t len;

	if (skip(r, '}'))
		return json_incref(object);
	do {
		if (!quick_text(r, &text, &len) || len >= sizeof(name) || !skip(r, ':'))
			return NULL;
		memcpy(name, text, len);
		name[len] = '\0';
		if (json_object_get(object, name) ||
		    json_object_set_new_nocheck(object, name, quick_value(q, depth)))
			return NULL;
	} while (skip(r, ','));
	return skip(r, '}') ? json_incref(object) : NULL;
}

static json_t *quick_value(struct quick *q, size_t depth)
{
	struct reader *r = &q->r;
	const char *text;
	size_t len;

	if (!r->left || !q->values--)
		return NULL;
	if (*r->at == '"')
		return quick_text(r, &text, &len) ? json_stringn_nocheck(text, len) : NULL;
	if (depth && skip(r, '{'))
		return quick_object(q, depth - 1);
	if (depth && skip(r, '['))
		return quick_array(q, depth - 1);
	if (r->left > 5 && !memcmp(r->at, "false", 5)) {
		r->at += 5;
		r->left -= 5;
		return json_false();
	}
	if (r->left > 4 && !memcmp(r->at, "true", 4)) {
		r->at += 4;
		r->left -= 4;
		return json_true();
	}
	return quick_number(r);
}

/*
 * Before jansson recurses, and takes a hundred bytes for a bracket. Nor is it to see a NUL: behind
 * a number it passes over one.
 */
static bool is_too_much(const void *data, size_t len, size_t depth)
{
	const struct jsontext_size size = jsontext_measure(data, len);

	return size.depth > depth || size.values > BOUNDS_JSON_VALUES ||
	       (len && memchr(data, '\0', len));
}

int jose_json(const void *data, size_t len, size_t depth, json_t **ret)
{
	struct quick q = {reader_of(data, len), BOUNDS_JSON_VALUES};
	/* An object or an array: nothing else is a text by itself. */
	const bool nests = len && (*q.r.at == '{' || *q.r.at == '[');
	json_t *value = nests ? quick_value(&q, depth) : NULL;

	if (value && q.r.left) {
		json_decref(value);
		value = NULL;
	}
	if (!value && is_too_much(data, len, depth))
		return -EBADMSG;
	value = value ?: json_loadb(data, len, JSON_REJECT_DUPLICATES, NULL);
	if (!value)
		return -EBADMSG;
	*ret = value;
	return 0;
}

static int parse_part(const char *text, size_t len, size_t depth, json_t **ret)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	_cleanup_json_ json_t *value = NULL;
	size_t bytes_len;
	int err = base64url_decode_new(text, len, &bytes, &bytes_len)
			  ?: jose_json(bytes, bytes_len, depth, &value);

	if (err)
		return err;
	if (!json_is_object(value))
		return -EBADMSG;
	*ret = TAKE_PTR(value);
	return 0;
}

int jose_parse(const char *token, size_t len, size_t depth, struct jose_parsed *ret)
{
	const char *end = token + len, *first = memchr(token, '.', len);
	const char *second = first ? memchr(first + 1, '.', end - first - 1) : NULL;
	struct jose_parsed p = {};
	int err;

	if (!second)
		return -EBADMSG;
	p.signing_input_len = second - token;
	err = base64url_decode(second + 1, end - second - 1, p.signature, sizeof(p.signature),
			       &p.signature_len);
	if (err || (p.signature_len != 64 && p.signature_len != 96))
		return -EBADMSG;
	err = parse_part(token, first - token, depth, &p.header)
		      ?: parse_part(first + 1, second - first - 1, depth, &p.payload);
	if (err) {
		jose_parsed_clear(&p);
		return err;
	}
	*ret = p;
	return 0;
}

void jose_parsed_clear(struct jose_parsed *p)
{
	json_decref(p->header);
	json_decref(p->payload);
	*p = (struct jose_parsed){};
}
