/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroups: the patterns of the selectors, in the kernel, and the states of the cgroups that were
 * there before them. Once started the kernel goes on by itself, without the daemon too.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct config_selector;
struct core;
struct cgroups;

/* -ENOMEM. */
int cgroups_new(struct core *c, struct cgroups **ret);
void cgroups_free(struct cgroups *g);

/*
 * From now on these patterns hold, and no others. cgroups_started() comes when what runs already
 * was taken: a daemon that dies in between leaves it all to the next one.
 */
int cgroups_start(struct cgroups *g);
void cgroups_started(struct cgroups *g);

/*
 * Walks again, beside the loop, after the kernel lost something. @found is called when that found
 * any.
 */
void cgroups_repair(struct cgroups *g, uint64_t now_ns, void (*found)(void *data), void *data);

/*
 * What takes the cgroup @path ("/system.slice/a.service/worker") or one above it, as the kernel has
 * it. NULL: nothing.
 */
const struct config_selector *cgroups_selector(const struct core *c, const char *path);
