/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/cmw.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "attest/ossl.h"
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

/*
 * [media type, content, ind]; ind may be left out by RFC 9999, not here: it says that this is
 * evidence.
 */
static int take_record(const json_t *record, struct cmw_item *item)
{
	const json_t *type, *content, *ind;

	if (!json_is_array(record) || json_array_size(record) != 3)
		return -EBADMSG;
	type = json_array_get(record, 0);
	content = json_array_get(record, 1);
	ind = json_array_get(record, 2);
	if (!json_is_string(type) || strcmp(json_string_value(type), item->media_type) ||
	    !json_is_string(content) || !json_is_integer(ind) ||
	    json_integer_value(ind) != CMW_EVIDENCE)
		return -EBADMSG;
	return base64url_decode_new(json_string_value(content), json_string_length(content),
				    &item->content, &item->len);
}

static bool is_one_of(const char *name, const char *const *names)
{
	for (; names && *names; names++)
		if (!strcmp(name, *names))
			return true;
	return false;
}

static int take_member(const char *name, const json_t *value, struct cmw_item *items, size_t count,
		       const char *const *nested)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(name, items[i].name))
			return take_record(value, &items[i]);
	return is_one_of(name, nested) ? 0 : -EBADMSG;
}

int cmw_take(const json_t *collection, const char *type, struct cmw_item *items, size_t count,
	     const char *const *nested, const char **ret_why)
{
	json_t *members = (json_t *)collection; /* jansson's iterators take no const */
	const char *name, *is;
	json_t *value;
	int err;

	for (size_t i = 0; i < count; i++) {
		items[i].content = NULL;
		items[i].len = 0;
	}
	is = json_string_value(json_object_get(collection, TYPE_MEMBER));
	if (!is || strcmp(is, type)) {
		*ret_why = TYPE_MEMBER;
		return -EBADMSG;
	}
	json_object_foreach(members, name, value)
	{
		if (!strcmp(name, TYPE_MEMBER))
			continue;
		err = take_member(name, value, items, count, nested);
		if (err) {
			cmw_items_clear(items, count);
			*ret_why = name;
			return err;
		}
	}
	return 0;
}

void cmw_items_clear(struct cmw_item *items, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(items[i].content);
		items[i].content = NULL;
		items[i].len = 0;
	}
}
