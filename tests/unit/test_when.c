/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/when.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define NOW UINT64_C(1793600000250000000) /* 2026-11-02T06:13:20.25Z */
#define S UINT64_C(1000000000)

static void understood(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} cases[] = {
		{"2026-11-02T06:13:20.25Z", NOW},
		{"2026-11-02t06:13:20.250000000z", NOW},
		{"2026-11-02 07:13:20.25+01:00", NOW},
		{"2026-11-01T18:43:20.25-11:30", NOW},
		{"2026-11-02T06:13:20Z", NOW - S / 4},
		{"2026-11-02T06:13:20.2500000009Z", NOW},
		{"1970-01-01T00:00:00Z", 0},
		{"2024-02-29T00:00:00Z", UINT64_C(1709164800) * S},
		{"2016-12-31T23:59:60Z", UINT64_C(1483228800) * S}, /* a leap second */
		{"10m", NOW - 600 * S}, /* as in "--since 10m" */
		{"1h30m", NOW - 5400 * S},
		{"0s", NOW},
		{"-10m", NOW - 600 * S},
		{"10m ago", NOW - 600 * S},
		{"1h30m ago", NOW - 5400 * S},
		{"-2d", NOW - 172800 * S},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t ns = 0xa5;

		assert_int_equal(when_parse(cases[i].text, NOW, &ns), 0);
		assert_true(ns == cases[i].ns);
	}
}

static void refused(void **state)
{
	static const char *const cases[] = {
		"",
		"-",
		" ago",
		"ago",
		"now",
		"10",
		"2026",
		"1h ",
		" 1h",
		"+1h",
		"m",
		"30m1h",
		"99999d",
		"m ago",
		"-10",
		"-10m ago",
		"--10m",
		"-99999d",
		"10 m ago",
		"2026-11-02",
		"2026-11-02T06:13:20",
		"2026-11-02T06:13Z",
		"2026-11-02T06:13:20.Z",
		"2026-11-02T06:13:20Zx",
		"2026-11-02T06:13:20+1:00",
		"2026-11-02T06:13:20+01:60",
		"2026-13-02T06:13:20Z",
		"2026-00-02T06:13:20Z",
		"2026-11-31T06:13:20Z",
		"2025-02-29T00:00:00Z",
		"2026-11-02T24:00:00Z",
		"2026-11-02T23:60:00Z",
		"2026-11-02T23:59:61Z",
		"1969-12-31T23:59:59Z",
		"26-11-02T06:13:20Z",
		"2026-1-02T06:13:20Z",
		"+026-11-02T06:13:20Z",
		"9999-01-01T00:00:00Z",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t ns = 0xa5;

		if (when_parse(cases[i], NOW, &ns) != -EINVAL)
			fail_msg("'%s' was taken for a time", cases[i]);
		assert_int_equal(ns, 0xa5);
	}
}

static void comes_back(void **state)
{
	static const uint64_t times[] = {0, NOW, NOW + 749999999, UINT64_MAX};
	char text[WHEN_SIZE];
	uint64_t ns;

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		memset(text, 0xa5, sizeof(text));
		when_format(times[i], text);
		assert_int_equal(strlen(text), WHEN_SIZE - 1);
		assert_int_equal(when_parse(text, NOW, &ns), 0);
		assert_true(ns == times[i] / 1000000 * 1000000);
	}
	when_format(NOW, text);
	assert_string_equal(text, "2026-11-02T06:13:20.250Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(understood),
		cmocka_unit_test(refused),
		cmocka_unit_test(comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
