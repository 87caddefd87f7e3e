/* SPDX-License-Identifier: Apache-2.0 */
/* redact_apply: one rule of redact_rules.h, and one command that it is for. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "collect/redact_rules.h"
#include "collect/redact_words.h"

struct command {
	struct word *words;
	size_t count;
};

/* @c: from the program's own name on. */
void redact_apply(const struct command *c, const struct redact_rule *rule);

/* What of a value is hidden by the sign behind an option's name in a rule. */
void redact_value(const struct word *value, const char *sign);

/* The next word of a list that is parted by blanks. */
const char *redact_next(const char *list);

/* Whether all of @w from @from on can be a name, and there is something of it. */
bool redact_is_name(const struct word *w, size_t from);
