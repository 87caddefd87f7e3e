/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subject: whether a living process still is what was recorded of its exec. The caller holds a
 * pidfd of it that is found alive afterwards: else the pid may be another's by now.
 */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <sys/types.h>

#include "collect/aside.h"
#include "collect/source.h"

/* Looking at one takes some 10 microseconds of the daemon's loop: 30,000 would be 0.6 s. */
#define SUBJECT_THREADS_MAX 1024
/* So many are looked at at once, whatever the turn has done before; the others as it has room for. */
#define SUBJECT_THREADS_STEP 32

/* How far a look at a process's threads has come. All zero: it has not begun. */
struct subject_look {
	DIR *tasks;
	size_t count;
	bool traced, seen;
};

/*
 * Whether a tracer is attached to any of its threads (/proc/PID/task/TID/status, TracerPid), not to
 * its leader alone. 0: *@ret says so, and @l is as at first. 1: the turn is to leave off
 * (base/effort.h), and the same call goes on in the next one. -ESRCH: it is gone. -E2BIG: it has more
 * than SUBJECT_THREADS_MAX threads. A tracer that comes and goes between two looks, or behind one
 * that is under way, is not seen; the look is made before and after the quote.
 */
int subject_traced(pid_t pid, struct subject_look *l, bool *ret);

/* Ends it early, or one that has not begun. */
void subject_look_clear(struct subject_look *l);

/* How many threads subject_traced() would look at. -ESRCH. */
int subject_threads(pid_t pid, unsigned int *ret);

struct subject_exec {
	pid_t pid;
	uint64_t session; /* for whom it is looked at */
	struct object_id id; /* of what it executed */
};

/*
 * Whether mm->exe_file, which /proc/PID/exe leads to, is the file that it executed (@exec->id, by
 * the kernel's own identity). When not, it was pointed elsewhere (PR_SET_MM_EXE_FILE).
 * -EAGAIN: it can't be seen now, since an exec is under way or the machine is busy. That it is proves nothing: it can be set back. What ran, the record of the exec
 * says, which an upgrade of the file meanwhile makes no less true. -ESRCH: gone, or without an
 * executable.
 */
int subject_executes(struct source *s, struct aside *aside, const struct subject_exec *exec,
		     bool *ret);
