/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runas: a session for another user, opened by root. This process becomes that user before it is
 * tagged, so that no image of the session ever has root's power; what opens the session stays root,
 * beside it, and is no descendant of it.
 */
#pragma once

#include <sys/types.h>

struct runas {
	uid_t uid;
	gid_t gid;
	char *home, *name; /* owned; NULL: the user has no entry */
};

/*
 * "NAME", "UID" (with the groups of its entry), or "UID:GID" (no other groups). -ENOENT: no such
 * user; -EINVAL: that is root; -EPERM: who calls is not root.
 */
int runas_find(const char *text, struct runas *ret);
void runas_clear(struct runas *r);

/*
 * Becomes @r and has @open, in a process that stays root, open the session with this process's
 * pidfd. Returns what @open returned, or -errno: then this process may be that user already, and
 * must not go on. @open says itself what went wrong.
 */
int runas_open(const struct runas *r, int (*open)(void *data, int pidfd), void *data);
