/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact_rules: where programs take secrets on their command lines, as data. docs/operations.md
 * ("Secrets") has the same table; test_redact compares the two.
 */
#pragma once

#include <stddef.h>

/*
 * One row. @programs and @options are words parted by blanks.
 *
 * @when: the subcommand it is for ("create secret": these words, in this order, as the first that
 * are neither options nor, it may be, an option's value), or a flag that has to be there ("-b").
 * "" is always.
 *
 * @options: each is hidden, by what stands behind its name:
 *
 *	-x --long -long   its value, in its own word ("-xV", "--long=V") or in the next
 *	+-x +/p:          its value in its own word alone: "-x V" is something else
 *	#2 #last          that operand, counted behind @when
 *	#all              every operand
 *	?                 the word behind one that is a secret's name
 *
 * and how much of the value, by the sign behind the name: none: all of it; ':' '%' '/' ',' '=':
 * what is behind the first such sign in it, and nothing where there is none (all of it, with '!' at
 * the end); '~': what is behind "pass:" (openssl: it can be "env:NAME" or "file:PATH", too).
 *
 * @valued: short options whose values are no secrets, for "-sSuV" to be told from "-ouV"; NULL:
 * the program has no clusters of short options.
 *
 * @wraps: its first operand begins another command.
 */
struct redact_rule {
	const char *programs, *when, *options, *valued;
	int wraps;
};

extern const struct redact_rule redact_rules[];
extern const size_t redact_rules_count;

/* Programs that run a command among their arguments, parted by blanks. */
extern const char redact_wrappers[];
