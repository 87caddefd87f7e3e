/* SPDX-License-Identifier: Apache-2.0 */
/* location: where an absolute path leads, and every name on the way there. */
#pragma once

#include <limits.h>
#include <stdbool.h>

struct answering;

struct location {
	int dir;  /* O_PATH: the last directory */
	int file; /* O_PATH: what has the name there; -1: nothing */
	char name[NAME_MAX + 1];
};

/*
 * One name that is looked up: in the directory @dir, where @fd has it (-1: nothing has). Both are
 * O_PATH, and borrowed. @is_dir: of @fd.
 */
typedef void (*location_seen_fn)(void *data, int dir, int fd, bool is_dir);

/*
 * Follows @path, symbolic links at its end too. @seen is called before a name is looked up for
 * good: whatever watches what it was given hears of every change from then on. Nothing is asked of
 * a filesystem that may not answer, which a link on the way can lead to: -EREMOTE (@a: see
 * answers_look_named(); NULL: all answer). 0, with *@ret to be cleared; -ENOENT, -ENOTDIR, -ELOOP,
 * ... when it leads nowhere, -EISDIR when to a directory.
 */
int location_find(const char *path, const struct answering *a, location_seen_fn seen, void *data,
		  struct location *ret);
void location_clear(struct location *l);
