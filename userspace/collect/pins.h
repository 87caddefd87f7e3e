/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pins: the directory on a bpffs that keeps maps, programs and links alive while no daemon runs.
 * Names are flat: map_*, prog_*, link_*. It is locked by flock(2) on the directory itself, since a
 * bpffs holds no regular file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <bpf/libbpf.h>

struct pins;

/*
 * Makes @dir when it is missing (@create) and locks it. -EBUSY: locked by another; -ENOENT: no such
 * directory, or not on a bpffs. @why is filled on failure, here and below.
 */
int pins_open(const char *dir, bool create, struct pins **ret, char *why, size_t why_size);
void pins_close(struct pins *p);

/* A descriptor of what is pinned as <kind>_<name>, or -errno (-ENOENT: nothing). */
int pins_get(const struct pins *p, const char *kind, const char *name);
int pins_put(const struct pins *p, const char *kind, const char *name, int fd);
int pins_remove(const struct pins *p, const char *kind, const char *name);

/* 0: one is pinned that can stand for @map. -ENOENT: none is. -ESTALE: its shape differs. */
int pins_look(const struct pins *p, const struct bpf_map *map);

/*
 * Before @map is created: takes the pinned one instead, if there is one. Its size is kept, -ESTALE
 * when its shape differs.
 */
int pins_reuse_map(const struct pins *p, struct bpf_map *map, char *why, size_t why_size);

/*
 * Removes what @keep (NULL: nothing is kept) refuses: links first, which end tracing, then programs
 * and maps.
 */
int pins_sweep(const struct pins *p, bool (*keep)(const char *kind, const char *name));

/* After a sweep of everything. */
int pins_remove_directory(const struct pins *p);
