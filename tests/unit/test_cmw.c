/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/cmw.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attest/bounds.h"
#include "attest/jose.h"
#include "vectors.h"

#define ITEMS 2

/* The vectors' two members, and a collection in it. */
struct bed {
	struct cmw collection, host;
	struct cmw_item items[ITEMS + 1];
};

static void items_of(const json_t *v, struct bed *b)
{
	const json_t *types = json_object_get(v, "items");
	json_t *type;
	const char *name;
	size_t i = 0;

	assert_int_equal(json_object_size(types), ITEMS);
	json_object_foreach((json_t *)types, name, type) b->items[i++] = (struct cmw_item){
		.name = name,
		.media_type = json_string_value(type),
		.max = 64,
		.text = {.at = "poison"},
		.content = (uint8_t *)0xa5,
		.len = 0xa5,
	};
	b->items[ITEMS] = (struct cmw_item){.name = "host", .nested = &b->host};
	b->host = (struct cmw){CMW_TYPE_HOST, NULL, 0, true};
	b->collection = (struct cmw){vector_text(v, "type"), b->items, ITEMS + 1, true};
}

/* All that is there, decoded. *@ret_why: what is wrong, as cmw_read() says, or an item's name. */
static int take(struct cmw *c, const char *text, size_t len, char ret_why[static 120])
{
	struct cmw_fault fault = {};
	int err = cmw_read(text, len, c, &fault);

	strcpy(ret_why, fault.member);
	for (size_t i = 0; !err && i < c->count; i++) {
		err = cmw_decode(&c->items[i]);
		if (err)
			strcpy(ret_why, c->items[i].name);
	}
	if (err)
		cmw_clear(c);
	return err;
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
	const char *text;
	char why[120];
	struct bed b;

	(void)state;
	for (size_t i = 0; i < json_array_size(good); i++) {
		text = vector_text(json_array_get(good, i), "json");
		items_of(v, &b);
		assert_int_equal(take(&b.collection, text, strlen(text), why), 0);
		for (size_t k = 0; k < ITEMS; k++)
			check_content(&b.items[k],
				      json_object_get(json_array_get(good, i), "content"));
		assert_int_equal(b.host.present, !!strstr(text, "\"host\""));
		cmw_clear(&b.collection);
		/* Cut off anywhere it is none. */
		for (size_t len = 0; len < strlen(text); len++)
			assert_int_equal(take(&b.collection, text, len, why), -EBADMSG);
	}
	for (size_t i = 0; i < json_array_size(bad); i++) {
		text = vector_text(json_array_get(bad, i), "json");
		items_of(v, &b);
		assert_int_equal(take(&b.collection, text, strlen(text), why), -EBADMSG);
		assert_string_equal(why, vector_text(json_array_get(bad, i), "why"));
		for (size_t k = 0; k < ITEMS; k++)
			assert_null(b.items[k].content);
	}
	json_decref(v);
}

static void test_round_trip(void **state)
{
	struct cmw_item item = {
		.name = "quote", .media_type = "application/vnd.affiant.tpms-attest", .max = 300};
	struct cmw host = {CMW_TYPE_HOST, &item, 1, false};
	struct cmw evidence = {CMW_TYPE_EVIDENCE, &item, 1, false};
	uint8_t bytes[301];
	char why[120], *text;
	json_t *c;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i;
	for (size_t len = 0; len <= sizeof(bytes); len += 7) {
		c = cmw_collection(CMW_TYPE_HOST);
		assert_int_equal(cmw_add(c, item.name, item.media_type, bytes, len), 0);
		text = json_dumps(c, JSON_INDENT(len % 3));
		/* Longer than it may be. */
		if (len > item.max) {
			assert_int_equal(take(&host, text, strlen(text), why), -EBADMSG);
			assert_string_equal(why, "quote");
		} else {
			assert_int_equal(take(&host, text, strlen(text), why), 0);
			assert_int_equal(item.len, len);
			assert_memory_equal(item.content, bytes, len);
			cmw_clear(&host);
		}
		assert_int_equal(take(&evidence, text, strlen(text), why), -EBADMSG);
		assert_string_equal(why, "__cmwc_t");
		free(text);
		json_decref(c);
	}
}

#define TYPE "\"__cmwc_t\":\"" CMW_TYPE_HOST "\""
#define QUOTE "\"quote\":[\"a/b\",\"_1RDRw\",4]"

/* Read without a tree, it is still JSON: escapes and white space wherever JSON has them. */
static void test_forms(void **state)
{
	static const struct {
		const char *text, *why; /* NULL: good */
	} forms[] = {
		{"{" TYPE "," QUOTE "}", NULL},
		{"{" QUOTE "," TYPE "}", NULL},
		{" \t\n\r{ " QUOTE " , " TYPE " } \n", NULL},
		{"{" TYPE ",\"quote\" : [ \"a/b\" , \"_1RDRw\" , 4 ] }", NULL},
		{"{" TYPE ",\"quote\":[\"a\\/b\",\"_1RDRw\",4]}", NULL},
		{"{" TYPE ",\"qu\\u006Fte\":[\"a\\u002fb\",\"\\u005f1RDR\\u0077\",4]}", NULL},
		{"{" TYPE "}", NULL},
		{"{" TYPE "," QUOTE "," QUOTE "}", "quote"},
		{"{" TYPE "," QUOTE ",\"qu\\u006fte\":[\"a/b\",\"\",4]}", "qu\\u006fte"},
		{"{" TYPE "," TYPE "}", "__cmwc_t"},
		{"{" TYPE "," QUOTE ",}", "the JSON"},
		{"{" TYPE "," QUOTE "}}", "the JSON"},
		{"{" TYPE "," QUOTE "},", "the JSON"},
		{"{" TYPE " " QUOTE "}", "the JSON"},
		{"[" TYPE "," QUOTE "]", "the JSON"},
		{"", "the JSON"},
		{"null", "the JSON"},
		{"{}", "__cmwc_t"},
		{"{" TYPE ",\"quote\":[\"a/b\",\"_1RDRw\",4,]}", "quote"},
		{"{" TYPE ",\"quote\":[\"a/b\",\"_1RDRw\",04]}", "quote"},
		{"{" TYPE ",\"quote\":[\"a/b\",\"_1RDRw\",4e0]}", "quote"},
		{"{" TYPE ",\"quote\":[\"a/b\",\"_1RDRw\",\"4\"]}", "quote"},
		{"{" TYPE ",\"quote\":[\"a/b\",\"_1RDRw\"4]}", "quote"},
		{"{" TYPE ",\"quote\":[\"a\\u0000/b\",\"_1RDRw\",4]}", "quote"},
		{"{" TYPE ",\"quote\":[\"a/b\",\"_1RDR\\x77\",4]}", "quote"},
		{"{" TYPE ",\"quote\":[\"a/b\",\"_1RDR\\u\",4]}", "quote"},
		{"{" TYPE ",\"quote\":[\"a/b\",\"_1RDR\\\",4]}", "quote"},
		{"{" TYPE ",\"quote\":[\"a/b\",\"_1RDRw\n\",4]}", "quote"},
		{"{" TYPE ",\"host\":{}}", "host"},
		{"{" TYPE ",quote:[\"a/b\",\"_1RDRw\",4]}", "the JSON"},
	};
	struct cmw_item item = {.name = "quote", .media_type = "a/b", .max = 4};
	struct cmw c = {CMW_TYPE_HOST, &item, 1, false};
	char why[120];

	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		const char *text = forms[i].text;
		int err = take(&c, text, strlen(text), why);

		if (err != (forms[i].why ? -EBADMSG : 0) || (err && strcmp(why, forms[i].why) != 0))
			fail_msg("%s: %d, %s", text, err, why);
		if (!err && strstr(text, "4"))
			assert_true(!item.content || item.len == 4);
		cmw_clear(&c);
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
		assert_int_equal(jose_json(bad[i], strlen(bad[i]), 4, &c), -EBADMSG);
	assert_int_equal(jose_json("{}\0", 3, 4, &c), -EBADMSG);
	assert_ptr_equal(c, (json_t *)0xa5);
}

/* As many values as anybody needs, and not one more: whether it is odd or not. */
static void test_json_many(void **state)
{
	static const char *const odd[] = {"", " "};
	_cleanup_buffer_ struct buffer b = {};
	json_t *c;

	(void)state;
	for (size_t values = BOUNDS_JSON_VALUES - 1; values <= BOUNDS_JSON_VALUES + 1; values++)
		for (size_t i = 0; i < 2; i++) {
			buffer_clear(&b);
			buffer_print(&b, "[%s1", odd[i]);
			for (size_t k = 2; k < values; k++)
				buffer_add_text(&b, ",1");
			buffer_add_char(&b, ']');
			assert_int_equal(jose_json(b.data, b.len, 1, &c),
					 values > BOUNDS_JSON_VALUES ? -EBADMSG : 0);
			if (values <= BOUNDS_JSON_VALUES)
				json_decref(c);
		}
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
		cmocka_unit_test(test_json_alike), cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_forms),
		cmocka_unit_test(test_json_many),  cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests_name("cmw", tests, NULL, NULL);
}
