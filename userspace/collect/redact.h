/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact: secrets are cut out of argv before anything is written, the journal included: by what is
 * known of programs and of names (redact_command.h), and by what the configuration adds. There a
 * flag ("--token") hides the argument after it, and what follows '=' in its own; a pattern (POSIX
 * extended regular expression, case ignored) hides what its first subexpression matches, or all of
 * the match where it has none.
 *
 * In events a hidden byte is overwritten: nothing moves. In records what is hidden reads
 * "[redacted]".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define REDACTED_BYTE '\x1a' /* SUB: stands in for a character (ECMA-48) */
#define REDACTED_TEXT "[redacted]"

struct redact;

/*
 * @usual: with the rules that come with the program (redact_rules.h, redact_text.h). -EINVAL: a
 * pattern does not compile. None refers back (config). The strings are copied.
 */
int redact_new(bool usual, char *const *flags, size_t flags_count, char *const *patterns,
	       size_t patterns_count, struct redact **ret);
void redact_free(struct redact *r);

/* Arguments, each ended by NUL; the last one's may be missing. */
void redact_argv(const struct redact *r, char *argv, size_t len);

/*
 * The arguments of all execs in a batch, and all of an event that is not known. What is no event
 * ends it.
 */
void redact_events(const struct redact *r, void *events, size_t len);

/*
 * One argument of a redacted event as it is shown, NUL-terminated and the caller's; *@ret_hidden
 * says whether something was hidden. NULL: no memory.
 */
char *redact_text(const char *argument, size_t len, bool *ret_hidden);
