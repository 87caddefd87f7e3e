/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/unmounts.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/limit.h"

/* Filesystems with programs on them; of what is on more, nothing is remembered. */
#define DEVICES_MAX 256

struct unmounts {
	int inotify;
	size_t count;
	struct {
		uint32_t device;
		int watch;
	} watched[DEVICES_MAX];
};

int unmounts_new(struct unmounts **ret)
{
	struct unmounts *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return -ENOMEM;
	u->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (u->inotify < 0) {
		err = limit_of_instances(-errno, LIMIT_INOTIFY_INSTANCES);
		free(u);
		return err;
	}
	*ret = u;
	return 0;
}

void unmounts_free(struct unmounts *u)
{
	if (!u)
		return;
	closep(&u->inotify);
	free(u);
}

/*
 * A watch on any file keeps no filesystem from being unmounted, and the kernel tells its end before
 * the device can be mounted again (fsnotify_sb_delete()).
 */
int unmounts_watch(struct unmounts *u, int fd, uint32_t device)
{
	char path[32];
	int watch;

	if (!u)
		return -ENOTSUP;
	for (size_t i = 0; i < u->count; i++)
		if (u->watched[i].device == device)
			return 0;
	if (u->count == DEVICES_MAX)
		return -E2BIG;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	watch = inotify_add_watch(u->inotify, path, IN_DELETE_SELF);
	if (watch < 0)
		return limit_as(-errno, -ENOSPC, LIMIT_INOTIFY_WATCHES);
	u->watched[u->count].device = device;
	u->watched[u->count++].watch = watch;
	return 0;
}

/* The watch went, with the filesystem or with the file alone. @watch -1: any may have gone. */
static void end(struct unmounts *u, int watch, void (*ended)(void *data, uint32_t device),
		void *data)
{
	size_t kept = 0;

	for (size_t i = 0; i < u->count; i++)
		if (watch == -1 || u->watched[i].watch == watch)
			ended(data, u->watched[i].device);
		else
			u->watched[kept++] = u->watched[i];
	u->count = kept;
}

void unmounts_look(struct unmounts *u, void (*ended)(void *data, uint32_t device), void *data)
{
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	const struct inotify_event *e;
	ssize_t len;

	while (u && (len = read(u->inotify, buffer, sizeof(buffer))) > 0)
		for (ssize_t at = 0; at < len; at += sizeof(*e) + e->len) {
			e = (const void *)(buffer + at);
			if (e->mask & (IN_IGNORED | IN_Q_OVERFLOW))
				end(u, e->mask & IN_IGNORED ? e->wd : -1, ended, data);
		}
}
