/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/redact_words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collect/redact.h"

/* The command line itself, and three shell texts, one in another. */
#define LEVELS 4

int words_new(size_t len, struct words **ret)
{
	struct words *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->chars_max = w->max = LEVELS * (len + 1);
	w->chars = calloc(w->chars_max, sizeof(*w->chars));
	w->list = calloc(w->max, sizeof(*w->list));
	if (!w->chars || !w->list) {
		words_free(w);
		return -ENOMEM;
	}
	*ret = w;
	return 0;
}

void words_free(struct words *w)
{
	if (!w)
		return;
	free(w->chars);
	free(w->list);
	free(w);
}

void words_clear(struct words *w)
{
	w->used = w->chars_used = 0;
}

bool words_add(struct words *w, char *text, size_t len)
{
	struct word *word = &w->list[w->used];

	if (w->used == w->max || len > w->chars_max - w->chars_used)
		return false;
	word->at = w->chars + w->chars_used;
	word->len = len;
	for (size_t i = 0; i < len; i++)
		word->at[i] = text + i;
	w->chars_used += len;
	w->used++;
	return true;
}

/* ---- shell text ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool is_operator(char c)
{
	return c && strchr("\n;&|()`{}<>", c);
}

/*
 * One word from @i on, without its quotes. What is in a quote that is never closed goes to the end
 * of the text, as a shell would wait for more.
 */
static size_t take_word(struct words *w, const struct word *text, size_t i)
{
	struct word *word = &w->list[w->used];
	char quote = '\0';

	word->at = w->chars + w->chars_used;
	word->len = 0;
	for (; i < text->len; i++) {
		char c = *text->at[i];

		if (!quote && (is_blank(c) || is_operator(c)))
			break;
		if (quote ? c == quote : c == '\'' || c == '"') {
			quote = quote ? '\0' : c;
			continue;
		}
		if (c == '\\' && quote != '\'' && i + 1 < text->len)
			i++;
		word->at[word->len++] = text->at[i];
	}
	w->chars_used += word->len;
	w->used++;
	return i;
}

int words_command(struct words *w, const struct word *text, size_t *at)
{
	size_t i = *at, first = w->used;

	/* All that is left fits, whatever its words are. */
	if (text->len - i > w->chars_max - w->chars_used || text->len - i > w->max - w->used)
		return -1;
	while (i < text->len && (is_blank(*text->at[i]) || is_operator(*text->at[i])))
		i++;
	while (i < text->len && !is_operator(*text->at[i])) {
		if (is_blank(*text->at[i]))
			i++;
		else
			i = take_word(w, text, i);
	}
	*at = i;
	return w->used > first;
}

/* ---- one word ---- */

bool word_begins(const struct word *w, const char *text, size_t len)
{
	if (w->len < len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (*w->at[i] != text[i])
			return false;
	return true;
}

bool word_is(const struct word *w, const char *text, size_t len)
{
	return w->len == len && word_begins(w, text, len);
}

size_t word_find(const struct word *w, size_t from, char c)
{
	while (from < w->len && *w->at[from] != c)
		from++;
	return from < w->len ? from : w->len;
}

struct word word_from(const struct word *w, size_t from)
{
	from = from < w->len ? from : w->len;
	return (struct word){w->at + from, w->len - from};
}

void word_hide(const struct word *w, size_t from, size_t to)
{
	for (size_t i = from; i < to && i < w->len; i++)
		*w->at[i] = REDACTED_BYTE;
}

bool word_among(const struct word *w, const char *list)
{
	while (*list) {
		size_t n = strcspn(list, " ");

		if (n && word_is(w, list, n))
			return true;
		list += n;
		list += strspn(list, " ");
	}
	return false;
}
