/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact_words: a command line as words, whose characters are where they stand in argv: what is
 * hidden of a word, which may be quoted in a shell's text within another's, is hidden there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct word {
	char **at; /* where its characters are, quotes and backslashes left out */
	size_t len;
};

/* What the words of one argv, and of the shell texts in it, are kept in. */
struct words {
	char **chars;
	size_t chars_used, chars_max;
	struct word *list;
	size_t used, max;
};

/* For command lines of at most @len bytes, down to shell text in shell text. */
int words_new(size_t len, struct words **ret);
void words_free(struct words *w);
void words_clear(struct words *w);

/* A word of @len characters, one behind another. False: there is no room. */
bool words_add(struct words *w, char *text, size_t len);

/*
 * The next command of a shell's text: from *@at on, up to the end of the text, an operator or a
 * parenthesis; *@at is moved behind it. Its words are added to @w. 1; 0: there is no more; -1:
 * there is no room.
 */
int words_command(struct words *w, const struct word *text, size_t *at);

/* The character at @i, NUL behind the end. */
static inline char word_at(const struct word *w, size_t i)
{
	return i < w->len ? *w->at[i] : '\0';
}

bool word_is(const struct word *w, const char *text, size_t len);
bool word_begins(const struct word *w, const char *text, size_t len);
/* Where @c is, at or behind @from; the word's length: nowhere. */
size_t word_find(const struct word *w, size_t from, char c);
struct word word_from(const struct word *w, size_t from);
void word_hide(const struct word *w, size_t from, size_t to);

/*
 * Whether @w is one of the words of @list, parted by blanks.
 */
bool word_among(const struct word *w, const char *list);
