/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subject: whether a living process still is what was recorded of its exec. The caller holds a
 * pidfd of it that is found alive afterwards: else the pid may be another's by now.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "collect/source.h"

/* Looking at one takes some 10 microseconds, and the daemon's loop waits: 30,000 would be 0.6 s. */
#define SUBJECT_THREADS_MAX 1024

/*
 * Whether a tracer is attached to any of its threads (/proc/PID/task/TID/status, TracerPid), not to
 * its leader alone. -ESRCH: it is gone. -E2BIG: it has more than SUBJECT_THREADS_MAX threads. A tracer that comes and goes between two looks is not seen;
 * the look is made before and after the quote.
 */
int subject_traced(pid_t pid, bool *ret);

enum subject_object {
	SUBJECT_SAME, /* nothing about the file has changed since the exec */
	/*
	 * that very file, but something about it changed (its removal is enough), or its filesystem
	 * would not show it (overlayfs): its bytes have to be looked at
	 */
	SUBJECT_TOUCHED,
	/* /proc/PID/exe leads to another file: it was pointed elsewhere (PR_SET_MM_EXE_FILE) */
	SUBJECT_OTHER,
};

/*
 * Compares the executable with @executed, by the kernel's own identity of both. @ret_fd: O_PATH, to
 * be closed by the caller. -ESRCH: gone, or without an executable.
 */
int subject_object(struct source *s, pid_t pid, const struct object_id *executed,
		   enum subject_object *ret, struct object_id *ret_now, int *ret_fd);
