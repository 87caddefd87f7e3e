/* SPDX-License-Identifier: Apache-2.0 */
/* redact_names: whether a name (of a flag, a variable, a member, a header) is that of a secret. */
#pragma once

#include <stdbool.h>

#include "collect/redact_words.h"

enum redact_name {
	REDACT_PLAIN,
	REDACT_KEY,    /* "some_key": a secret, unless its value is a path */
	REDACT_HEADER, /* whose value goes on to the end of its line: Authorization, Cookie */
	REDACT_SECRET,
};

/*
 * Of the characters of @w from @from to @to. Parts are told by '_', '-', '.' or a capital: apiKey,
 * client-secret, DB_PASSWORD. Names of what is about a secret (password-file, token_type,
 * no-password) are plain.
 */
enum redact_name redact_name(const struct word *w, size_t from, size_t to);

/* A character that names are made of. */
bool redact_name_char(char c);
