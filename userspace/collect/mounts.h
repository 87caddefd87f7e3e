/* SPDX-License-Identifier: Apache-2.0 */
/* mounts: lines of mountinfo (proc(5)). */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

struct mount_line {
	unsigned int major, minor; /* the kernel's own s_dev */
	bool nosuid, idmapped;
	char *point;
	char *type;
};

/* Decoded in place: pointers go into @line. False: it is none. */
bool mount_line_parse(char *line, struct mount_line *ret);

/* That of a process, or NULL; 0: our own. */
FILE *mounts_open(pid_t tgid);

/*
 * Whether a filesystem is mounted in our own mount namespace, too: then one with privilege here did
 * that. What is not can be the doing of anybody, in a user namespace of his own.
 */
bool mounts_have(unsigned int major, unsigned int minor);

/* By its type: a filesystem that holds executables and answers by itself. */
bool mounts_local(const char *type);
