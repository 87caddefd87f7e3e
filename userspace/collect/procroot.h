/* SPDX-License-Identifier: Apache-2.0 */
/*
 * procroot: paths as a process sees them. Everything below a process's root may be its own doing,
 * so what these functions open they open as O_PATH: no FIFO waits, no device wakes, no server is
 * asked to open.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct answering;

/* O_PATH of the root directory of a process. -ESRCH: it is gone. */
int procroot_open(pid_t tgid);

/*
 * @path, from @cwd unless it is absolute (both as the process sees them), below the directory
 * @root. Returns an O_PATH descriptor or -errno. Magic links are not followed. @cached: only what
 * the kernel has in memory, without asking a filesystem (which can be a server that never answers):
 * -EAGAIN when that is not enough.
 */
int procroot_resolve(int root, const char *cwd, const char *path, bool cached);

/*
 * The same with what is to be got from the filesystems, as long as each directory on the way
 * answers by itself (answers.h): -EREMOTE where one may not. What is found may itself be another's.
 * -ELOOP: too many links, or too deep.
 */
int procroot_walk(int root, const char *cwd, const char *path, const struct answering *a);
