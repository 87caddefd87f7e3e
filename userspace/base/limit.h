/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limit: bounds that ran out. Whoever meets one says so where it is met, in whatever thread, and
 * goes on with what is left; daemon/limits.h tells people of it: what is blind, and what to raise.
 */
#pragma once

#include <stdint.h>

enum limit {
	LIMIT_FILES,
	LIMIT_HOST_FILES,
	LIMIT_MEMORY,
	LIMIT_THREADS,
	LIMIT_INOTIFY_INSTANCES,
	LIMIT_INOTIFY_WATCHES,
	LIMIT_FANOTIFY_GROUPS,
	LIMIT_FANOTIFY_MARKS,
	LIMIT_FANOTIFY_QUEUE,
	LIMIT_MOUNTS,
	LIMIT_STUCK,
	LIMIT_TAGS,
	LIMIT_SESSIONS,
	LIMIT_ALL,
};

/* It ran out just now. Any thread. */
void limit_met(enum limit l);

/* When it did last, CLOCK_BOOTTIME; 0: never. */
uint64_t limit_met_ns(enum limit l);

/*
 * Meets what a negative errno tells by itself (-EMFILE, -ENFILE, -ENOMEM), or, with limit_as(), @of
 * where it is @meaning. Both return @err as it is.
 */
int limit_of(int err);
int limit_as(int err, int meaning, enum limit of);

/* Of inotify_init1(2) and fanotify_init(2): -EMFILE is @of, unless no descriptor is left at all. */
int limit_of_instances(int err, enum limit of);
