/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/redact_command.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "collect/redact.h"
#include "collect/redact_apply.h"
#include "collect/redact_names.h"
#include "collect/redact_rules.h"
#include "collect/redact_text.h"
#include "collect/redact_words.h"
#include "event.h"

#define DEPTH_MAX 3 /* of shell text in shell text: what is deeper is hidden unread */
/* Programs looked for in one command: each costs a walk through its words. */
#define PROGRAMS_MAX 4

/* The name of a program, and a rule for it. */
struct entry {
	const char *name;
	size_t len;
	const struct redact_rule *rule; /* NULL: it is a wrapper */
};

struct redact_commands {
	struct words *words;
	struct entry *index; /* by name */
	size_t index_count;
};

/* ---- the programs of a command ---- */

/* Without directories, and without what scripts are called behind their name. */
static struct word base_of(const struct word *w)
{
	struct word base = *w;

	for (size_t i = w->len; i-- > 0;) {
		if (*w->at[i] != '/')
			continue;
		base = word_from(w, i + 1);
		break;
	}
	if (base.len > 3 && *base.at[base.len - 3] == '.')
		for (size_t i = 0; i < 2; i++)
			if (!memcmp((char[]){*base.at[base.len - 2], *base.at[base.len - 1]},
				    i ? "py" : "js", 2)) {
				base.len -= 3;
				break;
			}
	return base;
}

/* As the index is sorted. */
static int compare(const struct word *w, const struct entry *e)
{
	for (size_t i = 0; i < w->len && i < e->len; i++)
		if (*w->at[i] != e->name[i])
			return (unsigned char)*w->at[i] - (unsigned char)e->name[i];
	return w->len < e->len ? -1 : w->len > e->len;
}

/* The first entry of that name; the end: there is none. */
static size_t find_program(const struct redact_commands *r, const struct word *program)
{
	size_t from = 0, to = r->index_count;

	while (from < to) {
		size_t middle = (from + to) / 2;

		if (compare(program, &r->index[middle]) > 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from < r->index_count && !compare(program, &r->index[from]) ? from : r->index_count;
}

/* Whether there are any for it. *@ret_wraps: it runs a command. */
static bool apply_rules(const struct redact_commands *r, const struct command *c,
			const struct word *program, bool *ret_wraps)
{
	bool known = false;

	*ret_wraps = false;
	for (size_t i = find_program(r, program);
	     i < r->index_count && !compare(program, &r->index[i]); i++) {
		if (r->index[i].rule)
			redact_apply(c, r->index[i].rule);
		known = known || r->index[i].rule;
		*ret_wraps = *ret_wraps || !r->index[i].rule || r->index[i].rule->wraps;
	}
	return known;
}

static bool is_assignment(const struct word *w)
{
	size_t i = 0;

	while (isalnum((unsigned char)word_at(w, i)) || word_at(w, i) == '_')
		i++;
	return i && word_at(w, i) == '=' && !isdigit((unsigned char)word_at(w, 0));
}

/* Behind the name in "ProxyCommand=sshpass", "GIT_SSH_COMMAND=ssh", "--rsh=ssh". */
static struct word named(const struct word *w)
{
	size_t sign = word_find(w, 0, '=');

	return sign < w->len ? word_from(w, sign + 1) : *w;
}

/* @anywhere: a known program may stand behind any words, and behind the name of an option. */
static void apply_programs(const struct redact_commands *r, const struct command *c, bool anywhere)
{
	size_t programs = 0, first = 0;
	struct word command, option;
	bool wraps;

	if (anywhere && word_find(&c->words[0], 0, '=') < c->words[0].len) {
		command = named(&c->words[0]);
		option = base_of(&command);
		apply_rules(r, c, &option, &wraps);
	}
	while (first + 1 < c->count && is_assignment(&c->words[first]))
		first++;
	for (size_t i = first; i < c->count && programs < PROGRAMS_MAX; i++) {
		struct word program = base_of(&c->words[i]);
		const struct command rest = {c->words + i, c->count - i};

		programs += apply_rules(r, &rest, &program, &wraps);
		anywhere = anywhere || wraps;
		if (!anywhere)
			break;
	}
}

/* ---- flags whose names say it ---- */

/* "--api-key", "-token", "--apiKey": the value is in the next word. */
static enum redact_name announces(const struct word *w)
{
	size_t from = 0;

	while (word_at(w, from) == '-')
		from++;
	/* "-pass" is another word for many things */
	if (!from || (from == 1 && w->len < 6) || !redact_is_name(w, from))
		return REDACT_PLAIN;
	return redact_name(w, from, w->len);
}

static void hide_announced(const struct command *c)
{
	enum redact_name announced = REDACT_PLAIN;

	for (size_t i = 0; i < c->count; i++) {
		const struct word *w = &c->words[i];
		enum redact_name next = announces(w);

		if (announced == REDACT_SECRET)
			word_hide(w, 0, w->len);
		else if (announced == REDACT_HEADER) /* or a file of cookies */
			redact_value(w, "=");
		announced = next;
	}
}

/* ---- what a shell's echo gives to a program ---- */

static bool ends_with(const struct word *w, size_t to, const char *end)
{
	size_t len = strlen(end);
	struct word rest = {w->at + (to > len ? to - len : 0), to > len ? len : 0};

	for (size_t i = 0; i < rest.len; i++)
		if (tolower((unsigned char)*rest.at[i]) != end[i])
			return false;
	return rest.len == len;
}

/* "--password-stdin", "RESTIC_PASSWORD_COMMAND": @w up to @to names a secret, and then @end. */
static bool names_way(const struct word *w, size_t to, const char *end)
{
	size_t from = 0;

	while (word_at(w, from) == '-')
		from++;
	if (!ends_with(w, to, end) || to <= from + strlen(end) + 1)
		return false;
	return redact_name(w, from, to - strlen(end) - 1) == REDACT_SECRET;
}

/* What it prints is a secret's command: @w holds it, behind the option @before or its own name. */
static bool tells_secret(const struct word *before, const struct word *w)
{
	size_t sign = word_find(w, 0, '=');

	if (sign < w->len && (names_way(w, sign, "command") || names_way(w, sign, "cmd")))
		return true;
	return before &&
	       (names_way(before, before->len, "command") || names_way(before, before->len, "cmd"));
}

/* It reads a secret where others read what they work on. */
static bool reads_secret(const struct command *c)
{
	static const char flags[] = "--with-token --passphrase-fd";
	struct word program = base_of(&c->words[0]);

	if (word_among(&program, "chpasswd kinit"))
		return true;
	for (size_t i = 1; i < c->count; i++) {
		const struct word *w = &c->words[i];

		if (names_way(w, w->len, "stdin") || word_among(w, flags))
			return true;
	}
	return false;
}

/* But for what the shell puts in: "$TOKEN". */
static void hide_said(const struct command *c)
{
	struct word command = named(&c->words[0]), program = base_of(&command);

	if (!word_among(&program, "echo printf"))
		return;
	for (size_t i = 1; i < c->count; i++) {
		const struct word *w = &c->words[i];

		if (word_at(w, 0) != '$' && word_at(w, 0) != '%' &&
		    !word_among(w, "-n -e -E -ne -en --"))
			word_hide(w, 0, w->len);
	}
}

/* ---- shell text ---- */

static bool has_blank(const struct word *w)
{
	for (size_t i = 0; i < w->len; i++)
		if (isspace((unsigned char)*w->at[i]))
			return true;
	return false;
}

static void take(struct redact_commands *r, struct command c, bool text, unsigned int depth);

/* "... | docker login --password-stdin": whether the command behind the pipe at @at reads a secret. */
static bool is_piped_secret(struct words *w, const struct word *text, size_t at)
{
	size_t used = w->used, chars_used = w->chars_used;
	bool found = false;

	if (word_at(text, at) == '|' && word_at(text, at + 1) != '|' &&
	    words_command(w, text, &at) > 0)
		found = reads_secret(&(struct command){w->list + used, w->used - used});
	w->used = used;
	w->chars_used = chars_used;
	return found;
}

/*
 * Every argument with a blank may be text for a shell: who knows what a program does with it.
 * @secret: what it prints is one.
 */
static void take_text(struct redact_commands *r, const struct word *text, bool secret,
		      unsigned int depth)
{
	struct words *w = r->words;
	size_t used = w->used, chars_used = w->chars_used, at = 0;
	int more;

	if (depth == DEPTH_MAX) {
		word_hide(text, 0, text->len);
		return;
	}
	while ((more = words_command(w, text, &at)) > 0) {
		const struct command c = {w->list + used, w->used - used};

		if (secret || is_piped_secret(w, text, at))
			hide_said(&c);
		take(r, c, true, depth + 1);
		w->used = used;
		w->chars_used = chars_used;
	}
	if (more < 0)
		word_hide(text, at, text->len);
}

static void take(struct redact_commands *r, struct command c, bool text, unsigned int depth)
{
	apply_programs(r, &c, text);
	hide_announced(&c);
	for (size_t i = 0; i < c.count; i++)
		if (has_blank(&c.words[i]))
			take_text(r, &c.words[i],
				  tells_secret(i ? &c.words[i - 1] : NULL, &c.words[i]), depth);
}

/* By the name of the executable, where argv[0] is another: "exec -a". */
static void take_executable(struct redact_commands *r, const struct command *c, const char *exe,
			    size_t exe_len)
{
	struct word program = base_of(&c->words[0]), name;
	size_t used = r->words->used;
	bool wraps;

	if (!exe_len || word_is(&program, exe, exe_len) ||
	    !words_add(r->words, (char *)exe, exe_len))
		return;
	name = base_of(&r->words->list[used]);
	apply_rules(r, c, &name, &wraps);
}

/* "-c", "-lc": what follows is a program's text. */
static bool is_text_flag(const struct word *w)
{
	return w->len > 1 && word_at(w, 0) == '-' && word_at(w, 1) != '-' &&
	       word_at(w, w->len - 1) == 'c';
}

void redact_commands_hide(struct redact_commands *r, const char *exe, size_t exe_len, char *argv,
			  size_t len)
{
	struct command c = {.words = r->words->list};

	words_clear(r->words);
	for (size_t at = 0, n; at < len; at += n + 1) {
		n = strnlen(argv + at, len - at);
		if (!words_add(r->words, argv + at, n))
			memset(argv + at, REDACTED_BYTE, n);
		else
			c.count++;
	}
	if (!c.count)
		return;
	take(r, c, false, 0);
	take_executable(r, &c, exe, exe_len);
	for (size_t i = 0; i < c.count; i++)
		redact_scan(&c.words[i], i && is_text_flag(&c.words[i - 1]));
}

/* ---- the index ---- */

static int by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = memcmp(x->name, y->name, x->len < y->len ? x->len : y->len);

	return order ?: (x->len > y->len) - (x->len < y->len);
}

/* All of @names. False: no memory. */
static bool add_names(struct redact_commands *r, const char *names, const struct redact_rule *rule)
{
	for (; *names; names = redact_next(names)) {
		struct entry *more = reallocarray(r->index, r->index_count + 1, sizeof(*r->index));

		if (!more)
			return false;
		r->index = more;
		more[r->index_count++] = (struct entry){names, strcspn(names, " "), rule};
	}
	return true;
}

int redact_commands_new(struct redact_commands **ret)
{
	struct redact_commands *r = calloc(1, sizeof(*r));
	bool done;

	if (!r)
		return -ENOMEM;
	done = !words_new(EVENT_DATA_MAX, &r->words) && add_names(r, redact_wrappers, NULL);
	for (size_t i = 0; done && i < redact_rules_count; i++)
		done = add_names(r, redact_rules[i].programs, &redact_rules[i]);
	if (!done) {
		redact_commands_free(r);
		return -ENOMEM;
	}
	qsort(r->index, r->index_count, sizeof(*r->index), by_name);
	*ret = r;
	return 0;
}

void redact_commands_free(struct redact_commands *r)
{
	if (!r)
		return;
	words_free(r->words);
	free(r->index);
	free(r);
}
