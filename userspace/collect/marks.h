/* SPDX-License-Identifier: Apache-2.0 */
/*
 * marks: which filesystems fanotify watches for execs. An event of a marked filesystem is opened in
 * this process, so that one whose server may never answer is not marked: FUSE, network filesystems,
 * and an overlay that an unprivileged user stacked himself, maybe on FUSE.
 */
#pragma once

#include <sys/types.h>

struct marks;

/* @fanotify is borrowed. */
int marks_new(int fanotify, struct marks **ret);
void marks_free(struct marks *m);

/*
 * Marks what process @tgid sees. A mount namespace is looked at again after a second. 0; -ESRCH:
 * the process is gone; or the -errno of the first filesystem that was to be marked and could not.
 */
int marks_add(struct marks *m, pid_t tgid);
int marks_remove_all(struct marks *m);
