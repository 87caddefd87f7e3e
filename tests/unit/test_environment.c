/* SPDX-License-Identifier: Apache-2.0 */
#include "base/environment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void names_and_numbers_lead_to_each_other(void **state)
{
	(void)state;
	assert_true(environment_count <= 128);
	for (unsigned int i = 0; i < environment_count; i++)
		if (environment_name(i))
			assert_int_equal(environment_number(environment_name(i)), i);
	assert_null(environment_name(environment_count));
	assert_null(environment_name(UINT32_MAX));
	assert_int_equal(environment_number(""), -1);
	assert_int_equal(environment_number("PATH"), -1);
	assert_int_equal(environment_number("BASH_FUNC_a%%"), -1);
}

/* Journals and other versions' claims hold these. */
static void numbers_stay(void **state)
{
	static const struct {
		const char *name;
		int number;
	} some[] = {{"LD_PRELOAD", 0},	  {"GLIBC_TUNABLES", 4}, {"BASH_ENV", 6},
		    {"BASH_FUNC_*", 8},	  {"PYTHONPATH", 16},	 {"NODE_OPTIONS", 27},
		    {"npm_config_*", 32}, {"PERL5OPT", 42},	 {"CUDA_INJECTION64_PATH", 111}};

	(void)state;
	for (size_t i = 0; i < sizeof(some) / sizeof(*some); i++)
		assert_int_equal(environment_number(some[i].name), some[i].number);
}

static void names_fit(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < environment_count; i++) {
		const char *name = environment_name(i), *star = name ? strchr(name, '*') : NULL;

		if (!name)
			continue;
		assert_in_range(strlen(name), 1, ENVIRONMENT_NAME_MAX);
		if (!star)
			continue;
		assert_int_equal(star[1], '\0');
		assert_in_range(star - name, 1, ENVIRONMENT_PREFIX_MAX);
	}
}

/* docs/records.md, "Environment", has a row for each, and for no other. */
static void each_is_explained(void **state)
{
	static char text[128 * 1024];
	FILE *file = fopen(TEST_DATA "/../../docs/records.md", "r");
	unsigned int rows = 0, names = 0;
	char *section, *end, *at;

	(void)state;
	assert_non_null(file);
	assert_in_range(fread(text, 1, sizeof(text) - 1, file), 1, sizeof(text) - 2);
	fclose(file);
	section = strstr(text, "\n## Environment\n");
	assert_non_null(section);
	end = strstr(section + 1, "\n## ");
	if (end)
		*end = '\0';
	for (unsigned int i = 0; i < environment_count; i++) {
		char row[64];

		if (!environment_name(i))
			continue;
		names++;
		snprintf(row, sizeof(row), "\n| `%s` |", environment_name(i));
		if (!strstr(section, row))
			fail_msg("docs/records.md, Environment: no row for %s",
				 environment_name(i));
	}
	for (at = section; (at = strstr(at, "\n| `")); at++)
		rows++;
	assert_int_equal(rows, names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_numbers_lead_to_each_other),
		cmocka_unit_test(numbers_stay),
		cmocka_unit_test(names_fit),
		cmocka_unit_test(each_is_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
