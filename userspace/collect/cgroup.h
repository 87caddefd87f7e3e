/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup: paths of cgroup ids in the unified hierarchy, and the container that a path shows. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CONTAINER_ID_SIZE 65

struct cgroup_names;

/* @root: where cgroup2 is mounted. -ENOENT, -EPERM as open(2). */
int cgroup_names_new(const char *root, struct cgroup_names **ret);
void cgroup_names_free(struct cgroup_names *c);

/*
 * The path below the root, "/" for the root itself; borrowed until the next call. NULL: that cgroup
 * is gone, and was not asked for lately.
 */
const char *cgroup_path(struct cgroup_names *c, uint64_t id);

/*
 * The last run of exactly 64 lower-case hexadecimal digits: so engines name containers. "" if there
 * is none.
 */
void cgroup_container(const char *path, char ret[static CONTAINER_ID_SIZE]);
