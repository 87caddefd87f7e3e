/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup: paths of cgroup ids in the unified hierarchy, and the container that a path shows. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTAINER_ID_SIZE 65

struct cgroup_names;

/* @root: where cgroup2 is mounted. -ENOENT, -EPERM as open(2). */
int cgroup_names_new(const char *root, struct cgroup_names **ret);
void cgroup_names_free(struct cgroup_names *c);

/* What is known of a cgroup besides its id. */
struct cgroup_name {
	const char *path;    /* below the root, "/" for the root itself */
	bool container_root; /* only root can have made what cgroup_container() finds in it */
};

/* Borrowed until the next call. NULL: that cgroup is gone, and was not asked for lately. */
const struct cgroup_name *cgroup_name(struct cgroup_names *c, uint64_t id);

/*
 * The container that a path shows: of its outermost component that has a run of exactly 64
 * lower-case hexadecimal digits, the last such run. So engines name containers, and what is made
 * within a container is that container's. "" if there is none. Returns how many bytes of the path
 * lie above that component.
 */
size_t cgroup_container(const char *path, char ret[static CONTAINER_ID_SIZE]);
