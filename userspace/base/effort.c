/* SPDX-License-Identifier: Apache-2.0 */
#include "base/effort.h"

#include <fcntl.h>
#include <unistd.h>

_Thread_local struct effort effort;

int effort_open(const char *path, int flags)
{
	effort.files++;
	return open(path, flags);
}

int effort_openat(int dir, const char *path, int flags)
{
	effort.files++;
	return openat(dir, path, flags);
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
	effort.files++;
	return fopen(path, "re");
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
	effort.files++;
	return opendir(path);
}

struct dirent *effort_readdir(DIR *d)
{
	effort.entries++;
	return readdir(d);
}
