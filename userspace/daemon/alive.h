/* SPDX-License-Identifier: Apache-2.0 */
/* alive: whether a process that the kernel told of is still there. */
#pragma once

#include <stdint.h>

#include "collect/aside.h"

struct alive_process {
	int pidfd; /* a descriptor of @tgid */
	uint32_t tgid;
	uint64_t start; /* CLOCK_BOOTTIME */
};

/*
 * 1: @p's descriptor is of the process that began at @p's start, and that lives: a pid is given
 * again. 0: it is not. -EAGAIN: one is there that lets nobody look at it now (collect/glance.h,
 * which says what @aside and @key are).
 */
int alive_is(struct aside *aside, uint64_t key, const struct alive_process *p);
