/* SPDX-License-Identifier: Apache-2.0 */
/*
 * effort: what a thread has asked of the file system, counted where it asks. An agent chooses how
 * much there is to read of itself: mounts, cgroups, sockets, threads. daemon/turn.h bounds what the
 * event loop reads at once.
 */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct effort {
	uint64_t files;   /* opened */
	uint64_t bytes;   /* read */
	uint64_t entries; /* of directories and lists, walked */
};

/* Of the calling thread, since it began. */
extern _Thread_local struct effort effort;

/*
 * What the calling thread may have come to before it is to leave off, and go on another time:
 * effort_goes_on() says so. A thread that nobody bounded goes on for ever.
 */
void effort_bound(const struct effort *until, uint64_t cpu_until_ns);
void effort_unbound(void);
bool effort_goes_on(void);

/* Entries that no function below has walked: of a table of our own, of a map in the kernel. */
void effort_walk(uint64_t entries);

/*
 * As open(2), openat(2), read(2), readlinkat(2), fopen(3) with "re", fgets(3), getline(3),
 * opendir(3), fdopendir(3), readdir(3): counted.
 */
int effort_open(const char *path, int flags);
int effort_openat(int dir, const char *path, int flags);
ssize_t effort_read(int fd, void *buffer, size_t size);
FILE *effort_fopen(const char *path);
char *effort_gets(char *line, int size, FILE *f);
ssize_t effort_getline(char **line, size_t *size, FILE *f);
ssize_t effort_readlinkat(int dir, const char *path, char *to, size_t size);
DIR *effort_opendir(const char *path);
DIR *effort_fdopendir(int fd);
struct dirent *effort_readdir(DIR *d);
