/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/redact.h"

#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "collect/decode.h"
#include "collect/redact_command.h"

/*
 * Each argument with something to hide is looked at for every pattern, in the daemon's one thread.
 * An agent can make hundreds of them in each exec; nobody else does.
 */
#define SECRETS_MAX 64

struct redact {
	char **flags;
	size_t flags_count;
	regex_t *patterns;
	size_t patterns_count;
	/* Matches where any of them does: most arguments are asked for once, not for each. */
	regex_t any;
	bool has_any;
	struct redact_commands *usual; /* NULL: the usual rules are off */
};

/*
 * Without parentheses around each: one that is never opened is an ordinary character, and would
 * close them.
 */
static int compile_any(struct redact *r, char *const *patterns, size_t count)
{
	_cleanup_free_ char *all = NULL;
	size_t len = 0;
	char *at;

	for (size_t i = 0; i < count; i++)
		len += strlen(patterns[i]) + 1;
	if (!count)
		return 0;
	at = all = malloc(len);
	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (i)
			*at++ = '|';
		at = stpcpy(at, patterns[i]);
	}
	r->has_any = !regcomp(&r->any, all, REG_EXTENDED | REG_ICASE | REG_NOSUB);
	return 0;
}

int redact_new(bool usual, char *const *flags, size_t flags_count, char *const *patterns,
	       size_t patterns_count, struct redact **ret)
{
	struct redact *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->flags = calloc(flags_count + 1, sizeof(*r->flags));
	r->patterns = calloc(patterns_count + 1, sizeof(*r->patterns));
	if (!r->flags || !r->patterns || (usual && redact_commands_new(&r->usual))) {
		redact_free(r);
		return -ENOMEM;
	}
	for (size_t i = 0; i < flags_count; i++) {
		r->flags[r->flags_count] = strdup(flags[i]);
		if (!r->flags[r->flags_count++]) {
			redact_free(r);
			return -ENOMEM;
		}
	}
	for (size_t i = 0; i < patterns_count; i++) {
		if (regcomp(&r->patterns[i], patterns[i], REG_EXTENDED | REG_ICASE)) {
			redact_free(r);
			return -EINVAL;
		}
		r->patterns_count++;
	}
	if (compile_any(r, patterns, patterns_count)) {
		redact_free(r);
		return -ENOMEM;
	}
	*ret = r;
	return 0;
}

void redact_free(struct redact *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->flags_count; i++)
		free(r->flags[i]);
	for (size_t i = 0; i < r->patterns_count; i++)
		regfree(&r->patterns[i]);
	if (r->has_any)
		regfree(&r->any);
	redact_commands_free(r->usual);
	free(r->flags);
	free(r->patterns);
	free(r);
}

static void hide(char *from, size_t len)
{
	memset(from, REDACTED_BYTE, len);
}

/* What stands behind each match is searched again, from where the last cut ended. */
static void hide_matches(const regex_t *regex, char *text, size_t len)
{
	regmatch_t m[2];
	size_t at = 0;

	while (at < len) {
		const regmatch_t *cut = &m[0];

		m[0] = (regmatch_t){.rm_so = at, .rm_eo = len};
		if (regexec(regex, text, 2, m, REG_STARTEND))
			return;
		if (regex->re_nsub && m[1].rm_so >= 0)
			cut = &m[1];
		hide(text + cut->rm_so, cut->rm_eo - cut->rm_so);
		at = (size_t)cut->rm_eo > at ? (size_t)cut->rm_eo : at + 1;
	}
}

/* Whether there was something to hide. */
static bool hide_all_matches(const struct redact *r, char *text, size_t len)
{
	regmatch_t whole = {.rm_so = 0, .rm_eo = len};

	if (r->has_any && regexec(&r->any, text, 0, &whole, REG_STARTEND))
		return false;
	for (size_t i = 0; i < r->patterns_count; i++)
		hide_matches(&r->patterns[i], text, len);
	return memchr(text, REDACTED_BYTE, len);
}

/* "--token=abc" loses its value; returns whether it is "--token" alone, which announces one. */
static bool hide_flag_value(const struct redact *r, char *text, size_t len)
{
	bool alone = false;

	for (size_t i = 0; i < r->flags_count; i++) {
		size_t n = strlen(r->flags[i]);

		if (len < n || memcmp(text, r->flags[i], n))
			continue;
		if (len == n)
			alone = true;
		else if (text[n] == '=')
			hide(text + n + 1, len - n - 1);
	}
	return alone;
}

/* By the configuration's flags and patterns. */
static void hide_configured(const struct redact *r, char *argv, size_t len)
{
	bool announced = false;
	size_t secrets = 0;

	for (size_t at = 0; at < len;) {
		size_t n = strnlen(argv + at, len - at);
		/* "--password --token abc": who knows which of the two is meant. */
		bool announces = hide_flag_value(r, argv + at, n);

		if (announced || secrets == SECRETS_MAX)
			hide(argv + at, n);
		else
			secrets += hide_all_matches(r, argv + at, n);
		announced = announces;
		at += n + 1;
	}
}

static void redact(const struct redact *r, const char *exe, size_t exe_len, char *argv, size_t len)
{
	/* First, so that what is hidden by them is not taken for a word of the command line. */
	if (r->flags_count || r->patterns_count)
		hide_configured(r, argv, len);
	if (r->usual)
		redact_commands_hide(r->usual, exe, exe_len, argv, len);
}

void redact_argv(const struct redact *r, char *argv, size_t len)
{
	redact(r, NULL, 0, argv, len);
}

/*
 * Nobody knows where it holds arguments, so nothing of it stays; a type that is none keeps it
 * unknown for good.
 */
static void blank(struct event_header *h)
{
	h->type = 0;
	memset(h + 1, 0, h->size - sizeof(*h));
}

void redact_events(const struct redact *r, void *events, size_t len)
{
	const struct event_header *h;
	struct exec_strings x;

	for (size_t at = 0; at < len; at += h->size) {
		int err = event_decode((char *)events + at, len - at, &h);

		if (err == -EBADMSG)
			return;
		if (err == -ENOTSUP)
			blank((struct event_header *)((char *)events + at));
		if (err || event_is_note(h) || (h->type != EVENT_EXEC && h->type != EVENT_ADOPT))
			continue;
		exec_strings((const struct event_exec *)h, &x);
		/* The first component is the file's name. */
		redact(r, x.exe, strnlen(x.exe, x.exe_len),
		       (char *)events + (x.argv - (const char *)events), x.argv_len);
	}
}

char *redact_text(const char *argument, size_t len, bool *ret_hidden)
{
	char *out = malloc(len * strlen(REDACTED_TEXT) + 1);
	size_t used = 0;

	*ret_hidden = false;
	if (!out)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		if (argument[i] != REDACTED_BYTE) {
			out[used++] = argument[i];
		} else if (!i || argument[i - 1] != REDACTED_BYTE) {
			memcpy(out + used, REDACTED_TEXT, strlen(REDACTED_TEXT));
			used += strlen(REDACTED_TEXT);
			*ret_hidden = true;
		}
	}
	out[used] = '\0';
	return out;
}
