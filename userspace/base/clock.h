/* SPDX-License-Identifier: Apache-2.0 */
/* clock: the kernel's clocks (clock_gettime(2)) in nanoseconds, as every number named _ns is. */
#pragma once

#include <stdint.h>
#include <time.h>

#define CLOCK_SECOND_NS 1000000000ull

static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * CLOCK_SECOND_NS + (uint64_t)t.tv_nsec;
}

static inline struct timespec clock_timespec(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / CLOCK_SECOND_NS),
				 .tv_nsec = (long)(ns % CLOCK_SECOND_NS)};
}
