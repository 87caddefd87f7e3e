/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread asks of files is counted and bounded, and nothing in the loop asks uncounted. */
#include "base/effort.h"

#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"

#define SOURCES TEST_DATA "/../../userspace/"

static void test_counts(void **state)
{
	struct effort before = effort;
	_cleanup_fclose_ FILE *f = effort_fopen("/proc/self/status");
	_cleanup_closedir_ DIR *d = effort_opendir("/");
	char text[16];

	(void)state;
	assert_non_null(f);
	assert_non_null(d);
	assert_int_equal(effort.files, before.files + 2);
	assert_ptr_equal(effort_gets(text, sizeof(text), f), text);
	assert_int_equal(effort.bytes, before.bytes + strlen(text));
	assert_int_equal(effort.entries, before.entries + 1);
	while (effort_readdir(d))
		;
	assert_true(effort.entries > before.entries + 4);
	before = effort;
	effort_walk(7);
	assert_int_equal(effort.entries, before.entries + 7);
	assert_int_equal(effort_open("/nowhere/at/all", O_RDONLY), -1);
	assert_int_equal(effort.files, before.files + 1);
}

static void *in_another(void *goes_on)
{
	*(bool *)goes_on = effort_goes_on();
	return NULL;
}

static void test_bounds(void **state)
{
	const struct effort until = {
		.files = effort.files + 2, .bytes = effort.bytes + 10, .entries = effort.entries + 5};
	bool another = false;
	pthread_t thread;

	(void)state;
	effort_bound(&until, UINT64_MAX);
	assert_true(effort_goes_on());
	effort_walk(4);
	assert_true(effort_goes_on());
	effort_walk(1);
	assert_false(effort_goes_on());
	assert_int_equal(pthread_create(&thread, NULL, in_another, &another), 0);
	pthread_join(thread, NULL);
	assert_true(another);
	effort_unbound();
	assert_true(effort_goes_on());
}

static void test_time(void **state)
{
	const struct effort much = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
	struct timespec t;

	(void)state;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	effort_bound(&much, t.tv_sec * 1000000000ull + t.tv_nsec + 20000000);
	assert_true(effort_goes_on());
	while (effort_goes_on())
		;
	effort_unbound();
}

/* ---- nothing asks uncounted ---- */

/* Who may, and why. */
static const struct {
	const char *file, *why;
} excepted[] = {
	{"daemon/attester.c", "its own program, at the start, and what enrolment keeps"},
	{"daemon/config.c", "at the start"},
	{"daemon/main.c", "at the start"},
	{"daemon/privileges.c", "at the start"},
	{"daemon/dropped.c", "a file of the daemon's own, of one size"},
	{"daemon/evidence.c", "at the start"},
	{"daemon/save.c", "the state, at the start"},
	{"daemon/saver.c", "a thread of its own"},
	{"collect/chain.c", "what fanotify tells: of execs, as many as there are events"},
	{"collect/chain_take.c", "the first line of a script that fanotify has opened"},
	{"collect/elfnote.c", "hashing threads, and a file's first page"},
	{"collect/filehash.c", "hashing threads, and their signal"},
	{"collect/hashing.c", "hashing threads"},
	{"collect/hostmounts.c", "a thread of its own"},
	{"collect/journal.c", "the daemon's own; read at the start"},
	{"collect/manifest.c", "measuring threads, and their signal"},
	{"collect/manifestwalk.c", "measuring threads"},
	{"collect/marks.c", "a thread of its own"},
	{"collect/memory.c", "at the start"},
	{"collect/mounts.c", "a thread of its own"},
	{"collect/pins.c", "at the start"},
	{"collect/probe.c", "at the start"},
	{"collect/source_shares.c", "an iterator over one entry"},
	{"collect/source_tags.c", "iterators, whose entries are counted"},
	{"collect/unmounts.c", "a signal of the kernel's"},
};

static bool is_excepted(const char *file)
{
	for (size_t i = 0; i < sizeof(excepted) / sizeof(excepted[0]); i++)
		if (!strcmp(file, excepted[i].file))
			return true;
	return false;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), of_end = strlen(end);

	return len >= of_end && !strcmp(text + len - of_end, end);
}

/* How many lines of the file ask by a function that counts nothing. */
static int bare_calls(const char *path, const char *file, const regex_t *bare)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	char line[512];
	int n = 0;

	assert_non_null(f);
	for (int number = 1; fgets(line, sizeof(line), f); number++) {
		const char *comment = strstr(line, "/*");

		if (line[0] == ' ' || (comment && strspn(line, "\t ") == (size_t)(comment - line)) ||
		    regexec(bare, line, 0, NULL, 0))
			continue;
		print_error("%s:%d: %s", file, number, line);
		n++;
	}
	return n;
}

static void test_nothing_asks_uncounted(void **state)
{
	static const char *const directories[] = {"daemon", "collect"};
	regex_t bare;
	int n = 0;

	(void)state;
	assert_int_equal(regcomp(&bare,
				 "(^|[^_a-zA-Z.>])(fopen|opendir|fdopendir|readdir|open|openat|fgets|"
				 "getline|read|pread|readlinkat)\\(",
				 REG_EXTENDED | REG_NOSUB),
			 0);
	for (size_t i = 0; i < 2; i++) {
		char path[4096], file[300];
		_cleanup_closedir_ DIR *d = NULL;
		struct dirent *e;

		snprintf(path, sizeof(path), SOURCES "%s", directories[i]);
		d = opendir(path);
		assert_non_null(d);
		while ((e = readdir(d))) {
			snprintf(file, sizeof(file), "%s/%s", directories[i], e->d_name);
			if (!ends_with(file, ".c") || is_excepted(file))
				continue;
			snprintf(path, sizeof(path), SOURCES "%s", file);
			n += bare_calls(path, file, &bare);
		}
	}
	regfree(&bare);
	if (n)
		print_error("base/effort.h has the same functions, which count what a turn of the "
			    "loop asks; or name the file above, and why it may\n");
	assert_int_equal(n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_nothing_asks_uncounted),
	};

	return cmocka_run_group_tests_name("effort", tests, NULL, NULL);
}
