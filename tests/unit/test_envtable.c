/* SPDX-License-Identifier: Apache-2.0 */
/* That the kernel programs find by it what they are to find: test_source_environment. */
#include "collect/envtable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/environment.h"

static void every_name_has_its_slot(void **state)
{
	unsigned int taken = 0, whole = 0;
	struct envtable t;

	(void)state;
	memset(&t, 0xa5, sizeof(t));
	assert_int_equal(envtable_make(&t), 0);
	for (unsigned int i = 0; i < ENVIRONMENT_SLOTS; i++)
		taken += t.slots[i] != 0;
	for (unsigned int i = 0; i < environment_count; i++) {
		const char *name = environment_name(i);
		__u64 key[ENVIRONMENT_WORDS] = {};

		if (!name || strchr(name, '*'))
			continue;
		memcpy(key, name, strlen(name));
		assert_int_equal(t.slots[environment_slot(key, t.multiplier)], i + 1);
		assert_memory_equal(t.names[i], key, sizeof(key));
		whole++;
	}
	assert_int_equal(taken, whole);
}

static void prefixes_stand_together(void **state)
{
	unsigned int prefixes = 0, wanted = 0;
	struct envtable t;

	(void)state;
	assert_int_equal(envtable_make(&t), 0);
	while (prefixes < ENVIRONMENT_PREFIXES && t.prefixes[prefixes][PREFIX_MASK0])
		prefixes++;
	for (unsigned int i = 0; i < environment_count; i++)
		wanted += environment_name(i) && strchr(environment_name(i), '*');
	assert_int_equal(prefixes, wanted);
	for (unsigned int i = 0; i < prefixes; i++) {
		const char *name = environment_name(t.prefixes[i][PREFIX_BIT]);

		assert_non_null(name);
		assert_true(t.first >> (name[0] & 63) & 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_name_has_its_slot),
		cmocka_unit_test(prefixes_stand_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
