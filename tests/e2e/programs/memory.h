/* SPDX-License-Identifier: Apache-2.0 */
/* memory: a victim in a memfd. */
#pragma once

#include "forge.h"

#include <sys/sendfile.h>

static inline int memory_copy(const char *path)
{
	int from = open(path, O_RDONLY | O_CLOEXEC), to = memfd_create("in-memory", 0);
	struct stat st;

	if (from < 0 || to < 0 || fstat(from, &st) ||
	    sendfile(to, from, NULL, st.st_size) != st.st_size)
		err(1, "%s", path);
	close(from);
	return to;
}

/* The same file by a descriptor that can't write; the other one is closed. */
static inline int memory_reopened(int fd)
{
	char link[32];
	int again;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	again = open(link, O_RDONLY);
	if (again < 0)
		err(1, "%s", link);
	close(fd);
	return again;
}
