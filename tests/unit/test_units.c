/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define POISON 0x5a5a5a5a5a5a5a5aULL

struct sample {
	const char *text;
	int err;
	uint64_t value;
};

static void check(const struct sample *samples, int (*parse)(const char *text, uint64_t *ret))
{
	for (; samples->text; samples++) {
		uint64_t n = POISON;

		assert_int_equal(parse(samples->text, &n), samples->err);
		assert_true(n == (samples->err ? POISON : samples->value));
	}
}

static void test_numbers(void **state)
{
	static const struct sample samples[] = {
		{"0", 0, 0},
		{"007", 0, 7},
		{"18446744073709551615", 0, UINT64_MAX},
		{"18446744073709551616", -ERANGE},
		{"99999999999999999999999", -ERANGE},
		{"", -EINVAL},
		{"-1", -EINVAL},
		{"+1", -EINVAL},
		{" 1", -EINVAL},
		{"1 ", -EINVAL},
		{"0x1", -EINVAL},
		{},
	};

	(void)state;
	check(samples, number_parse);
}

static void test_sizes(void **state)
{
	static const struct sample samples[] = {
		{"0", 0, 0},
		{"5", 0, 5},
		{"5B", 0, 5},
		{"1KiB", 0, 1024},
		{"8MiB", 0, 8 << 20},
		{"3GiB", 0, 3ULL << 30},
		{"2TiB", 0, 2ULL << 40},
		{"16777215TiB", 0, 16777215ULL << 40},
		{"16777216TiB", -ERANGE},
		{"99999999999999999999KiB", -ERANGE},
		{"", -EINVAL},
		{"KiB", -EINVAL},
		{"1K", -EINVAL},
		{"1kib", -EINVAL},
		{"1 KiB", -EINVAL},
		{"1KiB1", -EINVAL},
		{"1.5KiB", -EINVAL},
		{"-1KiB", -EINVAL},
		{},
	};

	(void)state;
	check(samples, size_parse);
}

static void test_durations(void **state)
{
	static const struct sample samples[] = {
		{"0s", 0, 0},
		{"1ns", 0, 1},
		{"250us", 0, 250000},
		{"500ms", 0, 500000000},
		{"2s", 0, 2000000000},
		{"5m", 0, 300000000000},
		{"8h", 0, 28800000000000},
		{"1d", 0, 86400000000000},
		{"1h30m", 0, 5400000000000},
		{"1s500ms", 0, 1500000000},
		{"213503d", 0, 213503 * 86400000000000ULL},
		{"213504d", -ERANGE},
		{"213503d86400000s", -ERANGE},
		{"", -EINVAL},
		{"1", -EINVAL},
		{"s", -EINVAL},
		{"1m1h", -EINVAL},
		{"1s1s", -EINVAL},
		{"1h ", -EINVAL},
		{"1h30", -EINVAL},
		{"1.5s", -EINVAL},
		{"-1s", -EINVAL},
		{},
	};

	(void)state;
	check(samples, duration_parse);
}

static void test_formats(void **state)
{
	char text[UNITS_TEXT_SIZE];

	(void)state;
	size_format(0, text);
	assert_string_equal(text, "0B");
	size_format(1025, text);
	assert_string_equal(text, "1025B");
	size_format(64 << 20, text);
	assert_string_equal(text, "64MiB");
	size_format(UINT64_MAX, text);
	assert_string_equal(text, "18446744073709551615B");
	duration_format(0, text);
	assert_string_equal(text, "0s");
	duration_format(1500000000, text);
	assert_string_equal(text, "1500ms");
	duration_format(86400000000000, text);
	assert_string_equal(text, "1d");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_formats),
	};

	return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
