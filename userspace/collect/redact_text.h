/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact_text: secrets that show by themselves, in whatever argument and program: NAME=VALUE,
 * "name": "value", headers, URLs with a user's password, private keys, and formats of keys.
 * The table of formats is in docs/operations.md, too; test_redact compares.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "collect/redact_words.h"

struct redact_format {
	const char *begins; /* case counts */
	size_t least;       /* characters behind it, of [A-Za-z0-9_-.~+/=] */
	const char *whose;
};

extern const struct redact_format redact_formats[];
extern const size_t redact_formats_count;

/*
 * In time that grows with the text's length alone. @program: it is a program's text, where a value
 * ends at a blank; else the value of NAME=VALUE is all that follows.
 */
void redact_scan(const struct word *w, bool program);
