/* SPDX-License-Identifier: Apache-2.0 */
#include "record/socketname.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(text) text, sizeof(text) - 1

static const struct {
	const char *path;
	size_t len;
	const char *resolved, *want;
	size_t want_len;
	bool abstract;
} cases[] = {
	{TEXT(""), NULL, TEXT("(unnamed)"), false},
	{TEXT("\0"), NULL, TEXT("@"), true},
	{TEXT("\0name"), NULL, TEXT("@name"), true},
	{TEXT("\0@name"), NULL, TEXT("@@name"), true},
	{TEXT("\0a\0b"), NULL, TEXT("@a\0b"), true},
	{TEXT("\0/run/x"), NULL, TEXT("@/run/x"), true},
	{TEXT("/run/x"), NULL, TEXT("/run/x"), false},
	{TEXT("x"), "/run/x", TEXT("/run/x"), false},
	{TEXT("../x"), ".../run/x", TEXT(".../run/x"), false},
	{TEXT("x"), NULL, TEXT("./x"), false},
	{TEXT("./x"), NULL, TEXT("./x"), false},
	{TEXT("../x"), NULL, TEXT("../x"), false},
	{TEXT("@name"), NULL, TEXT("./@name"), false},
	{TEXT("(unnamed)"), NULL, TEXT("./(unnamed)"), false},
	{TEXT(".../x"), NULL, TEXT("./.../x"), false},
	{TEXT("."), NULL, TEXT("./."), false},
};

static Affiant__V1__Endpoint endpoint(size_t i)
{
	Affiant__V1__Endpoint e = AFFIANT__V1__ENDPOINT__INIT;

	e.has_path = true;
	e.path = (ProtobufCBinaryData){cases[i].len, (uint8_t *)cases[i].path};
	e.has_resolved = cases[i].resolved != NULL;
	if (cases[i].resolved)
		e.resolved = (ProtobufCBinaryData){strlen(cases[i].resolved),
						   (uint8_t *)cases[i].resolved};
	return e;
}

static void names(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		Affiant__V1__Endpoint e = endpoint(i);
		_cleanup_buffer_ struct buffer out = {};

		socketname_add(&out, &e);
		assert_int_equal(out.len, cases[i].want_len);
		assert_memory_equal(out.data, cases[i].want, out.len);
		assert_int_equal(socketname_is_abstract(&e), cases[i].abstract);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
