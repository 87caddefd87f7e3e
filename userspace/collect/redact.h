/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact: secrets are cut out of argv before anything is written (trap 7). A flag ("--token") hides the argument
 * after it, and what follows '=' in its own; a pattern (POSIX extended regular expression) hides what its first
 * subexpression matches, or all of the match where it has none. What is hidden reads "[redacted]".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct redact;

/* -EINVAL: a pattern does not compile. The strings are copied. */
int redact_new(char *const *flags, size_t flags_count, char *const *patterns, size_t patterns_count,
	       struct redact **ret);
void redact_free(struct redact *r);

/*
 * One argument, NUL-terminated. NULL: nothing to hide. Else a new string, the caller's. *@next is kept from
 * argument to argument, false before the first.
 */
char *redact_argument(const struct redact *r, const char *argument, bool *next);
