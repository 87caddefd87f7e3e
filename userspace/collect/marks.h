/* SPDX-License-Identifier: Apache-2.0 */
/*
 * marks: which filesystems fanotify watches for execs. An event of a marked filesystem is opened in
 * this process, so that one whose server may never answer is not marked: FUSE, network filesystems,
 * and an overlay that an unprivileged user stacked himself, maybe on FUSE.
 *
 * Whoever may make a mount namespace chooses how many mounts are in it, and how often there is
 * another. So they are read beside the loop (aside.h), so many of one namespace and for so long of
 * one session; what is beyond that is not marked.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct aside;
struct hostmounts;
struct marks;

/* Of one mount namespace: mounts that are looked at, and filesystems that are marked. */
#define MARKS_LINES_MAX 16384
#define MARKS_FILESYSTEMS_MAX 1024

/*
 * 0: what was to be marked is. Else why not all is: the -errno of the first filesystem that was to
 * be and could not; -E2BIG: there were more than the above; -ESRCH: the process is gone;
 * -ETIMEDOUT: it takes longer than it may.
 */
typedef void (*marks_done)(void *context, uint64_t token, int err);

struct marks_config {
	int fanotify;        /* borrowed */
	struct aside *aside; /* likewise */
	struct hostmounts *mounts;
	marks_done done; /* from aside_collect() */
	void *context;
};

int marks_new(const struct marks_config *config, struct marks **ret);
void marks_free(struct marks *m);

/*
 * Has what process @tgid sees marked, for session @key, unless that was done within a second. @ns:
 * the inode of its mount namespace, if that is known; then this may ask nothing at all. @token:
 * given back when it is over, 0: nobody waits for that. -EBUSY: this session has had more than its
 * share (only without a token); -errno of aside_submit(); -ENOMEM. done() is not called then, nor
 * when nothing was to be done.
 */
int marks_add(struct marks *m, pid_t tgid, uint32_t ns, uint64_t key, uint64_t token);
int marks_remove_all(struct marks *m);
