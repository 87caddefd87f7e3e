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
/* The same as a descriptor, or -errno. */
int mounts_open_fd(pid_t tgid);

/* By its type: a filesystem that holds executables and answers by itself. */
bool mounts_local(const char *type);
