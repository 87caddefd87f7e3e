/* SPDX-License-Identifier: Apache-2.0 */
/* A policy's list of variables: an empty one is not the same as none. */
#include "cli/policy.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct policy *parse(const char *line, char **why)
{
	struct policy *p = NULL;
	char text[512];

	snprintf(text, sizeof(text),
		 "agents:\n  - id: spiffe://example.org/a\n"
		 "    executables: [any]\n%s",
		 line);
	if (policy_parse("p", text, strlen(text), -1, &p, why))
		return NULL;
	return p;
}

static void check(const char *line, bool any, size_t count)
{
	char *why = NULL;
	struct policy *p = parse(line, &why);
	const struct affiant_agent *a;

	if (!p)
		fail_msg("%s", why);
	a = policy_rules(p)->agents;
	assert_int_equal(a->allow_any_environment, any);
	assert_int_equal(a->environment.count, count);
	policy_free(p);
}

static void no_list_is_any_and_an_empty_one_is_none(void **state)
{
	(void)state;
	check("", true, 0);
	check("    environment: []\n", false, 0);
	check("    environment: [LD_PRELOAD]\n", false, 1);
	check("    environment: [NODE_OPTIONS, BASH_FUNC_*]\n", false, 2);
	check("    environment:\n      - npm_config_*\n", false, 1);
}

static void only_names_that_are_known(void **state)
{
	static const char *const wrong[] = {
		"    environment: [PATH]\n",
		"    environment: [any]\n",
		"    environment: [ld_preload]\n",
		"    environment: ['*']\n",
		"    environment: ['']\n",
		"    environment: any\n",
		"    environment: {}\n",
		"    environment:\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		char *why = NULL;
		struct policy *p = parse(wrong[i], &why);

		if (p)
			fail_msg("taken: %s", wrong[i]);
		assert_non_null(strstr(why, "environment"));
		free(why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_list_is_any_and_an_empty_one_is_none),
		cmocka_unit_test(only_names_that_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
