/* SPDX-License-Identifier: Apache-2.0 */
/* alive: whether a process that the kernel told of is still there. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Whether @pidfd, a descriptor of @tgid, is of the process that began at @start (CLOCK_BOOTTIME),
 * and that lives: a pid is given again.
 */
bool alive_is(int pidfd, uint32_t tgid, uint64_t start);
