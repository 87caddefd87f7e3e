/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/glance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
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

/*
 * How long the calling thread may wait: on a busy machine a look takes its time, and agents that keep
 * others waiting take a tenth of it at most, however many they are.
 */
static _Thread_local struct {
	uint64_t left_ns, at_ns;
	struct {
		uint64_t key, until_ns;
	} vain[64]; /* who was waited for in vain lately */
} patience;

#define VAIN(key) (patience.vain[(key) % (sizeof(patience.vain) / sizeof(patience.vain[0]))])
#define VAIN_NS CLOCK_SECOND_NS

static bool was_in_vain(uint64_t key, uint64_t now)
{
	return VAIN(key).key == key && now < VAIN(key).until_ns;
}

/* Half of what is left: who comes next is waited for, too. */
static uint64_t patience_for(uint64_t key, uint64_t now)
{
	uint64_t left = patience.left_ns + (now - patience.at_ns) / 10;

	patience.left_ns = left < GLANCE_PATIENCE_NS ? left : GLANCE_PATIENCE_NS;
	patience.at_ns = now;
	if (was_in_vain(key, now) || patience.left_ns / 2 < GLANCE_NS)
		return GLANCE_NS;
	return patience.left_ns / 2;
}

static void patience_spend(uint64_t key, uint64_t began, bool in_vain)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC), waited = now - began;
	uint64_t beyond = waited > GLANCE_NS ? waited - GLANCE_NS : 0;

	patience.left_ns -= beyond < patience.left_ns ? beyond : patience.left_ns;
	if (!in_vain)
		return;
	VAIN(key).key = key;
	VAIN(key).until_ns = now + VAIN_NS;
}

/* 0: *@ret is the caller's. */
static int glance(struct aside *aside, uint64_t key, const char *path, int flags, size_t size,
		  struct glance **ret)
{
	struct glance *g = calloc(1, sizeof(*g) + size);
	uint64_t began = clock_ns(CLOCK_MONOTONIC);
	const struct aside_work work = {.key = key,
					.wait_ns = patience_for(key, began),
					.run = look,
					.free = glance_free,
					.data = g};
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
	patience_spend(key, began, err == -ETIMEDOUT);
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
