/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/redact_text.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "collect/redact_names.h"

/* A user's name in a URL is shorter; a token is not. */
#define USER_MAX 18

/* clang-format off: one row, one line, as in the docs */
const struct redact_format redact_formats[] = {
	{"sk-", 16, "OpenAI, Anthropic and the like"},
	{"sk_live_", 10, "Stripe"},
	{"sk_test_", 10, "Stripe"},
	{"rk_live_", 10, "Stripe"},
	{"whsec_", 16, "Stripe, webhooks"},
	{"ghp_", 20, "GitHub"},
	{"gho_", 20, "GitHub"},
	{"ghu_", 20, "GitHub"},
	{"ghs_", 20, "GitHub"},
	{"ghr_", 20, "GitHub"},
	{"github_pat_", 20, "GitHub"},
	{"glpat-", 16, "GitLab"},
	{"gldt-", 16, "GitLab"},
	{"glrt-", 16, "GitLab"},
	{"xoxa-", 10, "Slack"},
	{"xoxb-", 10, "Slack"},
	{"xoxc-", 10, "Slack"},
	{"xoxd-", 10, "Slack"},
	{"xoxe-", 10, "Slack"},
	{"xoxp-", 10, "Slack"},
	{"xoxr-", 10, "Slack"},
	{"xoxs-", 10, "Slack"},
	{"xapp-", 10, "Slack"},
	{"hooks.slack.com/services/", 10, "Slack, webhooks"},
	{"discord.com/api/webhooks/", 10, "Discord, webhooks"},
	{"AKIA", 12, "AWS"},
	{"ASIA", 12, "AWS"},
	{"AIza", 30, "Google"},
	{"ya29.", 16, "Google"},
	{"GOCSPX-", 16, "Google"},
	{"eyJ", 17, "JSON Web Tokens"},
	{"hf_", 30, "Hugging Face"},
	{"npm_", 30, "npm"},
	{"pypi-", 40, "PyPI"},
	{"rubygems_", 30, "RubyGems"},
	{"dckr_pat_", 16, "Docker"},
	{"dop_v1_", 30, "DigitalOcean"},
	{"SG.", 30, "SendGrid"},
	{"hvs.", 20, "Vault"},
	{"hvb.", 20, "Vault"},
	{"shpat_", 20, "Shopify"},
	{"lin_api_", 20, "Linear"},
	{"ATATT3", 30, "Atlassian"},
	{"dapi", 32, "Databricks"},
	{"tskey-", 16, "Tailscale"},
	{"r8_", 30, "Replicate"},
	{"gsk_", 30, "Groq"},
	{"xai-", 30, "xAI"},
	{"AGE-SECRET-KEY-", 20, "age"},
};
/* clang-format on */

const size_t redact_formats_count = sizeof(redact_formats) / sizeof(*redact_formats);

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_token_char(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("_-.~+/=", c));
}

static bool begins_at(const struct word *w, size_t at, const char *text)
{
	struct word rest = word_from(w, at);

	return word_begins(&rest, text, strlen(text));
}

/* ---- what names itself ---- */

/* Where the format that begins at @at ends; @at: none does. */
static size_t end_of_format(const struct word *w, size_t at)
{
	for (size_t i = 0; i < redact_formats_count; i++) {
		const struct redact_format *f = &redact_formats[i];
		size_t end = at + strlen(f->begins);

		if (word_at(w, at) != f->begins[0] || !begins_at(w, at, f->begins))
			continue;
		while (end < w->len && is_token_char(*w->at[end]))
			end++;
		if (end - at - strlen(f->begins) >= f->least)
			return end;
	}
	return at;
}

/* "-----BEGIN ... PRIVATE KEY-----" and what follows, to its end or the text's. */
static size_t hide_pem(const struct word *w, size_t at)
{
	static const char begin[] = "-----BEGIN ", end[] = "-----END ";
	size_t label = at + sizeof(begin) - 1, to = label;

	while (to < w->len && to < label + 40 &&
	       (isupper((unsigned char)*w->at[to]) || *w->at[to] == ' '))
		to++;
	if (to < label + 11 || !begins_at(w, to - 11, "PRIVATE KEY"))
		return to;
	for (at = to; at < w->len && !(*w->at[at] == '-' && begins_at(w, at, end)); at++)
		continue;
	word_hide(w, to, at);
	return at;
}

/* What stands before the last '@' of a URL's authority, but for the user's name. */
static size_t hide_userinfo(const struct word *w, size_t at)
{
	size_t end = at, last = w->len, colon;

	while (end < w->len && !strchr("/?# \t\n\"'\\<>", *w->at[end])) {
		if (*w->at[end] == '@')
			last = end;
		end++;
	}
	if (last == w->len)
		return at;
	colon = word_find(w, at, ':');
	if (colon > last)
		colon = last;
	/* "https://TOKEN@host", "https://TOKEN:x-oauth-basic@host": a long name is one. */
	if (colon - at >= USER_MAX)
		word_hide(w, at, colon);
	word_hide(w, colon + 1, last);
	return last;
}

/* ---- NAME=VALUE, "name": "value" ---- */

#define NAME_LEN_MAX 64
#define BACKSLASHES_MAX 8 /* of three texts, one in another */

/* JSON's "\u0077", with more backslashes in a text that is itself in quotes. 0: it is none. */
static size_t escape_at(const struct word *w, size_t at, unsigned char *ret)
{
	char digits[5] = {0};
	size_t i = at;

	while (word_at(w, i) == '\\' && i - at < BACKSLASHES_MAX)
		i++;
	if (i == at || word_at(w, i++) != 'u')
		return 0;
	for (size_t n = 0; n < 4; n++, i++) {
		if (!isxdigit((unsigned char)word_at(w, i)))
			return 0;
		digits[n] = word_at(w, i);
	}
	if (digits[0] != '0' || digits[1] != '0')
		return 0;
	*ret = strtoul(digits, NULL, 16);
	return redact_name_char(*ret) ? i - at : 0;
}

static size_t end_of_name(const struct word *w, size_t at)
{
	unsigned char c;
	size_t len;

	while (at < w->len) {
		len = redact_name_char(*w->at[at]) ? 1 : escape_at(w, at, &c);
		if (!len)
			break;
		at += len;
	}
	return at;
}

static bool is_escaped(const struct word *w, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (*w->at[i] == '\\')
			return true;
	return false;
}

/* Of a name as it is read, not as it is written. */
static enum redact_name name_kind(const struct word *w, size_t from, size_t to)
{
	char text[NAME_LEN_MAX], *at[NAME_LEN_MAX];
	struct word name = {at, 0};

	if (!is_escaped(w, from, to))
		return redact_name(w, from, to);
	while (from < to) {
		unsigned char c = *w->at[from];
		size_t len = escape_at(w, from, &c);

		from += len ?: 1;
		if (name.len == NAME_LEN_MAX) { /* it is known by its end */
			name.len /= 2;
			memcpy(text, text + name.len, name.len);
		}
		text[name.len] = c;
		at[name.len] = &text[name.len];
		name.len++;
	}
	return redact_name(&name, 0, name.len);
}

static bool is_quote(char c)
{
	return c == '"' || c == '\'' || c == '`';
}

struct quote {
	char sign;    /* '\0': none */
	bool escaped; /* \" in a text that is itself in quotes */
};

/* Behind a quote, and the backslashes before it. */
static size_t past_quote(const struct word *w, size_t at, struct quote *ret)
{
	size_t i = at;

	*ret = (struct quote){0};
	while (word_at(w, i) == '\\')
		i++;
	if (!is_quote(word_at(w, i)))
		return at;
	*ret = (struct quote){*w->at[i], i > at};
	return i + 1;
}

static size_t past_blanks(const struct word *w, size_t at)
{
	while (is_blank(word_at(w, at)))
		at++;
	return at;
}

static size_t end_of_quoted(const struct word *w, size_t at, struct quote quote)
{
	while (at < w->len && *w->at[at] != quote.sign) {
		if (*w->at[at] == '\\' && quote.escaped && word_at(w, at + 1) == quote.sign)
			break;
		at += *w->at[at] == '\\' && quote.sign != '\'' ? 2 : 1;
	}
	return at < w->len ? at : w->len;
}

static size_t end_of_line(const struct word *w, size_t at, char quote)
{
	while (at < w->len && *w->at[at] != '\n' && (!quote || *w->at[at] != quote))
		at++;
	return at;
}

static size_t end_of_plain(const struct word *w, size_t at)
{
	while (at < w->len && !isspace((unsigned char)*w->at[at]) && !strchr("&;\"'`", *w->at[at]))
		at++;
	return at;
}

/* Whether the name at @from is what the whole argument is about: behind dashes alone, or -D. */
static bool is_at_start(const struct word *w, size_t from)
{
	size_t i = 0;

	while (word_at(w, i) == '-')
		i++;
	return from == i || from == 0;
}

/* ':' is also in image:tag, host:port and path:path. */
static bool colon_tells(const struct word *w, size_t from, size_t colon, bool quoted)
{
	char before = from ? *w->at[from - 1] : ' ';

	return quoted || is_blank(word_at(w, colon + 1)) || is_blank(before) || before == '\n' ||
	       is_quote(before) || strchr("{,;=&?", before);
}

static bool is_path(char c)
{
	return c == '/' || c == '.' || c == '~';
}

/* "the password: see the wiki" */
static bool is_sentence(const struct word *w, size_t value, size_t end)
{
	struct word first = {w->at + value, end - value};

	return is_blank(word_at(w, end)) &&
	       word_among(&first, "see in from the as and or to not never must should is are was a "
				  "an it its use ask read set");
}

/* Where it was hidden to; @to: nothing was. @from, @to: the name. */
static size_t hide_value(const struct word *w, size_t from, size_t to, enum redact_name kind,
			 bool program)
{
	char outer = from ? *w->at[from - 1] : '\0', sign;
	struct quote closing, quote;
	size_t at = past_quote(w, to, &closing), end, value;

	if (closing.sign && word_at(w, at) == ']') /* environ["NAME"]= */
		at++;
	at = past_blanks(w, at);
	sign = word_at(w, at);
	if (sign != ':' && sign != '=')
		return to;
	if (sign == ':' && !colon_tells(w, from, at, closing.sign))
		return to;
	do /* "=>", "==", ":=" */
		at++;
	while (word_at(w, at) == '=' || word_at(w, at) == '>');
	value = past_blanks(w, at);
	value = past_quote(w, value, &quote);
	if (kind == REDACT_KEY && is_path(word_at(w, value)))
		return to;
	if (quote.sign)
		end = end_of_quoted(w, value, quote);
	else if (kind == REDACT_HEADER || (sign == ':' && is_at_start(w, from) && !program))
		end = end_of_line(w, value, is_quote(outer) ? outer : '\0');
	else if (is_at_start(w, from) && !program)
		end = w->len;
	else
		end = end_of_plain(w, value);
	if (sign == ':' && !is_at_start(w, from) && is_sentence(w, value, end))
		return to;
	word_hide(w, value, end);
	return end > to ? end : to;
}

/* ---- in a sentence ---- */

static bool is_word(const struct word *w, size_t from, size_t to, const char *list)
{
	struct word name = {w->at + from, to - from};

	return word_among(&name, list);
}

/* "the password is Ab12cd34": a word of eight characters or more, with letters and digits. */
static size_t hide_told(const struct word *w, size_t to)
{
	size_t at = past_blanks(w, to), end;
	bool digit = false, letter = false;

	if (at == to)
		return to;
	if (begins_at(w, at, "is ") || begins_at(w, at, "is:"))
		at = past_blanks(w, at + 3);
	for (end = at;
	     end < w->len && !isspace((unsigned char)*w->at[end]) && !is_quote(*w->at[end]);
	     end++) {
		digit = digit || isdigit((unsigned char)*w->at[end]);
		letter = letter || isalpha((unsigned char)*w->at[end]);
	}
	if (end - at < 8 || !digit || !letter || is_path(word_at(w, at)) || word_at(w, at) == '-')
		return to;
	word_hide(w, at, end);
	return end;
}

static size_t hide_behind(const struct word *w, size_t from, size_t to, bool program)
{
	enum redact_name kind = name_kind(w, from, to);
	size_t end;

	if (kind != REDACT_PLAIN) {
		end = hide_value(w, from, to, kind, program);
		if (end > to || kind != REDACT_SECRET)
			return end;
		return hide_told(w, to);
	}
	if (is_word(w, from, to, "Bearer bearer BEARER")) {
		size_t at = past_blanks(w, to);

		end = at;
		while (end < w->len && is_token_char(*w->at[end]))
			end++;
		if (at > to && end - at >= 4) {
			word_hide(w, at, end);
			return end;
		}
	}
	return to;
}

void redact_scan(const struct word *w, bool program)
{
	size_t at = 0, end;

	while (at < w->len) {
		char c = *w->at[at];

		if (c == ':' && begins_at(w, at, "://")) {
			at = hide_userinfo(w, at + 3);
			continue;
		}
		if (c == '-' && begins_at(w, at, "-----BEGIN ")) {
			at = hide_pem(w, at);
			continue;
		}
		if (!isalnum((unsigned char)c) && c != '_' &&
		    !(c == '\\' && escape_at(w, at, &(unsigned char){0}))) {
			at++;
			continue;
		}
		end = end_of_format(w, at);
		if (end > at) {
			word_hide(w, at, end);
			at = end;
			continue;
		}
		end = end_of_name(w, at);
		at = hide_behind(w, at, end, program);
	}
}
