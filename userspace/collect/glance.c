/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/glance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/effort.h"

struct glance {
	char path[64];
	int flags;
	int fd;
	int err;
	size_t size; /* to be read; 0: nothing */
	ssize_t len;
	char text[];
};

static void look(void *glance)
{
	struct glance *g = glance;

	g->fd = effort_open(g->path, g->flags);
	if (g->fd < 0) {
		g->err = -errno;
		return;
	}
	if (!g->size)
		return;
	g->len = effort_read(g->fd, g->text, g->size - 1);
	if (g->len < 0)
		g->err = -errno;
}

static void glance_free(void *glance)
{
	struct glance *g = glance;

	closep(&g->fd);
	free(g);
}

/* 0: *@ret is the caller's. */
static int glance(struct aside *aside, uint64_t key, const char *path, int flags, size_t size,
		  struct glance **ret)
{
	struct glance *g = calloc(1, sizeof(*g) + size);
	const struct aside_work work = {
		.key = key, .wait_ns = GLANCE_NS, .run = look, .free = glance_free, .data = g};
	int err;

	if (!g)
		return -ENOMEM;
	g->fd = -1;
	g->flags = flags;
	g->size = size;
	if (snprintf(g->path, sizeof(g->path), "%s", path) >= (int)sizeof(g->path)) {
		glance_free(g);
		return -ENAMETOOLONG;
	}
	effort.files += aside != NULL;
	err = aside_do(aside, &work);
	if (err == -ETIMEDOUT)
		return err;
	err = err ?: g->err;
	if (err) {
		glance_free(g);
		return err;
	}
	*ret = g;
	return 0;
}

int glance_open(struct aside *aside, uint64_t key, const char *path)
{
	struct glance *g;
	int err = glance(aside, key, path, O_PATH | O_CLOEXEC, 0, &g);
	int fd;

	if (err)
		return err;
	fd = TAKE_FD(g->fd);
	glance_free(g);
	return fd;
}

ssize_t glance_read(struct aside *aside, uint64_t key, const char *path, char *text, size_t size)
{
	struct glance *g;
	int err = glance(aside, key, path, O_RDONLY | O_CLOEXEC, size, &g);
	ssize_t len;

	if (err)
		return err;
	len = g->len;
	memcpy(text, g->text, len);
	text[len] = '\0';
	effort.bytes += aside ? (size_t)len : 0;
	glance_free(g);
	return len;
}
