/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shebang: what made a file the script of an exec. The kernel's events do not say which of the
 * files that a process opened for execution led to which exec, but it writes the interpreter's name
 * of each level into argv (fs/binfmt_script.c), which must be what the files say themselves.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "event.h"

#define SHEBANG_MAX 256 /* BINPRM_BUF_SIZE: the kernel looks no further */

struct shebang {
	char interpreter[SHEBANG_MAX];
	bool has_argument;
};

/* The first line, by the kernel's rules. False: the file begins otherwise. */
bool shebang_parse(const char *head, size_t len, struct shebang *ret);

/*
 * Goes through the levels of an exec, from the executable outwards. Begins with *@at = 0; for each
 * script moves on: 1: it fits and a further level must follow; 0: it fits, and is what execve was
 * asked for; -ENOENT: it is not of this exec.
 */
int shebang_follow(const struct event_exec *exec, const struct shebang *script, unsigned int *at);
