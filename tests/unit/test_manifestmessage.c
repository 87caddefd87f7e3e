/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/manifestmessage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collect/manifest.h"

static void test_all(void **state)
{
	struct manifest_path paths[] = {
		{.name = (char *)"/opt/agent",
		 .entries = 2,
		 .state = HASH_STATE_OBSERVED,
		 .root = {{7}}},
		{.name = (char *)"/opt/hangs", .state = HASH_STATE_TOO_LATE},
	};
	struct manifest_file files[] = {
		{.path = (char *)"/opt/agent/a.py",
		 .mode = 0100644,
		 .has_digest = true,
		 .digest = {{9}}},
		{.path = (char *)"/opt/agent/link", .mode = 0120777},
	};
	const struct manifest from = {
		.state = HASH_STATE_TOO_LATE,
		.entries = 2,
		.root = {{5}},
		.paths_count = 2,
		.paths = paths,
		.files_count = 2,
		.files = files,
	};
	struct manifestmessage x = {0};

	(void)state;
	assert_int_equal(manifestmessage_fill(&x, &from), 0);
	assert_int_equal(x.m.state, AFFIANT__V1__HASH_STATE__HASH_TOO_LATE);
	assert_int_equal(x.m.entries, 2);
	assert_false(x.m.has_root); /* of what was read, which is not all */
	assert_int_equal(x.m.n_paths, 2);
	assert_int_equal(x.m.paths[0]->path.len, strlen("/opt/agent"));
	assert_int_equal(x.m.paths[0]->root.data[0], 7);
	assert_false(x.m.paths[1]->has_root);
	assert_int_equal(x.m.n_files, 2);
	assert_int_equal(x.m.files[0]->sha256.data[0], 9);
	assert_int_equal(x.m.files[1]->mode, 0120777);
	assert_false(x.m.files[1]->has_sha256);
	manifestmessage_clear(&x);
}

static void test_root(void **state)
{
	const struct manifest from = {.state = HASH_STATE_OBSERVED, .root = {{5}}};
	struct manifestmessage x = {0};

	(void)state;
	assert_int_equal(manifestmessage_fill(&x, &from), 0);
	assert_true(x.m.has_root);
	assert_int_equal(x.m.root.data[0], 5);
	assert_int_equal(x.m.n_paths + x.m.n_files, 0);
	manifestmessage_clear(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_root),
	};

	return cmocka_run_group_tests_name("manifestmessage", tests, NULL, NULL);
}
