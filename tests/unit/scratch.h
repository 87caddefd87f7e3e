/* SPDX-License-Identifier: Apache-2.0 */
/* scratch: takes away a directory of a test's own, with all that is in it. */
#pragma once

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

static inline int scratch_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* 0, or what remove(3) said. Not into what is mounted there. */
static inline int scratch_remove(const char *path)
{
	return nftw(path, scratch_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
