/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64url.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * RFC 4648, section 10, in the other alphabet and without padding; and the two characters that
 * differ.
 */
static const struct {
	const char *bytes, *text;
} known[] = {
	{"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
	{"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff", "-_8"},
};

static void test_known(void **state)
{
	char text[16];
	uint8_t bytes[16];
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		memset(text, 0xa5, sizeof(text));
		base64url_encode(known[i].bytes, strlen(known[i].bytes), text);
		assert_string_equal(text, known[i].text);
		assert_int_equal(strlen(text), BASE64URL_LEN(strlen(known[i].bytes)));
		assert_int_equal(base64url_decode(text, strlen(text), bytes, sizeof(bytes), &len),
				 0);
		assert_int_equal(len, strlen(known[i].bytes));
		assert_memory_equal(bytes, known[i].bytes, len);
	}
}

static void test_round_trip(void **state)
{
	uint8_t bytes[260], *back;
	size_t back_len;
	char *text;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i * 37 + 11;
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		text = base64url_new(bytes, len);
		assert_non_null(text);
		assert_int_equal(base64url_decode_new(text, strlen(text), &back, &back_len), 0);
		assert_int_equal(back_len, len);
		assert_memory_equal(back, bytes, len);
		assert_int_equal(back[len], 0);
		free(back);
		free(text);
	}
}

/*
 * Of all texts of up to three characters exactly those are read which are the encoding of what they
 * give.
 */
static void test_one_encoding(void **state)
{
	uint8_t bytes[2];
	char text[4], again[4];
	size_t len;

	(void)state;
	for (unsigned int a = 0; a < 256; a++)
		for (unsigned int b = 0; b < 256; b++)
			for (unsigned int n = 1; n <= 3; n++) {
				text[0] = a, text[1] = b, text[2] = 'A';
				if (base64url_decode(text, n, bytes, sizeof(bytes), &len) < 0)
					continue;
				base64url_encode(bytes, len, again);
				assert_int_equal(strlen(again), n);
				assert_memory_equal(again, text, n);
			}
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"A",      "AAAAA", "Zg==", "Zh",        "Zm9=", "Zm9",  "Z g",
		"Zm9v\n", "+/8",   "Zm.v", "Z\xc3\xa9", "=",    "AAAA="};
	uint8_t bytes[16], *made = (uint8_t *)bytes;
	size_t len = 77;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(
			base64url_decode(bad[i], strlen(bad[i]), bytes, sizeof(bytes), &len),
			-EBADMSG);
		assert_int_equal(base64url_decode_new(bad[i], strlen(bad[i]), &made, &len),
				 -EBADMSG);
		assert_int_equal(len, 77);
		assert_ptr_equal(made, bytes);
	}
	assert_int_equal(base64url_decode("AA\0A", 4, bytes, sizeof(bytes), &len), -EBADMSG);
	assert_int_equal(base64url_decode("Zm9v", 4, bytes, 2, &len), -ENOBUFS);
	assert_int_equal(base64url_decode_exact("Zm9v", 4, bytes, 3), 0);
	assert_int_equal(base64url_decode_exact("Zm9v", 4, bytes, 2), -EBADMSG);
	assert_int_equal(base64url_decode_exact("Zm9v", 4, bytes, 4), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_one_encoding),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("base64url", tests, NULL, NULL);
}
