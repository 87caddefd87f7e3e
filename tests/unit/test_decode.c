/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/decode.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	uint16_t type;
	size_t size;
} fixed[] = {
	{EVENT_FORK, sizeof(struct event_fork)},
	{EVENT_EXEC, sizeof(struct event_exec)},
	{EVENT_EXIT, sizeof(struct event_exit)},
	{EVENT_ADOPT, sizeof(struct event_exec)},
	{EVENT_CONNECT, sizeof(struct event_connect)},
	{EVENT_OUTCOME, sizeof(struct event_outcome)},
	{EVENT_CLOSE, sizeof(struct event_close)},
	{EVENT_UNIX, sizeof(struct event_unix)},
	{EVENT_UNTRACKED, sizeof(struct event_untracked)},
	{EVENT_LISTEN, sizeof(struct event_listen)},
	{EVENT_TAG_LOST, sizeof(struct event_untagged)},
};

union any {
	struct event_header header;
	struct event_exec exec;
	struct event_unix un;
	uint8_t bytes[65536];
	uint64_t aligned;
};

static const struct event_header *const untouched = (const void *)0xa5a5a5a0;

static int decode(const union any *e, size_t left)
{
	const struct event_header *ret = untouched;
	int err = event_decode(e, left, &ret);

	assert_ptr_equal(ret, err && err != -ENOTSUP ? untouched : &e->header);
	return err;
}

static void takes_every_type_at_its_size_and_above(void **state)
{
	static union any e;

	(void)state;
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		memset(&e, 0, sizeof(e));
		e.header.type = fixed[i].type;
		for (size_t size = 0; size <= fixed[i].size + 64; size++) {
			bool framed = size >= sizeof(e.header) && size % 8 == 0;
			int err = !framed ? -EBADMSG : size < fixed[i].size ? -ENOTSUP : 0;

			e.header.size = size;
			assert_int_equal(decode(&e, sizeof(e)), err);
			assert_int_equal(decode(&e, size), size ? err : -ENODATA);
		}
	}
}

static void refuses_every_truncated_length(void **state)
{
	static union any e;

	(void)state;
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		memset(&e, 0, sizeof(e));
		e.header.type = fixed[i].type;
		e.header.size = fixed[i].size;
		assert_int_equal(decode(&e, 0), -ENODATA);
		for (size_t left = 1; left < fixed[i].size; left++)
			assert_int_equal(decode(&e, left), -EBADMSG);
		assert_int_equal(decode(&e, fixed[i].size), 0);
	}
}

static void steps_over_types_that_are_none(void **state)
{
	static union any e;

	(void)state;
	e.header.size = 4096;
	for (unsigned int type = 0; type < 65536; type++) {
		bool known = type && type < EVENT_TYPES;

		e.header.type = type;
		e.header.cpu = 3;
		assert_int_equal(decode(&e, sizeof(e)), known ? 0 : -ENOTSUP);
		assert_int_equal(!!event_type_name(type), known);
		e.header.cpu = NOTE_CPU;
		known = type >= NOTE_SESSION && type <= NOTE_LAST;
		assert_int_equal(decode(&e, sizeof(e)), known ? 0 : -ENOTSUP);
	}
}

/* Each inner length alone can reach past the event, and so can their sum. */
static void steps_over_strings_beyond_an_exec(void **state)
{
	static union any e;
	uint16_t *const lengths[] = {&e.exec.exe_len, &e.exec.cwd_len, &e.exec.filename_len,
				     &e.exec.interp_len, &e.exec.argv_len};

	(void)state;
	memset(&e, 0, sizeof(e));
	e.header.type = EVENT_EXEC;
	e.header.size = sizeof(e.exec) + 40;
	for (size_t i = 0; i < 5; i++) {
		*lengths[i] = 40;
		assert_int_equal(decode(&e, sizeof(e)), 0);
		*lengths[i] = 41;
		assert_int_equal(decode(&e, sizeof(e)), -ENOTSUP);
		*lengths[i] = 65535;
		assert_int_equal(decode(&e, sizeof(e)), -ENOTSUP);
		*lengths[i] = 0;
	}
	for (size_t i = 0; i < 5; i++)
		*lengths[i] = 8;
	assert_int_equal(decode(&e, sizeof(e)), 0);
	e.header.size -= 8;
	assert_int_equal(decode(&e, sizeof(e)), -ENOTSUP);
}

static void steps_over_a_unix_path_beyond_its_field(void **state)
{
	static union any e;

	(void)state;
	memset(&e, 0, sizeof(e));
	e.header.type = EVENT_UNIX;
	e.header.size = sizeof(e.un);
	e.un.path_len = EVENT_UNIX_PATH_MAX;
	assert_int_equal(decode(&e, sizeof(e)), 0);
	e.un.path_len++;
	assert_int_equal(decode(&e, sizeof(e)), -ENOTSUP);
	e.header.size += 8; /* a larger event has no larger field */
	assert_int_equal(decode(&e, sizeof(e)), -ENOTSUP);
}

static void finds_the_strings(void **state)
{
	static union any e;
	struct exec_strings x;

	(void)state;
	memset(&e, 0, sizeof(e));
	e.header.type = EVENT_EXEC;
	e.exec.exe_len = 3;
	e.exec.cwd_len = 2;
	e.exec.filename_len = 4;
	e.exec.interp_len = 1;
	e.exec.argv_len = 5;
	e.header.size = sizeof(e.exec) + 16;
	memcpy(e.exec.data, "EEECCFFFFIAAAAA", 15);
	exec_strings(&e.exec, &x);
	assert_memory_equal(x.exe, "EEE", x.exe_len);
	assert_memory_equal(x.cwd, "CC", x.cwd_len);
	assert_memory_equal(x.filename, "FFFF", x.filename_len);
	assert_memory_equal(x.interp, "I", x.interp_len);
	assert_memory_equal(x.argv, "AAAAA", x.argv_len);
}

/* Of a file on an overlay the one below is mapped. */
static void knows_the_loader(void **state)
{
	struct event_exec e = {.exe = {.inode = 1, .device = 2}};

	(void)state;
	e.begin = e.exe;
	assert_false(exec_has_loader(&e));
	e.flags = EXEC_BEGIN;
	assert_false(exec_has_loader(&e));
	e.begin.inode = 3;
	assert_true(exec_has_loader(&e));
	e.guard.lower = e.begin;
	assert_true(exec_has_loader(&e));
	e.guard.flags = GUARD_LOWER;
	assert_false(exec_has_loader(&e));
	e.flags = 0;
	e.guard.flags = 0;
	assert_false(exec_has_loader(&e));
}

static void names_sources_apart(void **state)
{
	struct event_header a = {.cpu = 1, .sequence = 7}, b = {.cpu = 7, .sequence = 1},
			    n = {.cpu = NOTE_CPU};

	(void)state;
	assert_true(event_source(&a) == (UINT64_C(1) << 48 | 7));
	assert_true(event_source(&a) != event_source(&b));
	assert_true(event_is_note(&n));
	assert_false(event_is_note(&a));
}

/* ---- paths ---- */

static void assert_path(const char *components, size_t len, bool cut, const char *want)
{
	char path[PATH_TEXT_SIZE];

	memset(path, 'x', sizeof(path));
	assert_int_equal(path_from_components(components, len, cut, path), strlen(want));
	assert_string_equal(path, want);
}

static void builds_paths(void **state)
{
	(void)state;
	assert_path("", 0, false, "/");
	assert_path("a", 2, false, "/a");
	assert_path("c\0b\0a", 6, false, "/a/b/c");
	assert_path("python3.11\0bin\0usr", 19, false, "/usr/bin/python3.11");
	/* The last NUL may be missing in what was damaged. */
	assert_path("c\0b", 3, false, "/b/c");
}

static void says_what_did_not_fit(void **state)
{
	char components[EVENT_PATH_MAX], want[PATH_TEXT_SIZE];

	(void)state;
	/* Some path of the event was cut, but this one is too short to be it. */
	assert_path("b\0a", 4, true, "/a/b");
	assert_path("", 0, true, "");

	/* 4 names of 249 bytes: a fifth found no room. */
	memset(components, 'n', sizeof(components));
	for (int i = 1; i <= 4; i++)
		components[250 * i - 1] = '\0';
	memset(want, 'n', sizeof(want));
	for (int i = 0; i < 4; i++)
		want[250 * i] = '/';
	want[1000] = '\0';
	assert_path(components, 1000, false, want);
	memmove(want + 3, want, 1001);
	memcpy(want, "...", 3);
	assert_path(components, 1000, true, want);

	/* 40 short names: the walk ended after its steps. */
	for (int i = 0; i < 40; i++) {
		memcpy(components + 2 * i, "d", 2);
		memcpy(want + 3 + 2 * i, "/d", 3);
	}
	assert_path(components, 80, true, want);
	assert_path(components, 80, false, want + 3);
}

/* Lengths come out of a file: no number of bytes may leave the buffer. */
static void stays_within_its_bounds(void **state)
{
	static char components[65535];
	char path[PATH_TEXT_SIZE + 1];

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof(components); i++)
			components[i] = round == 0 ? 'a' : round == 1 ? '\0' : i % 7 ? 'b' : '\0';
		for (size_t len = 0; len <= sizeof(components); len += len < 2100 ? 1 : 977)
			for (int cut = 0; cut < 2; cut++) {
				path[PATH_TEXT_SIZE] = '#';
				assert_true(path_from_components(components, len, cut, path) <
					    PATH_TEXT_SIZE);
				assert_int_equal(path[PATH_TEXT_SIZE], '#');
			}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_every_type_at_its_size_and_above),
		cmocka_unit_test(refuses_every_truncated_length),
		cmocka_unit_test(steps_over_types_that_are_none),
		cmocka_unit_test(steps_over_strings_beyond_an_exec),
		cmocka_unit_test(steps_over_a_unix_path_beyond_its_field),
		cmocka_unit_test(finds_the_strings),
		cmocka_unit_test(knows_the_loader),
		cmocka_unit_test(names_sources_apart),
		cmocka_unit_test(builds_paths),
		cmocka_unit_test(says_what_did_not_fit),
		cmocka_unit_test(stays_within_its_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
