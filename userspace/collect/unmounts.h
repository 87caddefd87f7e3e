/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unmounts: whether a filesystem of which something is remembered went away. The next one on the
 * same device, or with the same anonymous number, can have files with the same numbers and times,
 * of which other bytes are to be told.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct unmounts;

/* -errno: as inotify_init1(2). */
int unmounts_new(struct unmounts **ret);
void unmounts_free(struct unmounts *u);

/*
 * Tells of the end of the filesystem @device from now on. @fd is open on it, or on an overlay of
 * it, whose end is then told instead; so is the end of the file. NULL for @u: -ENOTSUP. -E2BIG: so
 * many are watched already; -ENOSPC: as inotify_add_watch(2).
 */
int unmounts_watch(struct unmounts *u, int fd, uint32_t device);

/* Calls @ended for each device that may be another filesystem's since the last call. */
void unmounts_look(struct unmounts *u, void (*ended)(void *data, uint32_t device), void *data);
