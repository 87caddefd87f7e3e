/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe: what this kernel (or its sandbox) grants, found by trying to load and attach, never by its
 * version.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Missing in Debian 12's <linux/bpf.h>: since 6.7 (859051dd165e) and 6.16 (4b82b181a26c). */
#define PROBE_CGROUP_UNIX_CONNECT 49
#define PROBE_CGROUP_UNIX_SENDMSG 50
#define PROBE_F_PREORDER (1u << 6)

/*
 * The root of cgroup2 as a descriptor, at @path or where it is mounted. -ENOENT with @why when
 * there is none.
 */
int probe_cgroup_root(const char *path, char *why, size_t why_size);

/* What nothing works without: BTF, the initial pid namespace, the right to load programs. */
int probe_baseline(char *why, size_t why_size);

/* A socket-address program of that attach type can be attached. */
bool probe_hook(int cgroup_fd, int attach_type, unsigned int flags);

/* The end of that function of the kernel can be traced. */
bool probe_function(const char *name);

/* Such a program may call bpf_get_retval(), which tells that another one refused. */
bool probe_retval(void);

/* A program may call bpf_loop(). */
bool probe_loop(void);

/* The kernel has that tracepoint, for programs of BTF. */
bool probe_tracepoint(const char *name);
