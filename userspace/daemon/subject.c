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

void subject_look_clear(struct subject_look *l)
{
	if (l->tasks)
		closedir(l->tasks);
	*l = (struct subject_look){0};
}

/* The next one. 1: there is none. */
static int look_at_thread(struct subject_look *l)
{
	const struct dirent *entry;
	long tracer;
	int err;

	do {
		entry = effort_readdir(l->tasks);
	} while (entry && entry->d_name[0] == '.');
	if (!entry)
		return 1;
	if (l->count++ == SUBJECT_THREADS_MAX)
		return -E2BIG;
	err = tracer_of(dirfd(l->tasks), entry->d_name, &tracer);
	if (err == -ESRCH)
		return 0; /* that thread ended meanwhile */
	if (err)
		return err;
	l->traced = l->traced || tracer;
	l->seen = true;
	return 0;
}

static int begin_look(pid_t pid, struct subject_look *l)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	l->tasks = effort_opendir(path);
	if (!l->tasks)
		return errno == ENOENT ? -ESRCH : -errno;
	return 0;
}

int subject_traced(pid_t pid, struct subject_look *l, bool *ret)
{
	int err = l->tasks ? 0 : begin_look(pid, l);

	for (int n = 0; !err; n++) {
		if (n >= SUBJECT_THREADS_STEP && !effort_goes_on())
			return 1;
		err = look_at_thread(l);
	}
	if (err == 1)
		err = l->seen ? 0 : -ESRCH;
	if (!err)
		*ret = l->traced;
	subject_look_clear(l);
	return err;
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
