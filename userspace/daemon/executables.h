/* SPDX-License-Identifier: Apache-2.0 */
/*
 * executables: selectors that name one. The kernel matches by the directory that the path leads to
 * and the name there, so that a file which is put in another's place is met at once. What leads
 * elsewhere (a link, a directory in the place of another) is heard of by inotify, and looked for
 * every five seconds; in between, nobody knew: a Gap record says so.
 */
#pragma once

#include <stdbool.h>

#include "daemon/core.h"

struct executables;

/* @moved: called when a path has led elsewhere, by inotify: something may run there by now. */
int executables_new(struct core *c, void (*moved)(void *data), void *data,
		    struct executables **ret);
void executables_free(struct executables *x);

/* A selector of CONFIG_SELECT_EXE, borrowed. */
int executables_add(struct executables *x, const struct config_selector *by);

/* Tells the kernel of each once more: what its matches join may be another by now (joining.h). */
void executables_tell(struct executables *x);
/* Looks at all of them. Returns whether the kernel was told something new. */
bool executables_look(struct executables *x);

/* Whether the kernel is to match by it. */
bool executables_has(const struct executables *x, const struct selector_exe_key *key);
/* Whether it would take what stands there. */
bool executables_takes(const struct executables *x, const struct config_selector *by,
		       const struct selector_exe_key *place);

/* Those that had gaps or may have some: @ret_count of them, in malloc'd memory that refers to @x. */
Affiant__V1__SelectorGap **executables_gaps(const struct executables *x, size_t *ret_count);
