/* SPDX-License-Identifier: Apache-2.0 */
#include "base/effort.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/limit.h"

_Thread_local struct effort effort;

/* What keeps a file from being opened is told of, whoever asked for it. */
static void note(bool is_open)
{
	if (!is_open)
		(void)limit_of(-errno);
}

int effort_open(const char *path, int flags)
{
	int fd = open(path, flags);

	effort.files++;
	note(fd >= 0);
	return fd;
}

int effort_openat(int dir, const char *path, int flags)
{
	int fd = openat(dir, path, flags);

	effort.files++;
	note(fd >= 0);
	return fd;
}

ssize_t effort_read(int fd, void *buffer, size_t size)
{
	ssize_t n = read(fd, buffer, size);

	effort.bytes += n > 0 ? (size_t)n : 0;
	return n;
}

ssize_t effort_pread(int fd, void *buffer, size_t size, off_t offset)
{
	ssize_t n = pread(fd, buffer, size, offset);

	effort.bytes += n > 0 ? (size_t)n : 0;
	return n;
}

FILE *effort_fopen(const char *path)
{
	FILE *f = fopen(path, "re");

	effort.files++;
	note(f);
	return f;
}

ssize_t effort_getline(char **line, size_t *size, FILE *f)
{
	ssize_t n = getline(line, size, f);

	effort.bytes += n > 0 ? (size_t)n : 0;
	effort.entries++;
	return n;
}

DIR *effort_opendir(const char *path)
{
	DIR *d = opendir(path);

	effort.files++;
	note(d);
	return d;
}

struct dirent *effort_readdir(DIR *d)
{
	effort.entries++;
	return readdir(d);
}
