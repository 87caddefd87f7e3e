/* SPDX-License-Identifier: Apache-2.0 */
/* aside_impl: what aside.c (who asks, and the threads) and aside_room.c (who may have one) share. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "collect/aside.h"

enum state { WAITING, RUNNING, OVER };

struct job {
	struct aside_work work;
	uint32_t user;
	uint64_t until_ns;
	enum state state;
	bool told, given_up;
	uint64_t began_ns,
		cpu_ns; /* once it runs: when, and of its thread by then, which is @clock's */
	clockid_t clock;
	bool stuck;   /* it runs, and waits for somebody */
	bool awaited; /* by aside_do() */
	struct job *prev, *next;
};

/* Of the one that asks and of each thread: whoever is last frees it. */
struct pool {
	pthread_mutex_t lock; /* all that follows */
	pthread_cond_t work, over;
	struct job *jobs; /* in the order of their coming; those that run, too: */
	struct job *running[ASIDE_THREADS_MAX];
	size_t running_count, waiting;
	unsigned int threads, references;
	atomic_bool stop;
	int event_fd;
	aside_user_fn *user_of;
	void *users;
};

struct running {
	size_t all, of_key, of_user; /* that may hang */
	size_t stuck, stuck_of_key, stuck_of_user;
};

/* The lock is held for all of these. */
struct running aside_count(const struct pool *p);
bool aside_is_room(const struct pool *p, const struct job *j);
/* Neither now nor soon. */
bool aside_is_blocked(const struct pool *p, const struct aside_work *w);
bool aside_may_run_awaited(const struct pool *p);
uint32_t aside_user(const struct pool *p, const struct aside_work *w);
