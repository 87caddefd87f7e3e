// SPDX-License-Identifier: Apache-2.0
/* What the kernel programs find in environments that were made to be misread. */
#include "source_bed.h"

#include "base/environment.h"

#include "environment.h"

#define STRINGS_MAX (ENVIRONMENT_MAX + 8)

struct scene {
	char *strings[STRINGS_MAX + 1];
	size_t count;
	size_t bytes;
	char room[4 * ENVIRONMENT_MAX];
};

static struct scene scene;

static void clear(void)
{
	scene.count = scene.bytes = 0;
	scene.strings[0] = NULL;
}

static void add(const char *string)
{
	size_t size = strlen(string) + 1;

	assert_true(scene.count < STRINGS_MAX && scene.bytes + size <= sizeof(scene.room));
	memcpy(scene.room + scene.bytes, string, size);
	scene.strings[scene.count++] = scene.room + scene.bytes;
	scene.strings[scene.count] = NULL;
	scene.bytes += size;
}

/* A string of @size bytes, its NUL among them, that is no variable of ours. */
static void pad(size_t size)
{
	char string[ENVIRONMENT_MAX + 1];

	memset(string, 'x', size);
	memcpy(string, "X=", size > 2 ? 2 : 0);
	string[size - 1] = '\0';
	add(string);
}

static int play(void *data)
{
	char name[] = "true", *argv[] = {name, NULL};

	(void)data;
	execve("/bin/true", argv, scene.strings);
	return 98;
}

/* Executes in the environment that was made; the names, in their order. */
static void expect(struct bed *b, int cut, ...)
{
	pid_t pid = bed_play(b, play, NULL);
	const struct event_exec *e = bed_find(b, EVENT_EXEC, pid, 0);
	__u64 wanted[2] = {};
	const char *name;
	va_list names;
	int n;

	va_start(names, cut);
	while ((name = va_arg(names, const char *))) {
		n = environment_number(name);
		assert_true(n >= 0);
		wanted[n / 64] |= 1ull << n % 64;
	}
	va_end(names);
	assert_non_null(e);
	for (unsigned int i = 0; i < 128; i++)
		if ((e->environment[i / 64] ^ wanted[i / 64]) >> i % 64 & 1)
			fail_msg("%s is %s", environment_name(i) ?: "a number without a name",
				 wanted[i / 64] >> i % 64 & 1 ? "missing" : "not in it");
	assert_int_equal(!!(e->flags & EXEC_ENVIRONMENT_CUT), cut);
}

static void every_name_is_found(void **state)
{
	struct bed *b = bed_get(state);
	char string[64];

	for (unsigned int i = 0; i < environment_count; i++) {
		const char *name = environment_name(i);

		if (!name)
			continue;
		clear();
		add("HOME=/");
		snprintf(string, sizeof(string), "%s=1", name);
		add(string);
		add("LAST=1");
		expect(b, false, name, NULL);
		bed_forget(b);
	}
}

static void all_at_once(void **state)
{
	struct bed *b = bed_get(state);
	const struct event_exec *e;
	unsigned int found = 0, named = 0;
	char string[64];
	pid_t pid;

	clear();
	for (unsigned int i = 0; i < environment_count; i++) {
		snprintf(string, sizeof(string), "%s=", environment_name(i) ?: "NONE");
		add(string);
		named += environment_name(i) != NULL;
	}
	pid = bed_play(b, play, NULL);
	e = bed_find(b, EVENT_EXEC, pid, 0);
	assert_non_null(e);
	for (int i = 0; i < 128; i++)
		found += e->environment[i / 64] >> i % 64 & 1;
	assert_int_equal(found, named);
}

static void what_is_no_name_is_not_taken_for_one(void **state)
{
	static const char *const others[] = {
		"",
		"=",
		"=LD_PRELOAD=x",
		"LD_PRELOAD",
		" LD_PRELOAD=x",
		"LD_PRELOADX=x",
		"LD_PRELOA=x",
		"ld_preload=x",
		"X=LD_PRELOAD=x",
		"VALUE=a LD_PRELOAD=b",
		"BASH_FUNC=x",
		"bash_func_a%%=x",
		"XBASH_FUNC_a%%=x",
		"npm_confi=x",
		"GIT_CONFI=x",
		"NODE_REPL_EXTERNAL_MODULE_THAT_IS_LONGER=x",
		"A_NAME_THAT_IS_LONGER_THAN_A_KEY_IS_LD_PRELOAD=x",
	};
	struct bed *b = bed_get(state);

	clear();
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		add(others[i]);
	expect(b, false, NULL);
	bed_forget(b);
	clear();
	expect(b, false, NULL);
}

static void prefixes_count_as_one_name(void **state)
{
	struct bed *b = bed_get(state);

	clear();
	add("BASH_FUNC_a%%=() {  :\n}");
	add("BASH_FUNC_a_name_longer_than_any_key_could_be_and_then_some%%=() {  :\n}");
	add("NPM_config_Script_Shell=/bin/sh");
	add("GIT_CONFIG=x");
	add("LUA_PATH_5_4=x");
	expect(b, false, "BASH_FUNC_*", "npm_config_*", "GIT_CONFIG*", "LUA_*", NULL);
}

static void twice_is_once_and_the_value_does_not_matter(void **state)
{
	struct bed *b = bed_get(state);

	clear();
	add("LD_PRELOAD=");
	add("LD_PRELOAD=x");
	add("LD_PRELOAD=\x01\xff\x80=");
	expect(b, false, "LD_PRELOAD", NULL);
}

/* Wherever a piece ends in it, and however it lies to a word. */
static void a_name_across_pieces_is_found(void **state)
{
	struct bed *b = bed_get(state);

	for (size_t at = ENVIRONMENT_PIECE - 40; at <= ENVIRONMENT_PIECE + 2; at++) {
		clear();
		pad(at);
		add("NODE_REPL_EXTERNAL_MODULE=x");
		expect(b, false, "NODE_REPL_EXTERNAL_MODULE", NULL);
		bed_forget(b);
	}
}

static void beyond_the_bound_is_cut_and_said_to_be(void **state)
{
	const size_t last = sizeof("LD_PRELOAD=x");
	struct bed *b = bed_get(state);

	clear();
	pad(ENVIRONMENT_MAX - last);
	add("LD_PRELOAD=x");
	expect(b, false, "LD_PRELOAD", NULL);
	bed_forget(b);

	clear();
	pad(ENVIRONMENT_MAX - last + 1);
	add("LD_PRELOAD=x");
	expect(b, true, "LD_PRELOAD", NULL); /* its value alone is beyond */
	bed_forget(b);

	/* What lies in the piece from before this exec is no part of a name. */
	for (size_t short_by = 1; short_by < last; short_by++) {
		clear();
		pad(ENVIRONMENT_MAX - short_by);
		add("LD_PRELOAD=x");
		if (short_by > strlen("LD_PRELOAD"))
			expect(b, true, "LD_PRELOAD", NULL);
		else
			expect(b, true, NULL);
		bed_forget(b);
	}

	clear();
	pad(ENVIRONMENT_MAX);
	add("LD_PRELOAD=x");
	expect(b, true, NULL);
}

static void thousands_of_strings_are_looked_at_or_said_not_to_be(void **state)
{
	struct bed *b = bed_get(state);

	clear();
	for (int i = 0; i < ENVIRONMENT_STRINGS - 1; i++)
		add("x");
	add("LD_PRELOAD=x");
	expect(b, false, "LD_PRELOAD", NULL);
	bed_forget(b);

	clear();
	for (int i = 0; i < ENVIRONMENT_STRINGS; i++)
		add("");
	add("LD_PRELOAD=x");
	expect(b, true, NULL);
	bed_forget(b);

	clear();
	add("LD_PRELOAD=x");
	for (int i = 0; i < ENVIRONMENT_MAX; i++)
		add("");
	expect(b, true, "LD_PRELOAD", NULL);
}

static void one_that_ran_already_says_nothing(void **state)
{
	struct bed *b = bed_get(state);
	const struct event_exec *adopt;
	pid_t pid;

	clear();
	pid = bed_play(b, play, NULL);
	adopt = bed_find(b, EVENT_ADOPT, pid, 0);
	assert_non_null(adopt);
	assert_int_equal(adopt->environment[0] | adopt->environment[1], 0);
	assert_true(adopt->flags & EXEC_ENVIRONMENT_CUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_name_is_found),
		cmocka_unit_test(all_at_once),
		cmocka_unit_test(what_is_no_name_is_not_taken_for_one),
		cmocka_unit_test(prefixes_count_as_one_name),
		cmocka_unit_test(twice_is_once_and_the_value_does_not_matter),
		cmocka_unit_test(a_name_across_pieces_is_found),
		cmocka_unit_test(beyond_the_bound_is_cut_and_said_to_be),
		cmocka_unit_test(thousands_of_strings_are_looked_at_or_said_not_to_be),
		cmocka_unit_test(one_that_ran_already_says_nothing),
	};

	return cmocka_run_group_tests(tests, bed_setup, bed_teardown);
}
