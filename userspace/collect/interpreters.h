/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interpreters: the options of the programs that run a file which their command line names.
 *
 * What a table does not know ends the search, so an option is listed if all versions of the
 * interpreter, from those of Debian 12 on, read it in the same way or refuse it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * A letter, or a word, stands for a flag, unless a mark follows it:
 *	:  takes a value: the rest of the argument (after =), or else the next argument
 *	=  takes the rest of the argument (after =), if any
 *	?  as =, but alone it may or may not take the next argument: the search ends
 *	>  as :, and the value is the script
 *	<  as >, unless an option that follows says that there is none
 *	!  then there is no script, or not one that can be told
 * Letters only:
 *	+  takes the rest of the argument, which must be there
 *	&  takes the next argument, and more letters may follow (bash -oe pipefail)
 *	,  takes the next argument, if it is the last letter: shells differ where it is not
 *	#  takes digits, or a colon and the rest; after digits more letters may follow (perl -0777ne)
 * Words only:
 *	*  begins with this
 */
#define INTERPRETER_FLAG ' '

enum interpreter_traits {
	TAKES_PLUS = 1 << 0,           /* +e turns off what -e turns on */
	DASH_ENDS_OPTIONS = 1 << 1,    /* "-" is as "--"; elsewhere it is standard input */
	DASHES_END_SEARCH = 1 << 2,    /* no script follows "--" */
	LETTERS_ALONE = 1 << 3,        /* no letter follows a flag: -ab is not -a -b */
	WORDS_FIRST = 1 << 4,          /* no word may follow a letter */
	WORDS_AFTER_ONE_DASH = 1 << 5, /* -norc is --norc */
	NO_EQUALS = 1 << 6,            /* a word's value is the next argument, never after = */
	LIKE_NODE = 1 << 7, /* a letter stands alone; "_" is "-"; "no-" turns a flag off */
	ANY_TAIL = 1 << 8,  /* of the name: "ld-linux-x86-64.so.2" */
};

/* What the first argument that is no option must look like to be a script. */
enum interpreter_operand {
	OPERAND_ANY,
	OPERAND_PATHLIKE, /* has a dot or a slash, and no URL's scheme: other words are commands */
	OPERAND_WITH_SLASH, /* other names are searched for elsewhere */
	OPERAND_JAVA,       /* ends in .java: others are classes */
	OPERAND_NONE,
};

struct interpreter {
	const char *names;    /* a version may follow: "python" stands for python3.11 too */
	const char *tails;    /* what may follow the version: "t" for python3.13t */
	const char *letters;  /* NULL: words follow one dash (java) */
	const char *words;    /* separated by single spaces */
	const char *commands; /* words before the script; with ! there is none */
	enum interpreter_operand operand;
	unsigned int traits;
};

/* The interpreter whose executable has this name, or NULL. */
const struct interpreter *interpreter_find(const char *file);

/*
 * Whether @list (of a struct interpreter) has the word of @len bytes, and then its mark, which is
 * INTERPRETER_FLAG where there is none.
 */
bool interpreter_lists(const char *list, const char *word, size_t len, char *ret_mark);
