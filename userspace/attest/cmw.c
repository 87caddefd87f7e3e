/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/cmw.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64url.h"

#define TYPE_MEMBER "__cmwc_t"

json_t *cmw_collection(const char *type)
{
	return json_pack("{ss}", TYPE_MEMBER, type);
}

int cmw_add(json_t *collection, const char *name, const char *media_type, const void *content,
	    size_t len)
{
	_cleanup_free_ char *text = base64url_new(content, len);
	json_t *record = text ? json_pack("[ssi]", media_type, text, CMW_EVIDENCE) : NULL;

	return record && !json_object_set_new(collection, name, record) ? 0 : -ENOMEM;
}

void cmw_begin(struct buffer *b, const char *type)
{
	buffer_print(b, "{\"" TYPE_MEMBER "\":\"%s\"", type);
}

void cmw_put(struct buffer *b, const char *name, const char *media_type, const void *content,
	     size_t len)
{
	_cleanup_free_ char *text = base64url_new(content, len);

	if (!text) {
		b->failed = true;
		return;
	}
	buffer_print(b, ",\"%s\":[\"%s\",\"", name, media_type);
	buffer_add_text(b, text);
	buffer_print(b, "\",%d]", CMW_EVIDENCE);
}

/* ---- reading ---- */

static int read_collection(struct reader *r, struct cmw *c, struct cmw_fault *fault);

static int fault_of(struct cmw_fault *f, const struct cmw *c, const char *at, size_t len)
{
	f->in = c;
	snprintf(f->member, sizeof(f->member), "%.*s",
		 (int)(len < sizeof(f->member) ? len : sizeof(f->member)), at);
	return -EBADMSG;
}

static int no_json(struct cmw_fault *f, const struct cmw *c)
{
	return fault_of(f, c, "the JSON", strlen("the JSON"));
}

/*
 * [media type, content, ind]; ind may be left out by RFC 9999, not here: it says that this is
 * evidence.
 */
static int read_record(struct reader *r, struct cmw_item *item)
{
	struct jsontext type, text;
	uint32_t ind;

	if (!jsontext_punctuation(r, '[') || jsontext_string(r, &type) ||
	    !jsontext_is(&type, item->media_type) || !jsontext_punctuation(r, ',') ||
	    jsontext_string(r, &text) || !jsontext_punctuation(r, ',') || jsontext_small(r, &ind) ||
	    ind != CMW_EVIDENCE || !jsontext_punctuation(r, ']'))
		return -EBADMSG;
	/* Each character may be written as an escape of six. */
	if (text.len / (text.escaped ? 6 : 1) > BASE64URL_LEN(item->max))
		return -EBADMSG;
	item->text = text;
	return 0;
}

static int read_type(struct reader *r, struct cmw *c)
{
	struct jsontext type;

	if (c->present || jsontext_string(r, &type) || !jsontext_is(&type, c->type))
		return -EBADMSG;
	c->present = true;
	return 0;
}

static struct cmw_item *item_of(const struct cmw *c, const struct jsontext *name)
{
	for (size_t i = 0; i < c->count; i++)
		if (jsontext_is(name, c->items[i].name))
			return &c->items[i];
	return NULL;
}

/* What no item asks for is refused unread, and so is what comes twice. */
static int read_member(struct reader *r, const struct jsontext *name, struct cmw *c,
		       struct cmw_fault *fault)
{
	struct cmw_item *item = item_of(c, name);
	int err = -EBADMSG;

	if (item && item->nested && !item->nested->present)
		return read_collection(r, item->nested, fault);
	if (jsontext_is(name, TYPE_MEMBER))
		err = read_type(r, c);
	else if (item && !item->nested && !item->text.at)
		err = read_record(r, item);
	return err ? fault_of(fault, c, name->at, name->len) : 0;
}

static int read_collection(struct reader *r, struct cmw *c, struct cmw_fault *fault)
{
	struct jsontext name;
	int err = 0;

	if (!jsontext_punctuation(r, '{'))
		return no_json(fault, c);
	if (!jsontext_punctuation(r, '}')) {
		do {
			if (jsontext_string(r, &name) || !jsontext_punctuation(r, ':'))
				return no_json(fault, c);
			err = read_member(r, &name, c, fault);
		} while (!err && jsontext_punctuation(r, ','));
		if (err)
			return err;
		if (!jsontext_punctuation(r, '}'))
			return no_json(fault, c);
	}
	return c->present ? 0 : fault_of(fault, c, TYPE_MEMBER, strlen(TYPE_MEMBER));
}

static void forget(struct cmw *c)
{
	c->present = false;
	for (size_t i = 0; i < c->count; i++) {
		c->items[i].text = (struct jsontext){};
		c->items[i].content = NULL;
		c->items[i].len = 0;
		if (c->items[i].nested)
			forget(c->items[i].nested);
	}
}

int cmw_read(const void *data, size_t len, struct cmw *c, struct cmw_fault *ret_fault)
{
	struct reader r = reader_of(data, len);
	int err;

	forget(c);
	err = read_collection(&r, c, ret_fault);
	if (!err && !jsontext_end(&r))
		err = no_json(ret_fault, c);
	if (err)
		forget(c);
	return err;
}

int cmw_decode(struct cmw_item *item)
{
	const struct jsontext *t = &item->text;
	_cleanup_free_ char *plain = NULL;
	const char *text = t->at;
	size_t len = t->len;
	int err;

	if (!text || item->content)
		return 0;
	if (t->escaped) {
		plain = malloc(len + 1);
		if (!plain)
			return -ENOMEM;
		err = jsontext_plain(t, plain, t->len + 1, &len);
		if (err)
			return err;
		text = plain;
	}
	return len > BASE64URL_LEN(item->max)
		       ? -EBADMSG
		       : base64url_decode_new(text, len, &item->content, &item->len);
}

void cmw_clear(struct cmw *c)
{
	for (size_t i = 0; i < c->count; i++) {
		struct cmw_item *item = &c->items[i];

		free(item->content);
		item->content = NULL;
		item->len = 0;
		if (item->nested)
			cmw_clear(item->nested);
	}
}
