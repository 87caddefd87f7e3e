/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain: the files that one exec opens (script, interpreter, ELF loader), from fanotify's
 * FAN_OPEN_EXEC descriptors, joined to the exec by pid, order and object identity. Marks are on the
 * filesystems that sessions' processes see.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "collect/marks.h"

#include "event.h"

struct chain;

/*
 * The step that became the process's executable is always there, as the kernel's own descriptor of
 * it (good even when the process is gone): CHAIN_EXECUTABLE when it was named to execve,
 * CHAIN_INTERPRETER when scripts led to it.
 */
enum chain_kind { CHAIN_SCRIPT, CHAIN_INTERPRETER, CHAIN_LOADER, CHAIN_EXECUTABLE };

struct chain_step {
	enum chain_kind kind;
	int fd;     /* O_RDONLY, as the kernel opened it: taken by the caller */
	char *path; /* by /proc/self/fd at the time, a hint for people; owned by the caller */
};

#define CHAIN_STEPS_MAX 16

/*
 * @wanted: whether that process is of a session, asked for each event; others are let go at once, or
 * where @tagged_late, which says that an exec itself may make it one, soon after.
 * @identify: source_object_id().
 */
struct aside;

struct chain_config {
	struct aside *aside; /* looks at processes and mounts; NULL: whoever asks does */
	bool (*wanted)(void *context, pid_t tgid);
	int (*identify)(void *context, int fd, struct object_id *ret);
	void *context;
	bool tagged_late;
	size_t queue_max; /* events kept in all; beyond it the oldest go and are counted */
	struct hostmounts *mounts;
	marks_done watched;
};

/* -ENOTSUP, -EPERM: fanotify refuses; then digests come from /proc/PID/exe alone. */
int chain_new(const struct chain_config *config, struct chain **ret);
void chain_free(struct chain *c);
int chain_fd(const struct chain *c);

/* Marks the filesystems that process @tgid sees, as far as they hold executables: marks_add(). */
int chain_watch(struct chain *c, pid_t tgid, uint32_t ns, uint64_t key, uint64_t token);
/* No session lives: removes all marks, so that nobody else's execs cost anything. */
int chain_unwatch_all(struct chain *c);

/*
 * Reads what fanotify has, and lets go what is old, until the turn is to leave off (base/effort.h);
 * does not wait for more, but each event is an open(2) by the kernel, of the same file: an overlay
 * over a network filesystem that went away can hold it (docs/operations.md). 1: not all that
 * chain_expect() found is read.
 */
int chain_read(struct chain *c);

/*
 * What was executed by now opened what is queued by now: it has to be read before chain_take() for
 * that.
 */
void chain_expect(struct chain *c);

/*
 * The steps of the exec that @exec tells of, in the order they were opened; steps of earlier execs
 * of that process are dropped. Returns how many (at most CHAIN_STEPS_MAX), 0 when nothing matches,
 * or -errno.
 */
int chain_take(struct chain *c, const struct event_exec *exec,
	       struct chain_step ret[static CHAIN_STEPS_MAX]);

/* Events that fanotify (queue overflow) or the bound dropped, in all. */
uint64_t chain_lost(const struct chain *c);
