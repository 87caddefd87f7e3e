/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/redact_apply.h"

#include <ctype.h>
#include <string.h>

#include "collect/redact_names.h"

/* ---- how much of a value ---- */

void redact_value(const struct word *value, const char *sign)
{
	static const char pass[] = "pass:";
	size_t at;

	if (*sign == '\0' || *sign == ' ') {
		word_hide(value, 0, value->len);
		return;
	}
	if (*sign == '~') {
		if (word_begins(value, pass, sizeof(pass) - 1))
			word_hide(value, sizeof(pass) - 1, value->len);
		return;
	}
	at = word_find(value, 0, *sign);
	if (*sign == '/' && at == 0) /* "/nolog": nobody's password */
		return;
	if (at < value->len)
		word_hide(value, at + 1, value->len);
	else if (sign[1] == '!')
		word_hide(value, 0, value->len);
}

/* ---- one option of a rule ---- */

/* A name without the sign behind it. */
static size_t name_len(const char *option)
{
	size_t len = strcspn(option, " ");

	if (len && option[len - 1] == '!')
		len--;
	if (len > 1 && strchr(":%/,=~", option[len - 1]) && option[0] != '+')
		len--;
	return len;
}

static bool is_short(const char *option, size_t len)
{
	return len == 2 && option[0] == '-';
}

/*
 * How many words were used: 0: @words[0] is not that option; 1: it was, or held its value; 2: the
 * value was in the next.
 */
static size_t take_option(const struct word *words, size_t count, const char *option, bool clusters)
{
	bool attached = *option == '+';
	const char *name = option + attached;
	size_t len = name_len(option) - attached;
	struct word value;

	if (!word_begins(words, name, len))
		return 0;
	if (words->len == len) {
		if (attached || count < 2)
			return attached ? 0 : 1;
		redact_value(&words[1], name + len);
		return 2;
	}
	value = word_from(words, len);
	if (word_at(&value, 0) == '=')
		value = word_from(&value, 1);
	else if (!attached && !(clusters && is_short(name, len)))
		return 0; /* another, longer one */
	redact_value(&value, attached ? "" : name + len);
	return 1;
}

const char *redact_next(const char *option)
{
	option += strcspn(option, " ");
	return option + strspn(option, " ");
}

static size_t take_options(const struct word *words, size_t count, const struct redact_rule *rule)
{
	size_t used = 0;

	for (const char *o = rule->options; !used && *o; o = redact_next(o))
		if (*o != '#' && *o != '?')
			used = take_option(words, count, o, rule->valued);
	return used;
}

/* "-sSu bob:x": the letters before the last one take no value. As take_option(). */
static size_t take_cluster(const struct word *words, size_t count, const struct redact_rule *rule)
{
	for (size_t i = 1; i < words->len; i++) {
		char letter[3] = {'-', *words->at[i], '\0'};
		struct word value = word_from(words, i + 1);

		if (!isalnum((unsigned char)letter[1]))
			return 0;
		for (const char *o = rule->options; *o; o = redact_next(o)) {
			bool attached = *o == '+';

			if (strncmp(o + attached, letter, 2) || name_len(o) != 2u + attached)
				continue;
			if (value.len) {
				redact_value(&value, o + attached + 2);
				return 1;
			}
			if (attached || count < 2)
				return 1;
			redact_value(&words[1], o + 2);
			return 2;
		}
		if (strchr(rule->valued, letter[1]))
			return value.len ? 1 : 2;
	}
	return 0;
}

/* ---- operands ---- */

bool redact_is_name(const struct word *w, size_t from)
{
	for (size_t i = from; i < w->len; i++)
		if (!redact_name_char(*w->at[i]) && !strchr("/:", *w->at[i]))
			return false;
	return from < w->len;
}

static bool names_secret(const struct word *w)
{
	return redact_is_name(w, 0) && redact_name(w, 0, w->len) != REDACT_PLAIN;
}

static void take_operand(struct word *w, size_t number, const struct redact_rule *rule)
{
	for (const char *o = rule->options; *o; o = redact_next(o)) {
		if (*o != '#')
			continue;
		if (!strncmp(o, "#all", 4))
			redact_value(w, o + 4);
		else if (isdigit((unsigned char)o[1]) && (size_t)(o[1] - '0') == number)
			redact_value(w, o + 2);
	}
}

static bool has_option(const struct redact_rule *rule, const char *what)
{
	size_t len = strlen(what);

	for (const char *o = rule->options; *o; o = redact_next(o))
		if (!strncmp(o, what, len))
			return true;
	return false;
}

/* ---- a rule ---- */

static bool has_flag(const struct command *c, const char *flag)
{
	for (size_t i = 1; i < c->count; i++) {
		const struct word *w = &c->words[i];

		if (word_is(w, flag, strlen(flag)))
			return true;
		if (word_at(w, 0) == '-' && word_at(w, 1) != '-' && flag[2] == '\0' &&
		    word_find(w, 1, flag[1]) < w->len)
			return true;
	}
	return false;
}

/*
 * Behind the words of @when; 0: they are not there. A word behind an option may be its value.
 */
static size_t behind_when(const struct command *c, const char *when)
{
	size_t i = 1;

	if (*when == '-')
		return has_flag(c, when) ? 1 : 0;
	while (*when && i < c->count) {
		const struct word *w = &c->words[i++];
		size_t len = strcspn(when, " ");

		if (word_is(w, when, len))
			when = redact_next(when);
		else if (word_at(w, 0) != '-' && word_at(&c->words[i - 2], 0) != '-')
			return 0;
	}
	return *when ? 0 : i;
}

void redact_apply(const struct command *c, const struct redact_rule *rule)
{
	size_t behind = behind_when(c, rule->when), operands = 0, used;
	struct word *last = NULL;
	bool names = has_option(rule, "?");

	if (!behind)
		return;
	for (size_t i = 1; i < c->count; i += used) {
		struct word *w = &c->words[i];

		used = take_options(w, c->count - i, rule);
		if (!used && rule->valued && word_at(w, 0) == '-' && word_at(w, 1) != '-')
			used = take_cluster(w, c->count - i, rule);
		if (used)
			continue;
		used = 1;
		if (word_at(w, 0) == '-' && w->len > 1)
			continue;
		if (rule->wraps)
			return;
		if (names && i + 1 < c->count && names_secret(w)) {
			word_hide(&c->words[i + 1], 0, c->words[i + 1].len);
			used = 2;
		}
		if (i >= behind) {
			take_operand(w, ++operands, rule);
			last = w;
		}
	}
	if (last && has_option(rule, "#last"))
		word_hide(last, 0, last->len);
}
