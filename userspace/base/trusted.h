/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trusted: who could change what a path names. As OpenSSH's StrictModes: a file and each directory
 * above it, up to /, belong to root or to the user who runs this, and nobody else may write there.
 *
 * Writable by a group passes if that is the owner's own: its primary one, which nobody else is in,
 * and no access list names others. A directory that all may write to passes if it is sticky, as
 * /tmp: what root or the user has in it nobody else can rename or remove.
 */
#pragma once

#include <limits.h>
#include <stddef.h>

#define TRUSTED_WHY_SIZE (PATH_MAX + 128)

/*
 * Opens @path, relative to the directory @dir (a descriptor, or AT_FDCWD), with @flags and
 * O_CLOEXEC, step by step, so that what was checked is what is opened. Symbolic links are followed:
 * they, and where they lead, are checked as all else. With O_DIRECTORY it is for files of ours, and
 * may not be a sticky one that others can write to.
 * The descriptor; -EPERM and @ret_why (@size bytes) says which path it is, and what to do; else an
 * errno, and @ret_why is what that means.
 */
int trusted_open(int dir, const char *path, int flags, char *ret_why, size_t size);

/* The same of what @fd refers to alone, called @path. 0 or -EPERM. */
int trusted_check(int fd, const char *path, char *ret_why, size_t size);
