/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jsontext: JSON that strangers send, read over its bytes: nothing is built, nothing allocated, and
 * each byte is looked at a fixed number of times. For what may be long; what is short and was
 * measured by jsontext_measure() may become a tree.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/reader.h"

/* A string as it stands there, without its quotes: borrowed. at NULL: none. */
struct jsontext {
	const char *at;
	size_t len;
	bool escaped; /* it has escapes, or may have */
};

/* White space, then this character: it is taken. False: another one, and @r is behind the space. */
bool jsontext_punctuation(struct reader *r, char c);

/* White space, then a string. -EBADMSG. What is between the quotes is not judged. */
int jsontext_string(struct reader *r, struct jsontext *ret);

/* White space, then the digits 0 to 9 of a number below 10^9, which nothing that belongs to a number
 * follows. -EBADMSG. */
int jsontext_small(struct reader *r, uint32_t *ret);

/* Only white space is left. */
bool jsontext_end(struct reader *r);

/*
 * The string with its escapes taken out, in @ret of @size bytes with a NUL behind it: -ENOBUFS. Of
 * ASCII alone: -EBADMSG for anything else, and for NUL.
 */
int jsontext_plain(const struct jsontext *t, char *ret, size_t size, size_t *ret_len);

/* Whether it is this word, of ASCII. */
bool jsontext_is(const struct jsontext *t, const char *word);

/* How deep and how many: counted over brackets and commas outside strings. More than this of what is
 * no JSON is possible, less is not. */
struct jsontext_size {
	size_t depth, values;
};
struct jsontext_size jsontext_measure(const void *data, size_t len);
