/* SPDX-License-Identifier: Apache-2.0 */
/* memory: how much of the host's memory the ring takes when nobody said. */
#pragma once

#include <stdint.h>
#include <stdio.h>

#define MEMORY_RING_MIN (UINT32_C(8) << 20)
#define MEMORY_RING_MAX (UINT32_C(64) << 20)

/*
 * A power of two between the two above: less than a hundredth of the host's @total, and a quarter
 * at most of what this process's cgroups allow, @limit, since maps are charged to them. UINT64_MAX:
 * unknown, or no limit.
 */
uint32_t memory_ring_bytes(uint64_t total, uint64_t limit);

/* MemTotal of @meminfo, a stream of /proc/meminfo (proc(5)); UINT64_MAX when it says nothing. */
uint64_t memory_total(FILE *meminfo);

/*
 * The least of memory.max and memory.high of the cgroups that lead from @root, a directory of
 * cgroup v2, to that of @membership, a stream of /proc/self/cgroup (cgroups(7)). UINT64_MAX: none.
 */
uint64_t memory_limit(int root, FILE *membership);

/* memory_ring_bytes() of this host and this process. */
uint32_t memory_ring_default(int cgroup_root);
