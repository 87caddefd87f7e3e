/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/compact.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "samples.h"

static void lines_of(const struct compact_style *style, struct buffer *out)
{
	for (size_t i = 0; i < samples_count; i++)
		compact_line(samples[i].record, style, out);
	assert_int_equal(buffer_error(out), 0);
}

/*
 * tests/data/compact.txt was read by a person; a change of the format changes it in the same
 * commit.
 */
static void lines_as_a_person_approved_them(void **state)
{
	_cleanup_buffer_ struct buffer out = {};
	static char expected[65536];
	_cleanup_fclose_ FILE *file = fopen(TEST_DATA "/compact.txt", "r");
	char *golden = expected, *found;
	size_t len;

	(void)state;
	assert_non_null(file);
	len = fread(expected, 1, sizeof(expected) - 1, file);
	expected[len] = '\0';
	lines_of(&(struct compact_style){}, &out);
	buffer_add_char(&out, '\0');
	found = out.data;
	for (size_t i = 0; i < samples_count; i++)
		assert_string_equal(strsep(&found, "\n"), strsep(&golden, "\n"));
	assert_string_equal(found, "");
	assert_string_equal(golden, "");
}

static bool is_sgr(const char *at, size_t left, size_t *ret_len)
{
	size_t len = 2;

	if (left < 4 || at[0] != '\x1b' || at[1] != '[')
		return false;
	while (len < left && (at[len] == ';' || (at[len] >= '0' && at[len] <= '9')))
		len++;
	*ret_len = len + 1;
	return len < left && at[len] == 'm';
}

/* Nothing but our own colours is not printable, whatever the records hold. */
static void nothing_but_colours_gets_out(void **state)
{
	(void)state;
	for (int style = 0; style < 4; style++) {
		_cleanup_buffer_ struct buffer out = {};
		size_t lines = 0, colours = 0, skip = 1;

		lines_of(&(struct compact_style){.colour = style & 1, .ascii = style & 2}, &out);
		for (size_t i = 0; i < out.len; i += skip) {
			uint8_t c = out.data[i];

			skip = 1;
			if (c == '\n')
				lines++;
			else if (c == 0x1b && style & 1 && is_sgr(out.data + i, out.len - i, &skip))
				colours++;
			else if (c < 0x20 || c == 0x7f || (style & 2 && c > 0x7f))
				fail_msg("byte %#x at %zu", c, i);
			assert_false(c == 0xc2 && (uint8_t)out.data[i + 1] < 0xa0);
		}
		assert_int_equal(lines, samples_count);
		assert_int_equal(colours > samples_count, style & 1);
	}
}

static void assurance_never_looks_alike(void **state)
{
	static const char *const expected[] = {"alice? ", "alice? ", "alice ", "alice! "};
	Affiant__V1__Principal principal = AFFIANT__V1__PRINCIPAL__INIT;
	Affiant__V1__Record r = *samples[8].record;

	(void)state;
	principal.subject = (char[]){"alice"};
	r.principal = &principal;
	for (int i = 0; i < 4; i++) {
		_cleanup_buffer_ struct buffer out = {};

		principal.assurance = i;
		compact_line(&r, &(struct compact_style){}, &out);
		buffer_add_char(&out, '\0');
		assert_non_null(strstr(out.data, expected[i]));
	}
}

/* Columns begin at the same places, also with colours and letters of several bytes. */
static void columns_are_aligned(void **state)
{
	_cleanup_buffer_ struct buffer one = {}, other = {};
	Affiant__V1__Principal principal = AFFIANT__V1__PRINCIPAL__INIT;
	Affiant__V1__Record r = *samples[8].record;

	(void)state;
	compact_line(&r, &(struct compact_style){}, &one);
	principal.subject = (char[]){"zo\xc3\xab"};
	r.principal = &principal;
	compact_line(&r, &(struct compact_style){}, &other);
	buffer_add_char(&one, '\0');
	buffer_add_char(&other, '\0');
	assert_int_equal(strstr(one.data, "connect") - one.data + 1,
			 strstr(other.data, "connect") - other.data);
}

/* Where one argument ends and the next begins is never in doubt. */
static void arguments_are_quoted(void **state)
{
	_cleanup_buffer_ struct buffer out = {};
	Affiant__V1__Process p = AFFIANT__V1__PROCESS__INIT;
	Affiant__V1__Record r = *samples[3].record;
	ProtobufCBinaryData argv[] = {BYTES("plain"), BYTES("a b"), BYTES("it's"),
				      BYTES("\\x27"), BYTES(""),    BYTES("\n")};

	(void)state;
	p.argv = argv;
	p.n_argv = 6;
	r.process = &p;
	compact_line(&r, &(struct compact_style){}, &out);
	buffer_add_char(&out, '\0');
	assert_non_null(strstr(out.data, "argv: plain 'a b' 'it\\x27s' \\\\x27 '' \\x0a\n"));
}

/* protobuf-c leaves the pointer of an empty field NULL. */
static void empty_is_not_null(void **state)
{
	_cleanup_buffer_ struct buffer out = {};
	Affiant__V1__Executable executable = {BASE(executable), HAS(path, {})};
	ProtobufCBinaryData argv[] = {{}};
	Affiant__V1__Process p = {BASE(process), .n_argv = 1, .argv = argv,
				  .executable = &executable};
	Affiant__V1__Record r = *samples[3].record;

	(void)state;
	r.process = &p;
	compact_line(&r, &(struct compact_style){}, &out);
	buffer_add_char(&out, '\0');
	assert_non_null(strstr(out.data, "argv: ''\n"));
}

static void figures_have_three_digits(void **state)
{
	static const struct {
		uint64_t ns;
		const char *expected;
	} cases[] = {
		{0, " 0us "},
		{999, " 0.999us "},
		{98000, " 98us "},
		{999499, " 999us "},
		{999600, " 1ms "},
		{12345678, " 12.3ms "},
		{999600000, " 1s "},
		{UINT64_C(131072000000), " 131s "},
		{UINT64_C(86400000000000), " 86400s "},
	};
	Affiant__V1__Record r = *samples[8].record;
	Affiant__V1__Connect c = *r.connect;

	(void)state;
	r.connect = &c;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		_cleanup_buffer_ struct buffer out = {};

		c.latency_ns = cases[i].ns;
		compact_line(&r, &(struct compact_style){}, &out);
		buffer_add_char(&out, '\0');
		assert_non_null(strstr(out.data, cases[i].expected));
	}
}

static void long_arguments_say_how_long(void **state)
{
	_cleanup_buffer_ struct buffer out = {};
	Affiant__V1__Process p = AFFIANT__V1__PROCESS__INIT;
	Affiant__V1__Record r = *samples[3].record;
	uint8_t letters[300];
	ProtobufCBinaryData argv[] = {{3, letters}, {sizeof(letters), letters}};

	(void)state;
	memset(letters, 'a', sizeof(letters));
	p.argv = argv;
	p.n_argv = 2;
	r.process = &p;
	compact_line(&r, &(struct compact_style){}, &out);
	buffer_add_char(&out, '\0');
	assert_non_null(strstr(out.data, "argv: aaa aaa"));
	assert_non_null(strstr(out.data, " (103 bytes more)\n"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_as_a_person_approved_them),
		cmocka_unit_test(nothing_but_colours_gets_out),
		cmocka_unit_test(assurance_never_looks_alike),
		cmocka_unit_test(columns_are_aligned),
		cmocka_unit_test(arguments_are_quoted),
		cmocka_unit_test(empty_is_not_null),
		cmocka_unit_test(figures_have_three_digits),
		cmocka_unit_test(long_arguments_say_how_long),
	};

	if (argc == 2 && !strcmp(argv[1], "--show")) { /* what compact.txt should be */
		_cleanup_buffer_ struct buffer out = {};

		lines_of(&(struct compact_style){}, &out);
		fwrite(out.data, 1, out.len, stdout);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
