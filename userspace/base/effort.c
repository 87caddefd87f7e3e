/* SPDX-License-Identifier: Apache-2.0 */
#include "base/effort.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limit.h"

_Thread_local struct effort effort;

/* What keeps a file from being opened is told of, whoever asked for it. */
static void note(bool is_open)
{
	if (!is_open)
		(void)limit_of(-errno);
}

static _Thread_local struct {
	bool is;
	struct effort until;
	uint64_t cpu_ns;
} bound;

void effort_bound(const struct effort *until, uint64_t cpu_until_ns)
{
	bound.is = true;
	bound.until = *until;
	bound.cpu_ns = cpu_until_ns;
}

void effort_unbound(void)
{
	bound.is = false;
}

bool effort_goes_on(void)
{
	return !bound.is || (effort.files < bound.until.files && effort.bytes < bound.until.bytes &&
			     effort.entries < bound.until.entries &&
			     clock_ns(CLOCK_THREAD_CPUTIME_ID) < bound.cpu_ns);
}

void effort_walk(uint64_t entries)
{
	effort.entries += entries;
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

FILE *effort_fopen(const char *path)
{
	FILE *f = fopen(path, "re");

	effort.files++;
	note(f);
	return f;
}

char *effort_gets(char *line, int size, FILE *f)
{
	char *got = fgets(line, size, f);

	effort.bytes += got ? strlen(got) : 0;
	effort.entries++;
	return got;
}

ssize_t effort_getline(char **line, size_t *size, FILE *f)
{
	ssize_t n = getline(line, size, f);

	effort.bytes += n > 0 ? (size_t)n : 0;
	effort.entries++;
	return n;
}

ssize_t effort_readlinkat(int dir, const char *path, char *to, size_t size)
{
	effort.files++;
	return readlinkat(dir, path, to, size);
}

DIR *effort_opendir(const char *path)
{
	DIR *d = opendir(path);

	effort.files++;
	note(d);
	return d;
}

DIR *effort_fdopendir(int fd)
{
	effort.files++;
	return fdopendir(fd);
}

struct dirent *effort_readdir(DIR *d)
{
	effort.entries++;
	return readdir(d);
}
