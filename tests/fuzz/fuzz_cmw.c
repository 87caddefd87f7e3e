/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a collection: what is taken out of it and put into another is taken out again. */
#include "attest/cmw.h"

#include <stdlib.h>
#include <string.h>

#include "attest/jose.h"

#define ITEMS 3

static const char *const nested[] = {"host", NULL};

static void check(const struct cmw_item *item)
{
	struct cmw_item again = {.name = item->name, .media_type = item->media_type};
	json_t *c = cmw_collection(CMW_TYPE_EVIDENCE);
	const char *why;

	if (cmw_add(c, item->name, item->media_type, item->content, item->len) < 0 ||
	    cmw_take(c, CMW_TYPE_EVIDENCE, &again, 1, NULL, &why) < 0 || again.len != item->len ||
	    memcmp(again.content, item->content, item->len))
		abort();
	cmw_items_clear(&again, 1);
	json_decref(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cmw_item items[ITEMS] = {
		{.name = "eat", .media_type = "application/eat+jwt"},
		{.name = "quote", .media_type = "application/vnd.affiant.tpms-attest"},
		{.name = "pcrs", .media_type = "application/vnd.affiant.pcrs+json"},
	};
	const char *why = NULL;
	json_t *c;

	if (jose_json(data, size, CMW_DEPTH_MAX, &c) < 0)
		return 0;
	if (cmw_take(c, CMW_TYPE_EVIDENCE, items, ITEMS, nested, &why) < 0) {
		if (!why)
			abort();
	} else {
		for (size_t i = 0; i < ITEMS; i++)
			if (items[i].content)
				check(&items[i]);
	}
	cmw_items_clear(items, ITEMS);
	json_decref(c);
	return 0;
}
