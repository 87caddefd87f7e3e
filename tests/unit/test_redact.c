/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/redact.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collect/decode.h"
#include "daemon/config.h"
#include "sample_config.h"

static char *flags[] = {(char *)"--token", (char *)"--password", (char *)"-p"};
static char *patterns[] = {
	(char *)"bearer ([^ ]+)",
	(char *)"sk-[a-z0-9]{4,}",
	(char *)"pass=([^&]*)",
};

static int set_up(void **state)
{
	struct redact *r = NULL;

	if (redact_new(flags, 3, patterns, 3, &r))
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
	assert_int_equal(redact_new(NULL, 0, odd, 5, &r), 0);
	assert_redacted(r, "xxy|aab|bq|cc", "[redacted]y|[redacted]|[redacted]q|[redacted]c");
	redact_free(r);
}

/* A parenthesis that was never opened is a character. */
static void keeps_patterns_apart(void **state)
{
	char *odd[] = {(char *)"x)y", (char *)"z|^b", (char *)"a$"};
	struct redact *r = NULL;

	(void)state;
	assert_int_equal(redact_new(NULL, 0, odd, 3, &r), 0);
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
	assert_int_equal(redact_new(flags, 3, bad, 2, &r), -EINVAL);
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

/* ---- what comes with the package ---- */

static void defaults_hide_the_usual_secrets(void **state)
{
	static const struct {
		const char *argv, *secret;
	} cases[] = {
		{"curl|-H|Authorization: Bearer eyJhbGciOi.abc.def|https://x", "eyJhbGciOi"},
		{"curl|https://alice:hunter2hunter2@example.org/", "hunter2hunter2"},
		{"psql|--password=hunter2hunter2", "hunter2hunter2"},
		{"tool|--api-key|hunter2hunter2", "hunter2hunter2"},
		{"env|OPENAI_API_KEY=hunter2hunter2|codex", "hunter2hunter2"},
		{"sh|-c|export AWS_SECRET_ACCESS_KEY=hunter2hunter2; run", "hunter2hunter2"},
		{"x|ghp_0123456789abcdefghijABCDEFGHIJ012345", "0123456789abcdef"},
	};
	struct config *c = NULL;
	struct redact *r = NULL;
	char *why = NULL;

	(void)state;
	assert_int_equal(config_load(sample_config(), NULL, &c, &why), 0);
	assert_int_equal(redact_new(c->redact.flags, c->redact.flags_count, c->redact.patterns,
				    c->redact.patterns_count, &r),
			 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].argv);
		char text[256];

		memcpy(text, cases[i].argv, len + 1);
		for (char *p = text; *p; p++)
			if (*p == '|')
				*p = '\0';
		redact_argv(r, text, len + 1);
		assert_null(memmem(text, len, cases[i].secret, strlen(cases[i].secret)));
	}
	redact_free(r);
	config_free(c);
	free(why);
}

int main(void)
{
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
		TEST(defaults_hide_the_usual_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
