/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/subject.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/effort.h"
#include "collect/glance.h"
#include "collect/object.h"

/*
 * A number of a thread's status, whatever the thread is called (its name is escaped). @name:
 * "\nName:\t". -ESRCH: the thread is gone.
 */
static int number_of(int directory, const char *path, const char *name, long *ret)
{
	char text[4096], *found;
	_cleanup_close_ int fd = -1;
	ssize_t len;

	fd = effort_openat(directory, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	len = effort_read(fd, text, sizeof(text) - 1);
	if (len < 0)
		return -errno;
	text[len] = '\0';
	found = strstr(text, name);
	return found && sscanf(found + strlen(name), "%ld", ret) == 1 ? 0 : -EBADMSG;
}

/* 0: nobody. It is in the first lines. */
static int tracer_of(int tasks, const char *tid, long *ret)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/status", tid);
	return number_of(tasks, path, "\nTracerPid:\t", ret);
}

int subject_threads(pid_t pid, unsigned int *ret)
{
	char path[32];
	long threads;
	int err;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	err = number_of(AT_FDCWD, path, "\nThreads:\t", &threads);
	if (!err)
		*ret = threads;
	return err;
}

int subject_traced(pid_t pid, bool *ret)
{
	_cleanup_closedir_ DIR *tasks = NULL;
	const struct dirent *entry;
	bool traced = false, seen = false;
	char path[32];
	size_t n = 0;
	long tracer;
	int err;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = effort_opendir(path);
	if (!tasks)
		return errno == ENOENT ? -ESRCH : -errno;
	while ((entry = effort_readdir(tasks))) {
		if (entry->d_name[0] == '.')
			continue;
		if (n == SUBJECT_THREADS_MAX)
			return -E2BIG;
		err = tracer_of(dirfd(tasks), entry->d_name, &tracer);
		if (err && err != -ESRCH)
			return err;
		n++;
		if (err)
			continue; /* that thread ended meanwhile */
		traced = traced || tracer;
		seen = true;
	}
	if (!seen)
		return -ESRCH;
	*ret = traced;
	return 0;
}

int subject_executes(struct source *s, struct aside *aside, const struct subject_exec *exec,
		     bool *ret)
{
	_cleanup_close_ int fd = -1;
	struct object_id now;
	char path[32];
	int err;

	snprintf(path, sizeof(path), "/proc/%d/exe", exec->pid);
	fd = glance_open(aside, exec->session, path);
	if (fd == -ETIMEDOUT || fd == -EAGAIN)
		return -EAGAIN;
	if (fd < 0)
		return fd == -ENOENT ? -ESRCH : fd;
	err = source_object_id(s, fd, &now);
	if (err)
		return err;
	*ret = object_id_same(&now, &exec->id);
	return 0;
}
