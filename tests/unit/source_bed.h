/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_bed: what the tests of 'source' share. A bed has pins of its own; actors are real
 * processes, tagged before they do anything; all events are kept as they came.
 */
#pragma once

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "collect/source.h"

#define BED_BUFFER (4 << 20)
#define BED_SESSION 0x5e5510
#define BED_PATIENCE_MS 10000

struct bed {
	struct source *source;
	struct source_config config;
	char pin_dir[64];
	char why[1024];
	uint8_t *buffer;
	size_t used;
};

static inline void bed_drain(struct bed *b)
{
	size_t len;

	assert_true(BED_BUFFER - b->used >= EVENT_SIZE_MAX);
	assert_int_equal(source_read(b->source, b->buffer + b->used, BED_BUFFER - b->used, &len),
			 0);
	assert_int_equal(len % 8, 0);
	b->used += len;
	source_release(b->source);
}

/* As a program of root's sees it; the caller closes it. */
static inline int bed_map(const struct bed *b, const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/map_%s", b->pin_dir, name);
	fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	return fd;
}

static inline void bed_forget(struct bed *b)
{
	bed_drain(b);
	b->used = 0;
}

/* The next event after @previous (NULL: from the first); NULL at the end. */
static inline const struct event_header *bed_next(const struct bed *b, const void *previous)
{
	const struct event_header *h = previous;
	const uint8_t *at = h ? (const uint8_t *)h + h->size : b->buffer;

	return at < b->buffer + b->used ? (const void *)at : NULL;
}

/* The @n-th event of a type, from 0; of one process unless @tgid is 0. */
static inline const void *bed_find(const struct bed *b, uint16_t type, pid_t tgid, unsigned int n)
{
	const struct event_header *h = NULL;

	while ((h = bed_next(b, h)))
		if (h->type == type && (!tgid || h->actor.tgid == (uint32_t)tgid) && !n--)
			return h;
	return NULL;
}

static inline unsigned int bed_count(const struct bed *b, uint16_t type, pid_t tgid)
{
	unsigned int n = 0;

	while (bed_find(b, type, tgid, n))
		n++;
	return n;
}

static inline void bed_nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* Waits for the @n-th event of a type: what comes in softirq comes when it comes. */
static inline const void *bed_await(struct bed *b, uint16_t type, pid_t tgid, unsigned int n)
{
	const void *found;

	for (int ms = 0; ms < BED_PATIENCE_MS; ms += 2) {
		bed_drain(b);
		found = bed_find(b, type, tgid, n);
		if (found)
			return found;
		bed_nap();
	}
	fail_msg("no event of type %u (process %d, index %u)", type, tgid, n);
	return NULL;
}

struct actor {
	pid_t pid;
	int pidfd;
	int go;
};

/* A process that waits to be let go, then returns @play(@data) as its exit code. */
static inline struct actor actor_start(int (*play)(void *data), void *data)
{
	struct actor a;
	int p[2];
	char c;

	assert_int_equal(pipe(p), 0);
	a.pid = fork();
	assert_true(a.pid >= 0);
	if (!a.pid) {
		close(p[1]);
		if (read(p[0], &c, 1) != 1)
			_exit(99);
		close(p[0]);
		_exit(play(data));
	}
	close(p[0]);
	a.go = p[1];
	a.pidfd = syscall(SYS_pidfd_open, a.pid, 0);
	assert_true(a.pidfd >= 0);
	return a;
}

static inline void actor_go(struct actor *a)
{
	assert_int_equal(write(a->go, "", 1), 1);
	close(a->go);
}

static inline int actor_wait(struct actor *a)
{
	int status;

	assert_int_equal(waitpid(a->pid, &status, 0), a->pid);
	close(a->pidfd);
	return status;
}

/* A tagged actor, from beginning to end; returns its pid. Its exit code has to be 0. */
static inline pid_t bed_play(struct bed *b, int (*play)(void *data), void *data)
{
	struct tag tag = {.session = BED_SESSION, .task = 7};
	struct actor a = actor_start(play, data);

	assert_int_equal(source_tag(b->source, a.pidfd, &tag), 0);
	actor_go(&a);
	assert_int_equal(actor_wait(&a), 0);
	bed_drain(b);
	return a.pid;
}

static inline void bed_open(struct bed *b)
{
	int err = source_open(&b->config, &b->source, b->why, sizeof(b->why))
			  ?: source_attach(b->source, 0, b->why, sizeof(b->why));

	if (err)
		fail_msg("source_open: %s", b->why);
}

static inline void bed_close(struct bed *b)
{
	source_close(b->source);
	b->source = NULL;
}

/* Group set-up. Without the rights or the kernel for it all tests of the group skip. */
static inline int bed_setup(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return -1;
	b->buffer = malloc(BED_BUFFER);
	snprintf(b->pin_dir, sizeof(b->pin_dir), "/sys/fs/bpf/affiant-test-%d", getpid());
	b->config = (struct source_config){
		.pin_dir = b->pin_dir, .ring_bytes = 1 << 20, .max_tags = 4096};
	err = source_open(&b->config, &b->source, b->why, sizeof(b->why))
		      ?: source_attach(b->source, 0, b->why, sizeof(b->why));
	if (err && err != -EPERM && err != -ENOTSUP && err != -ENOENT) {
		fprintf(stderr, "source_open: %s\n", b->why);
		return -1;
	}
	if (err == -ENOTSUP) /* the verifier's word is worth reading */
		fprintf(stderr, "source_open: %s\n", b->why);
	*state = b;
	return 0;
}

static inline int bed_teardown(void **state)
{
	struct bed *b = *state;
	int err = 0;

	source_close(b->source);
	if (!access(b->pin_dir, F_OK))
		err = source_uninstall(b->pin_dir, b->why, sizeof(b->why));
	if (err)
		fprintf(stderr, "source_uninstall: %s\n", b->why);
	free(b->buffer);
	free(b);
	return err;
}

/* Begins every test. */
static inline struct bed *bed_get(void **state)
{
	struct bed *b = *state;

	if (!b->source) {
		print_message("skipped: %s\n", b->why);
		skip();
	}
	bed_forget(b);
	return b;
}
