/* SPDX-License-Identifier: Apache-2.0 */
#include "base/uuid.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_parse(void **state)
{
	static const char text[] = "019a1c2d-3e4f-7a5b-8c6d-7e8f90a1b2c3";
	static const char *const wrong[] = {
		"",
		"019a1c2d3e4f7a5b8c6d7e8f90a1b2c3",
		"019a1c2d-3e4f-7a5b-8c6d-7e8f90a1b2c",
		"019a1c2d-3e4f-7a5b-8c6d-7e8f90a1b2c34",
		"019a1c2g-3e4f-7a5b-8c6d-7e8f90a1b2c3",
		"019a1c2d-3e4f-7a5b-8c6d_7e8f90a1b2c3",
		"019a1c2-d3e4f-7a5b-8c6d-7e8f90a1b2c3",
		"019a1c2d-3e4f-7a5b-8c6d-7e8f90a1b2 3",
		"019a1c2d-3e4f-7a5b-8c6d-7e8f90a1b2c@",
	};
	char back[UUID_TEXT_SIZE];
	struct uuid u, old;

	(void)state;
	assert_int_equal(uuid_parse(text, &u), 0);
	uuid_format(&u, back);
	assert_string_equal(back, text);
	assert_int_equal(uuid_parse("019A1C2D-3E4F-7A5B-8C6D-7E8F90A1B2C3", &old), 0);
	assert_memory_equal(&old, &u, sizeof(u));
	memset(&u, 0xa5, sizeof(u));
	old = u;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		assert_int_equal(uuid_parse(wrong[i], &u), -EINVAL);
		assert_memory_equal(&old, &u, sizeof(u));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
