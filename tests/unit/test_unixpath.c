/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/unixpath.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

union any {
	struct event_unix e;
	char bytes[sizeof(struct event_unix) + EVENT_PATH_MAX];
};

/* @cwd: from the leaf, with slashes for NULs, and one after the last. */
static const char *led(const char *cwd, __u16 flags, const char *path, size_t path_len)
{
	static char ret[UNIX_PATH_TEXT_SIZE];
	static union any u;
	size_t len;

	memset(&u, 0, sizeof(u));
	memset(ret, 0xa5, sizeof(ret));
	u.e.flags = flags;
	u.e.path_len = path_len;
	memcpy(u.e.path, path, path_len);
	u.e.cwd_len = strlen(cwd);
	for (size_t i = 0; cwd[i]; i++)
		u.e.cwd[i] = cwd[i] == '/' ? '\0' : cwd[i];
	len = unix_path_resolve(&u.e, ret);
	if (!len)
		return NULL;
	assert_int_equal(strlen(ret), len);
	return ret;
}

#define CUT CONNECT_CWD_CUT

static void joins(void **state)
{
	static const struct {
		const char *cwd, *path, *want;
		__u16 flags;
	} cases[] = {
		{"b/a/", "s", "/a/b/s", 0},
		{"b/a/", "./s", "/a/b/s", 0},
		{"b/a/", ".//.///s", "/a/b/s", 0},
		{"b/a/", "d/e", "/a/b/d/e", 0},
		{"b/a/", "d//./e/", "/a/b/d/e", 0},
		{"b/a/", "..", "/a", 0},
		{"b/a/", "../s", "/a/s", 0},
		{"b/a/", "./../s", "/a/s", 0},
		{"b/a/", "../../s", "/s", 0},
		{"b/a/", "../../../../s", "/s", 0}, /* above the root is the root */
		{"b/a/", "../..", "/", 0},
		{"b/a/", ".", "/a/b", 0},
		{"", "s", "/s", 0},
		{"", "..", "/", 0},
		{"b/a/", "link/../s", "/a/b/link/../s", 0}, /* may be a link */
		{"b/a/", "../link/../s", "/a/link/../s", 0},
		{"b/a/", "...", "/a/b/...", 0},
		{"b/a/", "..s", "/a/b/..s", 0},
		{"b/a/", ".s", "/a/b/.s", 0},
		{"b/a/", "@x", "/a/b/@x", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_string_equal(led(cases[i].cwd, cases[i].flags, cases[i].path,
					strlen(cases[i].path)),
				    cases[i].want);
}

static void has_nothing_to_tell(void **state)
{
	(void)state;
	assert_null(led("b/a/", 0, "/s", 2));
	assert_null(led("b/a/", 0, "\0s", 2));
	assert_null(led("b/a/", 0, "", 0));
	assert_null(led("", CUT, "s", 1)); /* the directory could not be told at all */
	assert_null(led("", CUT, "../s", 4));
}

/* A directory that was cut is known from some place on. */
static void of_a_cut_directory(void **state)
{
	char cwd[EVENT_PATH_MAX], want[EVENT_PATH_MAX + 16];
	const char *got;

	(void)state;
	/* Four names of 255: the last one of the path was the first that was told. */
	for (size_t i = 0; i < 4; i++) {
		memset(cwd + i * 256, 'a' + i, 255);
		cwd[i * 256 + 255] = i < 3 ? '/' : '\0';
	}
	got = led(cwd, CUT, "s", 1);
	memcpy(want, ".../ddd", 7);
	assert_memory_equal(got, want, 7);
	assert_string_equal(strrchr(got, '/'), "/s");
	assert_int_equal(strlen(got), 3 + 4 * 256 + 2);
	got = led(cwd, CUT, "../../s", 7);
	assert_int_equal(strlen(got), 3 + 2 * 256 + 2);
	assert_memory_equal(got, want, 7);
	assert_null(led(cwd, CUT, "../../../../s", 13));
	assert_null(led(cwd, CUT, "../../../../..", 14));
}

/* The longest of both that a journal can hold. */
static void fits(void **state)
{
	char cwd[EVENT_PATH_MAX + 1], path[EVENT_UNIX_PATH_MAX];
	const char *got;

	(void)state;
	memset(path, 's', sizeof(path));
	memset(cwd, 'c', sizeof(cwd));
	cwd[EVENT_PATH_MAX - 1] = '/';
	cwd[EVENT_PATH_MAX] = '\0';
	got = led(cwd, CUT, path, sizeof(path));
	assert_non_null(got);
	assert_int_equal(strlen(got), UNIX_PATH_TEXT_SIZE - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(joins),
		cmocka_unit_test(has_nothing_to_tell),
		cmocka_unit_test(of_a_cut_directory),
		cmocka_unit_test(fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
