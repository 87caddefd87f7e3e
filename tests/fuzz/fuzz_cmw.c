/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as evidence: what is found in it, put into another collection, is found again; and
 * nothing is found in what jansson calls no JSON, or with a member twice.
 */
#include "attest/parts.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void check(const struct cmw_item *item, const char *type)
{
	struct cmw_item again = {item->name, item->media_type, item->max};
	struct cmw c = {type, &again, 1, false};
	json_t *o = cmw_collection(type);
	struct cmw_fault fault;
	char *text;

	if (cmw_add(o, item->name, item->media_type, item->content, item->len) < 0)
		abort();
	text = json_dumps(o, JSON_COMPACT);
	if (!text || cmw_read(text, strlen(text), &c, &fault) < 0 || cmw_decode(&again) < 0 ||
	    again.len != item->len || memcmp(again.content, item->content, item->len))
		abort();
	cmw_clear(&c);
	json_decref(o);
	free(text);
}

static bool decode(struct cmw *c)
{
	bool good = true;

	for (size_t i = 0; i < c->count; i++)
		good &= cmw_decode(&c->items[i]) == 0;
	for (size_t i = 0; i < c->count; i++)
		if (c->items[i].content)
			check(&c->items[i], c->type);
	return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cmw_fault fault = {};
	struct parts p;
	bool whole;
	json_t *o;

	parts_init(&p);
	if (cmw_read(data, size, &p.evidence, &fault) < 0) {
		if (!fault.in)
			abort();
		return 0;
	}
	whole = decode(&p.evidence);
	if (decode(&p.host) && whole) {
		o = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
		if (!json_is_object(o))
			abort();
		json_decref(o);
	}
	cmw_clear(&p.evidence);
	return 0;
}
