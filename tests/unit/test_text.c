/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct example {
	const char *in;
	size_t len;
	const char *expected;
};

#define IN(text) text, sizeof(text) - 1

static void for_a_terminal(void **state)
{
	static const struct example examples[] = {
		{IN(""), ""},
		{IN("plain name"), "plain name"},
		{IN("na\xc3\xafve \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80"),
		 "na\xc3\xafve \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80"},
		{IN("\x1b[2J\x07\r\n\t\x7f\0"), "\\x1b[2J\\x07\\x0d\\x0a\\x09\\x7f\\x00"},
		{IN("back\\slash"), "back\\\\slash"},
		{IN("\xc2\x9b"
		    "31m"),
		 "\\xc2\\x9b31m"}, /* U+009B, CSI */
		{IN("\x9b"
		    "31m"),
		 "\\x9b31m"}, /* the same in Latin-1: no UTF-8 */
		{IN("a\xe2\x80\xae"
		    "b"),
		 "a\\xe2\\x80\\xaeb"}, /* right-to-left override */
		{IN("a\xe2\x80\x8b\xef\xbb\xbf"),
		 "a\\xe2\\x80\\x8b\\xef\\xbb\\xbf"},                       /* zero width */
		{IN("\xc0\xaf\xe0\x80\xaf"), "\\xc0\\xaf\\xe0\\x80\\xaf"}, /* overlong */
		{IN("\xed\xa0\x80"), "\\xed\\xa0\\x80"},                   /* a surrogate */
		{IN("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80"},          /* beyond U+10FFFF */
		{IN("\xf0\x9f\x98"), "\\xf0\\x9f\\x98"},                   /* cut */
		{IN("\xf3\xa0\x81\xa1"), "\\xf3\\xa0\\x81\\xa1"},          /* a tag character */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(*examples); i++) {
		_cleanup_buffer_ struct buffer out = {};

		text_printable(&out, examples[i].in, examples[i].len, 0);
		assert_int_equal(out.len, strlen(examples[i].expected));
		assert_memory_equal(out.data ?: "", examples[i].expected, out.len);
	}
}

static void as_one_word(void **state)
{
	_cleanup_buffer_ struct buffer out = {};

	(void)state;
	text_printable(&out, "a b", 3, TEXT_WORD);
	assert_int_equal(out.len, 6);
	assert_memory_equal(out.data, "a\\x20b", 6);
	buffer_clear(&out);
	text_printable(&out, "\xe6\x98\x9b b", 5, TEXT_ASCII); /* U+661B holds a 0x9b, C1's CSI */
	assert_int_equal(out.len, 14);
	assert_memory_equal(out.data, "\\xe6\\x98\\x9b b", 14);
}

/* No byte string brings a control character through. */
static void no_pair_of_bytes_passes(void **state)
{
	(void)state;
	for (int a = 0; a < 256; a++)
		for (int b = 0; b < 256; b++) {
			_cleanup_buffer_ struct buffer out = {};
			uint8_t in[] = {a, b};
			uint32_t c;

			text_printable(&out, in, 2, 0);
			for (size_t i = 0; i < out.len;) {
				size_t size = utf8_decode((uint8_t *)out.data + i, out.len - i, &c);

				assert_true(size > 0);
				assert_false(c < 0x20 || (c >= 0x7f && c < 0xa0));
				i += size;
			}
		}
}

static void for_json(void **state)
{
	_cleanup_buffer_ struct buffer out = {};

	(void)state;
	assert_false(text_utf8(&out, "50% \xc3\xa9\x1b", 7, false));
	assert_int_equal(out.len, 7);
	assert_memory_equal(out.data, "50% \xc3\xa9\x1b", 7);
	buffer_clear(&out);
	assert_true(text_utf8(&out, "50% \xc3\xff", 6, false));
	assert_memory_equal(out.data, "50% %C3%FF", out.len);
	buffer_clear(&out);
	assert_true(text_utf8(&out, "50%\xff", 4, true));
	assert_memory_equal(out.data, "50%25%FF", out.len);
	buffer_clear(&out);
	assert_false(text_utf8(&out, "50%", 3, true));
}

static void a_failure_sticks(void **state)
{
	_cleanup_buffer_ struct buffer out = {};

	(void)state;
	buffer_add_text(&out, "abc");
	buffer_add(&out, "x", SIZE_MAX - 1);
	assert_int_equal(buffer_error(&out), -ENOMEM);
	buffer_add_text(&out, "def");
	assert_int_equal(out.len, 3);
	buffer_clear(&out);
	assert_int_equal(buffer_error(&out), 0);
	buffer_print(&out, "%0500d", 7);
	assert_int_equal(out.len, 500);
	assert_int_equal(out.data[499], '7');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(for_a_terminal),          cmocka_unit_test(as_one_word),
		cmocka_unit_test(no_pair_of_bytes_passes), cmocka_unit_test(for_json),
		cmocka_unit_test(a_failure_sticks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
