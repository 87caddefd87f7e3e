/* SPDX-License-Identifier: Apache-2.0 */
/*
 * effort: what a thread has asked of the file system, counted where it asks. An agent chooses how
 * much there is to read of itself: mounts, cgroups, sockets, threads. daemon/turn.h bounds what the
 * event loop reads at once.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <dirent.h>
#include <sys/types.h>

struct effort {
	uint64_t files;   /* opened */
	uint64_t bytes;   /* read */
	uint64_t entries; /* of directories and lists, walked */
};

/* Of the calling thread, since it began. */
extern _Thread_local struct effort effort;

/* As open(2), openat(2), read(2), pread(2), fopen(3) with "re", getline(3), opendir(3), readdir(3): counted. */
int effort_open(const char *path, int flags);
int effort_openat(int dir, const char *path, int flags);
ssize_t effort_read(int fd, void *buffer, size_t size);
ssize_t effort_pread(int fd, void *buffer, size_t size, off_t offset);
FILE *effort_fopen(const char *path);
ssize_t effort_getline(char **line, size_t *size, FILE *f);
DIR *effort_opendir(const char *path);
struct dirent *effort_readdir(DIR *d);
