/* SPDX-License-Identifier: Apache-2.0 */
/* hash_states of a policy: which digests of executables it takes, and what is a mistake there. */
#include "cli/policy.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PROVEN AFFIANT_STATES_PROVEN

static const struct {
	const char *lines;
	uint32_t states;
	const char *mistake; /* NULL: none */
} cases[] = {
	{"    executables: [any]\n", PROVEN, NULL},
	{"    hash_states: [kernel, verity, held, observed]\n", PROVEN, NULL},
	{"    hash_states: [verity]\n", AFFIANT_STATE_VERITY, NULL},
	{"    hash_states: [observed, unproven]\n", AFFIANT_STATE_OBSERVED | AFFIANT_STATE_UNPROVEN,
	 NULL},
	{"    executables: [any]\n    hash_states: [observed, claimed]\n",
	 AFFIANT_STATE_OBSERVED | AFFIANT_STATE_CLAIMED, NULL},
	{"    ancestors: [any]\n    hash_states: [claimed]\n", AFFIANT_STATE_CLAIMED, NULL},
	{"    hash_states: [observed, claimed]\n", 0,
	 "p:3: agents[0].hash_states[1]: 'claimed' comes without a digest"},
	{"    hash_states: []\n", 0, "p:3: agents[0].hash_states: is empty"},
	{"    hash_states: [offered]\n", 0,
	 "p:3: agents[0].hash_states[0]: 'offered' is what a script is"},
	{"    hash_states: [observed, 'offered']\n", 0, "p:3: agents[0].hash_states[1]: 'offered'"},
	{"    hash_states: [too_late]\n", 0,
	 "p:3: agents[0].hash_states[0]: 'too_late' is not one of kernel,"},
	{"    hash_states: ['']\n", 0, "p:3: agents[0].hash_states[0]: is empty"},
	{"    hash_states: [Unproven]\n", 0,
	 "p:3: agents[0].hash_states[0]: 'Unproven' is not one of"},
	{"    hash_states: observed\n", 0, "p:3: agents[0].hash_states"},
};

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct policy *p = NULL;
		char text[512], *why = NULL;
		int err;

		snprintf(text, sizeof(text), "agents:\n  - id: spiffe://example.org/agent/a\n%s",
			 cases[i].lines);
		err = policy_parse("p", text, strlen(text), -1, &p, &why);
		if (cases[i].mistake) {
			assert_int_equal(err, -EBADMSG);
			if (strncmp(why, cases[i].mistake, strlen(cases[i].mistake)))
				fail_msg("%s\nnot: %s", why, cases[i].mistake);
			free(why);
			continue;
		}
		if (err)
			fail_msg("%s", why);
		assert_int_equal(policy_rules(p)->agents[0].states, cases[i].states);
		policy_free(p);
	}
}

/* Which losses a policy takes. */
static const struct {
	const char *lost;
	uint64_t most;
	bool mistake;
} losses[] = {
	{"any", AFFIANT_ANY_LOST, false},
	{"refused", 0, false},
	{"0", 0, false},
	{"17", 17, false},
	{"9223372036854775807", INT64_MAX, false},
	{"9223372036854775808", 0, true},
	{"18446744073709551615", 0, true},
	{"-1", 0, true},
	{"1k", 0, true},
	{"none", 0, true},
	{"Any", 0, true},
};

static void test_losses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(losses) / sizeof(*losses); i++) {
		char text[128], *why = NULL;
		struct policy *p;
		int err;

		snprintf(text, sizeof(text), "agents:\n  - id: spiffe://a/b\n    lost: %s\n",
			 losses[i].lost);
		err = policy_parse("p", text, strlen(text), -1, &p, &why);
		if (losses[i].mistake) {
			assert_int_equal(err, -EBADMSG);
			assert_non_null(strstr(why, "p:3: agents[0].lost: "));
			free(why);
			continue;
		}
		assert_int_equal(err, 0);
		assert_true(policy_rules(p)->agents[0].max_lost == losses[i].most);
		policy_free(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_losses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
