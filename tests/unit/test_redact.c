/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/redact.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "collect/decode.h"
#include "collect/redact_rules.h"
#include "collect/redact_text.h"

static char *flags[] = {(char *)"--token", (char *)"--password", (char *)"-p"};
static char *patterns[] = {
	(char *)"bearer ([^ ]+)",
	(char *)"sk-[a-z0-9]{4,}",
	(char *)"pass=([^&]*)",
};

static int set_up(void **state)
{
	struct redact *r = NULL;

	if (redact_new(false, flags, 3, patterns, 3, &r))
		return 1;
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	redact_free(*state);
	return 0;
}

/* @argv and @want: arguments parted by '|'. */
static void assert_redacted(const struct redact *r, const char *argv, const char *want)
{
	char bytes[512], shown[1024] = "";
	size_t len = strlen(argv) + 1, used = 0;

	memcpy(bytes, argv, len);
	for (size_t i = 0; i < len; i++)
		if (bytes[i] == '|')
			bytes[i] = '\0';
	/* Whether or not the last one was cut off before its NUL. */
	for (int cut = 0; cut < 2; cut++) {
		used = 0;
		redact_argv(r, bytes, len - cut);
		for (size_t at = 0; at < len - cut;) {
			size_t n = strnlen(bytes + at, len - cut - at);
			bool hidden;
			char *text = redact_text(bytes + at, n, &hidden);

			assert_int_equal(hidden, !!strstr(text, REDACTED_TEXT));
			used += snprintf(shown + used, sizeof(shown) - used, "%s%s", at ? "|" : "",
					 text);
			free(text);
			at += n + 1;
		}
		assert_string_equal(shown, want);
	}
}

static void leaves_the_rest_alone(void **state)
{
	static const char *const harmless[] = {
		"git|clone|https://example.org/x.git",
		"a",
		"--tokenizer=fast",
		"--tok",
		"x--token=1",
		"bearer",
		"sk-a",
		"--TOKEN|x",
	};

	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		assert_redacted(*state, harmless[i], harmless[i]);
}

static void hides_values_of_flags(void **state)
{
	assert_redacted(*state, "x|--token|abc|y", "x|--token|[redacted]|y");
	assert_redacted(*state, "x|--token=abc|y", "x|--token=[redacted]|y");
	assert_redacted(*state, "x|--token=|y", "x|--token=|y");
	assert_redacted(*state, "x|--token=a=b", "x|--token=[redacted]");
	assert_redacted(*state, "x|-p|s|-v", "x|-p|[redacted]|-v");
	assert_redacted(*state, "x|--token", "x|--token");
	/* An empty value hides nothing, and what follows is not the value. */
	assert_redacted(*state, "x|--token||y", "x|--token||y");
	assert_redacted(*state, "--token|abc", "--token|[redacted]");
}

static void hides_too_much_rather_than_too_little(void **state)
{
	assert_redacted(*state, "x|--password|--token|abc|y",
			"x|--password|[redacted]|[redacted]|y");
	assert_redacted(*state, "x|--password|--token=abc|y", "x|--password|[redacted]|y");
	assert_redacted(*state, "x|--token|--token|--token|a|y",
			"x|--token|[redacted]|[redacted]|[redacted]|y");
}

static void hides_matches_of_patterns(void **state)
{
	assert_redacted(*state, "-H|Authorization: Bearer abc.def",
			"-H|Authorization: Bearer [redacted]");
	assert_redacted(*state, "bearer a bearer b", "bearer [redacted] bearer [redacted]");
	assert_redacted(*state, "k=sk-abcd1 sk-x SK-ABCD2,sk-efgh",
			"k=[redacted] sk-x [redacted],[redacted]");
	assert_redacted(*state, "u?pass=a&pass=b", "u?pass=[redacted]&pass=[redacted]");
	assert_redacted(*state, "--header=bearer x --token=y",
			"--header=bearer [redacted] --token=y");
}

/* A match that hides nothing does not end the search. */
static void goes_on_behind_an_empty_match(void **state)
{
	assert_redacted(*state, "u?pass=&pass=secret", "u?pass=&pass=[redacted]");
	assert_redacted(*state, "pass=", "pass=");
}

static void ends_with_any_pattern(void **state)
{
	char *odd[] = {(char *)"", (char *)"x*", (char *)"(a)|b", (char *)"^c", (char *)"()"};
	struct redact *r = NULL;

	(void)state;
	assert_int_equal(redact_new(false, NULL, 0, odd, 5, &r), 0);
	assert_redacted(r, "xxy|aab|bq|cc", "[redacted]y|[redacted]|[redacted]q|[redacted]c");
	redact_free(r);
}

/* A parenthesis that was never opened is a character. */
static void keeps_patterns_apart(void **state)
{
	char *odd[] = {(char *)"x)y", (char *)"z|^b", (char *)"a$"};
	struct redact *r = NULL;

	(void)state;
	assert_int_equal(redact_new(false, NULL, 0, odd, 3, &r), 0);
	assert_redacted(r, "x)y|xy|(xy)|bb|cb|za|ac",
			"[redacted]|xy|(xy)|[redacted]b|cb|[redacted]|ac");
	redact_free(r);
}

/* Hundreds of secrets are made to keep the daemon busy: what follows is hidden unread. */
static void hides_what_follows_many(void **state)
{
	char argv[65 * 7], want[65 * 7];

	for (int i = 0; i < 65; i++) {
		memcpy(argv + 7 * i, "pass=a", 7);
		memcpy(want + 7 * i, "pass=\x1a", 7);
	}
	memcpy(argv + 7 * 60, "plain.", 7);
	memcpy(want + 7 * 60, "plain.", 7);
	redact_argv(*state, argv, sizeof(argv));
	assert_memory_equal(argv, want, sizeof(argv));
	memcpy(argv + 7 * 60, "pass=a", 7);
	memcpy(want + 7 * 60, "pass=\x1a", 7);
	memcpy(argv + 7 * 64, "plain.", 7);
	memset(want + 7 * 64, '\x1a', 6);
	redact_argv(*state, argv, sizeof(argv));
	assert_memory_equal(argv, want, sizeof(argv));
}

static void refuses_bad_patterns(void **state)
{
	char *bad[] = {(char *)"a", (char *)"("};
	struct redact *r = (void *)1;

	(void)state;
	assert_int_equal(redact_new(false, flags, 3, bad, 2, &r), -EINVAL);
	assert_ptr_equal(r, (void *)1);
	redact_free(NULL);
}

static void changes_no_length(void **state)
{
	char text[64] = "a\0--token\0secret\0z";
	const char want[] = "a\0--token\0\x1a\x1a\x1a\x1a\x1a\x1a\0z";

	redact_argv(*state, text, 19);
	assert_memory_equal(text, want, 19);
	/* A second time, as for events that are read again: no change. */
	redact_argv(*state, text, 19);
	assert_memory_equal(text, want, 19);
	redact_argv(*state, text, 0);
}

/* ---- events ---- */

static size_t add_exec(uint8_t *to, uint16_t type, const char *argv, size_t len)
{
	struct event_exec *e = (void *)to;

	memset(e, 0, sizeof(*e));
	e->header.type = type;
	e->header.size = (sizeof(*e) + 16 + len + 7) / 8 * 8;
	e->exe_len = 7;
	e->filename_len = 9;
	memcpy(e->data, "x\0--tok\0--token=A", 17);
	e->argv_len = len;
	memcpy(e->data + 16, argv, len);
	return e->header.size;
}

static void redacts_arguments_of_a_batch(void **state)
{
	static union {
		uint8_t bytes[4096];
		uint64_t aligned;
	} batch;
	static const char argv[] = "p\0--token\0abc";
	struct event_fork *fork;
	struct event_exec *e;
	const struct event_header *unknown;
	size_t at = 0, second, third, fourth;

	at += add_exec(batch.bytes, EVENT_EXEC, argv, sizeof(argv));
	fork = (void *)(batch.bytes + at);
	*fork = (struct event_fork){.header = {.type = EVENT_FORK, .size = sizeof(*fork)}};
	at += second = sizeof(*fork);
	second = at;
	at += add_exec(batch.bytes + at, EVENT_EXEC, argv, sizeof(argv) - 1);
	/*
	 * Of a later version: it may hold anything, and what comes behind it is to be redacted all
	 * the same.
	 */
	unknown = (void *)(batch.bytes + at);
	at += add_exec(batch.bytes + at, EVENT_TYPES + 1, argv, sizeof(argv));
	fourth = at;
	at += add_exec(batch.bytes + at, EVENT_EXEC, argv, sizeof(argv));
	third = at;
	memset(batch.bytes + at, 0xff, 64);
	redact_events(*state, batch.bytes, at + 64);

	e = (void *)batch.bytes;
	assert_memory_equal(e->data, "x\0--tok\0--token=", 16); /* paths are no arguments */
	assert_memory_equal(e->data + 16, "p\0--token\0\x1a\x1a\x1a\0", sizeof(argv));
	e = (void *)(batch.bytes + second);
	assert_memory_equal(e->data + 16, "p\0--token\0\x1a\x1a\x1a", sizeof(argv) - 1);
	assert_int_equal(unknown->type, 0);
	for (size_t i = sizeof(*unknown); i < unknown->size; i++)
		assert_int_equal(((const uint8_t *)unknown)[i], 0);
	e = (void *)(batch.bytes + fourth);
	assert_memory_equal(e->data + 16, "p\0--token\0\x1a\x1a\x1a\0", sizeof(argv));
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(batch.bytes[third + i], 0xff);
}

/* ---- what comes with the program ---- */

#define COMMANDS TEST_DATA "/redact/commands.txt"
#define DOCS TEST_DATA "/../../docs/operations.md"
#define OPEN "«"
#define CLOSE "»"

/* One line of COMMANDS: argv as it is executed, and as it may be written. */
struct sample {
	char argv[1024], want[2048];
	size_t len; /* of argv, with the last NUL */
	bool unknowable;
};

static void take_line(const char *line, struct sample *ret)
{
	char *out = ret->argv, *want = ret->want;
	bool hidden = false;

	ret->unknowable = *line == '!';
	for (line += ret->unknowable; *line && *line != '\n'; line++) {
		bool opens = !strncmp(line, OPEN, strlen(OPEN));
		char c = *line;

		if (opens || !strncmp(line, CLOSE, strlen(CLOSE))) {
			hidden = opens;
			line += strlen(OPEN) - 1;
			if (opens && !ret->unknowable)
				want = stpcpy(want, REDACTED_TEXT);
			continue;
		}
		if (line[0] == '\\' && line[1] == 'n') {
			c = '\n';
			line++;
		}
		*out++ = c == '\t' ? '\0' : c;
		if (!hidden || ret->unknowable)
			*want++ = c;
	}
	*out++ = *want = '\0';
	ret->len = out - ret->argv;
}

/* As it is written, arguments parted by tabs. */
static void show(const char *argv, size_t len, char *ret, size_t size)
{
	size_t used = 0;

	for (size_t at = 0; at < len;) {
		size_t n = strnlen(argv + at, len - at);
		bool hidden;
		char *text = redact_text(argv + at, n, &hidden);

		assert_non_null(text);
		used += snprintf(ret + used, size - used, "%s%s", at ? "\t" : "", text);
		free(text);
		at += n + 1;
	}
}

static struct redact *usual(void)
{
	struct redact *r = NULL;

	assert_int_equal(redact_new(true, NULL, 0, NULL, 0, &r), 0);
	return r;
}

/* All of them, so that one run names every line that went wrong. */
static void hides_what_the_usual_command_lines_hold(void **state)
{
	_cleanup_fclose_ FILE *f = fopen(COMMANDS, "re");
	struct redact *r = usual();
	size_t lines = 0, unknowable = 0, wrong = 0;
	char line[2048], shown[4096];
	struct sample s;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (*line == '#' || *line == '\n')
			continue;
		take_line(line, &s);
		lines++;
		unknowable += s.unknowable;
		for (int again = 0; again < 2; again++) { /* events can be read twice */
			redact_argv(r, s.argv, s.len);
			show(s.argv, s.len, shown, sizeof(shown));
			if (!strcmp(shown, s.want))
				continue;
			wrong++;
			print_error("%s\t is written as\n%s\n", line, shown);
		}
	}
	redact_free(r);
	assert_int_equal(wrong, 0);
	assert_true(lines >= 300);
	assert_in_range(unknowable, 1, 20);
}

static void assert_usual(const char *argv, const char *want)
{
	struct redact *r = usual();

	assert_redacted(r, argv, want);
	redact_free(r);
}

/* A name of its own does not make it another program. */
static void knows_a_program_by_its_file(void **state)
{
	static union {
		uint8_t bytes[4096];
		uint64_t aligned;
	} event;
	static const char argv[] = "x\0-u\0bob:secret";
	struct event_exec *e = (void *)event.bytes;
	struct redact *r = usual();

	(void)state;
	add_exec(event.bytes, EVENT_EXEC, argv, sizeof(argv));
	redact_events(r, event.bytes, e->header.size);
	assert_memory_equal(e->data + 16, argv, sizeof(argv));
	e->exe_len = 9;
	e->filename_len = 7;
	memcpy(e->data, "curl\0bin\0--tok\0", 16);
	redact_events(r, event.bytes, e->header.size);
	assert_memory_equal(e->data + 16, "x\0-u\0bob:\x1a\x1a\x1a\x1a\x1a\x1a", sizeof(argv));
	redact_free(r);
}

static void hides_unread_what_is_too_deep(void **state)
{
	(void)state;
	assert_usual("sh|-c|sh -c \"sh -c 'mysql -psecret'\"",
		     "sh|-c|sh -c \"sh -c 'mysql -p[redacted]'\"");
	assert_usual("sh|-c|a \"b 'c d\\\\ e'\"", "sh|-c|a \"b 'c [redacted]\\\\[redacted]'\"");
}

static void keeps_what_ends_early(void **state)
{
	static const char *const same[] = {
		"curl|-u",
		"curl|--user",
		"sshpass|-p",
		"mysql|-p",
		"sh|-c",
		"sh|-c| ",
		"docker|login|-p",
		"vault|login",
		"aws|configure|set",
		"openssl|-pass",
		"-----BEGIN |x",
		"a://",
		"x|=",
		"env|env|env",
		"\"|'",
		"tool|password=",
		"tool|\"password\":",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++)
		assert_usual(same[i], same[i]);
}

/* The least of some rounds, in ns of this thread's time: @size bytes of @part, @times over. */
static double cost_of(struct redact *r, const char *part, bool apart, size_t size, int times)
{
	static char argv[EVENT_ARGV_MAX];
	double least = 1e18;

	for (int round = 0; round < 5; round++) {
		uint64_t spent = 0, from;

		for (int n = 0; n < times; n++) {
			for (size_t at = 0; at < size; at++) {
				char c = part[at % strlen(part)];

				argv[at] = apart && c == ' ' ? '\0' : c;
			}
			memcpy(argv, "env", 4);
			from = clock_ns(CLOCK_THREAD_CPUTIME_ID);
			redact_argv(r, argv, size);
			spent += clock_ns(CLOCK_THREAD_CPUTIME_ID) - from;
		}
		least = spent < least ? spent : least;
	}
	return least;
}

/*
 * What an agent can make the daemon's one thread do for an exec grows with the length of the command
 * line, whatever it is made of, and not with its square: eight pieces of an eighth would cost an
 * eighth of the whole then.
 */
static void takes_no_more_than_its_length(void **state)
{
	static const char *const parts[] = {
		"curl -u a:b ", "a ",          "\" ",   "' ",  "sh -c ' ", "://", "password ",
		"password=",    "-----BEGIN ", "curl ", "-x ", "--token ", "sk-", "eyJ",
		"{\"a\":",      "\\",          ";",     "$(",  "key: ",    "a=",
	};
	struct redact *r = usual();

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(parts) / sizeof(*parts); i++) {
		const char *part = parts[i / 2];
		double whole = cost_of(r, part, i % 2, EVENT_ARGV_MAX, 1);
		double pieces = cost_of(r, part, i % 2, EVENT_ARGV_MAX / 8, 8);

		if (getenv("REDACT_TIMES"))
			print_message("%.0f us, %.1f of its pieces: '%s'\n", whole / 1e3,
				      whole / pieces, part);
		if (whole > 5 * pieces)
			fail_msg("'%s': the whole costs %.1f times its pieces", part,
				 whole / pieces);
	}
	redact_free(r);
}

/* ---- the docs ---- */

static void print_rows(FILE *f)
{
	fputs("| program | when | hidden |\n|---|---|---|\n", f);
	for (size_t i = 0; i < redact_rules_count; i++) {
		const struct redact_rule *rule = &redact_rules[i];
		const char *tick = *rule->when ? "`" : "";

		fprintf(f, "| `%s` | %s%s%s | `%s` |\n", rule->programs, tick, rule->when, tick,
			rule->options);
	}
}

static void print_formats(FILE *f)
{
	fputs("| begins with | and at least | whose |\n|---|---|---|\n", f);
	for (size_t i = 0; i < redact_formats_count; i++)
		fprintf(f, "| `%s` | %zu | %s |\n", redact_formats[i].begins,
			redact_formats[i].least, redact_formats[i].whose);
}

static void assert_in_docs(void (*print)(FILE *f))
{
	_cleanup_free_ char *rows = NULL, *docs = calloc(1, 1 << 20);
	_cleanup_fclose_ FILE *f = fopen(DOCS, "re");
	size_t len;
	FILE *out = open_memstream(&rows, &len);

	assert_non_null(out);
	print(out);
	assert_int_equal(fclose(out), 0);
	assert_non_null(f);
	assert_true(fread(docs, 1, (1 << 20) - 1, f) > 0);
	if (!strstr(docs, rows))
		fail_msg("docs/operations.md has another table: `test_redact --tables` prints it");
}

static void tells_the_docs(void **state)
{
	(void)state;
	assert_in_docs(print_rows);
	assert_in_docs(print_formats);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--tables")) {
		print_rows(stdout);
		putchar('\n');
		print_formats(stdout);
		return 0;
	}
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(leaves_the_rest_alone),
		TEST(hides_values_of_flags),
		TEST(hides_too_much_rather_than_too_little),
		TEST(hides_matches_of_patterns),
		TEST(goes_on_behind_an_empty_match),
		TEST(ends_with_any_pattern),
		TEST(keeps_patterns_apart),
		TEST(hides_what_follows_many),
		TEST(refuses_bad_patterns),
		TEST(changes_no_length),
		TEST(redacts_arguments_of_a_batch),
		TEST(hides_what_the_usual_command_lines_hold),
		TEST(knows_a_program_by_its_file),
		TEST(hides_unread_what_is_too_deep),
		TEST(keeps_what_ends_early),
		TEST(takes_no_more_than_its_length),
		TEST(tells_the_docs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
