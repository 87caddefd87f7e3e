/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/cmw.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attest/jose.h"
#include "vectors.h"

#define ITEMS 2

static const char *const nested[] = {"host", NULL};

static void items_of(const json_t *v, struct cmw_item items[static ITEMS])
{
	const json_t *types = json_object_get(v, "items");
	json_t *type;
	const char *name;
	size_t i = 0;

	assert_int_equal(json_object_size(types), ITEMS);
	json_object_foreach((json_t *)types, name, type) items[i++] = (struct cmw_item){
		.name = name,
		.media_type = json_string_value(type),
		.content = (uint8_t *)0xa5,
		.len = 0xa5,
	};
}

static void check_content(const struct cmw_item *item, const json_t *content)
{
	const json_t *expected = json_object_get(content, item->name);
	uint8_t bytes[64];
	size_t len;

	if (!expected) {
		assert_null(item->content);
		return;
	}
	len = vector_bytes(json_string_value(expected), bytes, sizeof(bytes));
	assert_non_null(item->content);
	assert_int_equal(item->len, len);
	assert_memory_equal(item->content, bytes, len);
	assert_int_equal(item->content[len], 0);
}

static void test_vectors(void **state)
{
	json_t *v = vectors_load("cmw"), *good = json_object_get(v, "good"),
	       *bad = json_object_get(v, "bad");
	struct cmw_item items[ITEMS];
	const char *type = vector_text(v, "type"), *text, *why;
	json_t *c;

	(void)state;
	for (size_t i = 0; i < json_array_size(good); i++) {
		text = vector_text(json_array_get(good, i), "json");
		assert_int_equal(jose_json(text, strlen(text), CMW_DEPTH_MAX, &c), 0);
		items_of(v, items);
		assert_int_equal(cmw_take(c, type, items, ITEMS, nested, &why), 0);
		for (size_t k = 0; k < ITEMS; k++)
			check_content(&items[k],
				      json_object_get(json_array_get(good, i), "content"));
		cmw_items_clear(items, ITEMS);
		json_decref(c);
	}
	for (size_t i = 0; i < json_array_size(bad); i++) {
		text = vector_text(json_array_get(bad, i), "json");
		assert_int_equal(jose_json(text, strlen(text), CMW_DEPTH_MAX, &c), 0);
		items_of(v, items);
		why = NULL;
		assert_int_equal(cmw_take(c, type, items, ITEMS, nested, &why), -EBADMSG);
		assert_string_equal(why, vector_text(json_array_get(bad, i), "why"));
		for (size_t k = 0; k < ITEMS; k++)
			assert_null(items[k].content);
		json_decref(c);
	}
	json_decref(v);
}

static void test_round_trip(void **state)
{
	struct cmw_item item = {.name = "quote",
				.media_type = "application/vnd.affiant.tpms-attest"};
	uint8_t bytes[300];
	const char *why;
	json_t *c;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i;
	for (size_t len = 0; len <= sizeof(bytes); len += 7) {
		c = cmw_collection(CMW_TYPE_HOST);
		assert_int_equal(cmw_add(c, item.name, item.media_type, bytes, len), 0);
		assert_int_equal(cmw_take(c, CMW_TYPE_HOST, &item, 1, NULL, &why), 0);
		assert_int_equal(item.len, len);
		assert_memory_equal(item.content, bytes, len);
		cmw_items_clear(&item, 1);
		assert_int_equal(cmw_take(c, CMW_TYPE_EVIDENCE, &item, 1, NULL, &why), -EBADMSG);
		assert_string_equal(why, "__cmwc_t");
		json_decref(c);
	}
}

/* What json_loadb() of others would let pass: the second of two members, what is behind the end. */
static void test_json(void **state)
{
	static const char *const bad[] = {
		"{\"__cmwc_t\":\"a\",\"__cmwc_t\":\"b\"}",
		"{\"a\":1,\"\\u0061\":2}",
		"{\"a\":{\"b\":1,\"b\":1}}",
		"{} {}",
		"{}x",
		"\"a\"",
		"{\"a\":\"\\u0000\"}",
		"{\"a\":\"\xff\"}",
		"{\"a\":01}",
		"{'a':1}",
		"[[[[[]]]]]",
		"",
	};
	json_t *c = (json_t *)0xa5;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(jose_json(bad[i], strlen(bad[i]), CMW_DEPTH_MAX, &c), -EBADMSG);
	assert_int_equal(jose_json("{}\0", 3, CMW_DEPTH_MAX, &c), -EBADMSG);
	assert_ptr_equal(c, (json_t *)0xa5);
}

/* What is read without jansson is what jansson reads; what is odd is left to it. */
static void test_json_alike(void **state)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		"{\"a\":1}",
		"{\"a\":0}",
		"{\"a\":01}",
		"{\"a\":-1}",
		"{\"a\":-0}",
		"{\"a\":1.5}",
		"{\"a\":1e3}",
		"{\"a\":999999999999999999}",
		"{\"a\":1000000000000000000}",
		"{\"a\":9223372036854775807}",
		"{\"a\":9223372036854775808}",
		"{\"a\":\"\\u0041\"}",
		"{\"a\":\"\\\"\"}",
		"{\"a\":\"\303\251\"}",
		"{\"a\":\"\303\"}",
		"{\"a\":\"\177\"}",
		"{\"a\":\"\001\"}",
		" {\"a\":1}",
		"{\"a\":1} ",
		"{\"a\":1}x",
		"{\"a\":1}{}",
		"{\"a\":1,\"a\":2}",
		"{\"a\":1,}",
		"{,}",
		"{\"a\"}",
		"{\"a\":}",
		"{a:1}",
		"{\"a\":1",
		"{\"a\":\"",
		"{\"a\":[",
		"[1,2]",
		"[1 ,2]",
		"[1,]",
		"[,1]",
		"[true]",
		"[true",
		"[truex]",
		"[true,false]",
		"[false]",
		"[falsey]",
		"[null]",
		"[1}",
		"{\"a\":1]",
		"[[[[]]]]",
		"[[[[[]]]]]",
		"true",
		"1",
		"\"x\"",
		"",
		"[\"\"]",
		"{\"\":1}",
	};
	json_t *ours, *theirs;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		ours = NULL;
		theirs = json_loadb(texts[i], strlen(texts[i]), JSON_REJECT_DUPLICATES, NULL);
		if (jose_json(texts[i], strlen(texts[i]), 5, &ours) != (theirs ? 0 : -EBADMSG) ||
		    (theirs && !json_equal(ours, theirs)))
			fail_msg("%s", texts[i]);
		json_decref(ours);
		json_decref(theirs);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_alike),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests_name("cmw", tests, NULL, NULL);
}
