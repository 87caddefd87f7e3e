/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/aside.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utlist.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/effort.h"
#include "base/limit.h"
#include "base/thread.h"
#include "collect/aside_impl.h"

#define STUCK_NS (CLOCK_SECOND_NS / 50)
#define STOP_NS (CLOCK_SECOND_NS / 10) /* for threads that only have to be told that it is over */

struct aside {
	struct pool *pool;
};

static void job_free(struct job *j)
{
	if (j->work.free)
		j->work.free(j->work.data);
	free(j);
}

/* The lock is held, and given back. */
static void leave(struct pool *p)
{
	bool last = !--p->references;

	pthread_cond_broadcast(&p->over);
	pthread_mutex_unlock(&p->lock);
	if (!last)
		return;
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->over);
	pthread_mutex_destroy(&p->lock);
	closep(&p->event_fd);
	free(p);
}

/* ---- the threads ---- */

/* Thousands may wait: only those for which there may be room are looked at more closely. */
static struct job *next_job(const struct pool *p)
{
	static const struct job anyones = {.user = ASIDE_NOBODY};
	bool room = aside_is_room(p, &anyones);
	struct job *j;

	DL_FOREACH (p->jobs, j) {
		if (j->state != WAITING || j->told)
			continue;
		if (j->awaited && aside_may_run_awaited(p))
			return j;
		if ((room || j->work.wait_ns == ASIDE_ENDS) && aside_is_room(p, j))
			return j;
	}
	return NULL;
}

static void say(const struct pool *p)
{
	(void)eventfd_write(p->event_fd, 1);
}

static void not_running(struct pool *p, const struct job *j)
{
	size_t i = 0;

	while (p->running[i] != j)
		i++;
	p->running[i] = p->running[--p->running_count];
}

/* The lock is held; not while it runs. */
static void run(struct pool *p, struct job *j)
{
	j->state = RUNNING;
	j->began_ns = clock_ns(CLOCK_MONOTONIC);
	(void)pthread_getcpuclockid(pthread_self(), &j->clock);
	j->cpu_ns = clock_ns(j->clock);
	p->running[p->running_count++] = j;
	p->waiting--;
	pthread_mutex_unlock(&p->lock);
	j->work.run(j->work.data);
	pthread_mutex_lock(&p->lock);
	j->state = OVER;
	not_running(p, j);
	if (j->given_up || p->stop) {
		DL_DELETE(p->jobs, j);
		job_free(j);
		pthread_cond_broadcast(&p->over);
	} else if (j->awaited) {
		pthread_cond_broadcast(&p->over);
	} else {
		say(p);
	}
	/* Another one of its key may have waited for it. */
	pthread_cond_signal(&p->work);
}

/* One that was stuck has come back, and another one took its place. */
static bool is_surplus(const struct pool *p)
{
	return p->threads - aside_count(p).stuck > ASIDE_THREADS;
}

static void *work(void *pool)
{
	struct pool *p = pool;
	struct job *j;

	pthread_mutex_lock(&p->lock);
	while (!p->stop && !is_surplus(p)) {
		j = next_job(p);
		if (j)
			run(p, j);
		else
			pthread_cond_wait(&p->work, &p->lock);
	}
	p->threads--;
	pthread_cond_signal(&p->work); /* what this one was called for, another does */
	leave(p);
	return NULL;
}

/* The lock is held. */
static int start_thread(struct pool *p)
{
	int err = thread_start(NULL, work, p);

	p->references += !err;
	p->threads += !err;
	return err;
}

static int start_threads(struct pool *p)
{
	int err = 0;

	pthread_mutex_lock(&p->lock);
	for (int i = 0; !err && i < ASIDE_THREADS; i++)
		err = start_thread(p);
	pthread_mutex_unlock(&p->lock);
	return err;
}

/* One of them is stuck. The lock is held. */
static void replace(struct pool *p)
{
	if (!p->stop && p->threads < ASIDE_THREADS_MAX &&
	    p->threads - aside_count(p).stuck < ASIDE_THREADS)
		(void)limit_as(start_thread(p), -EAGAIN, LIMIT_THREADS);
}

static void note_stuck(struct pool *p, struct job *j)
{
	if (j->stuck)
		return;
	j->stuck = true;
	replace(p);
}

/*
 * Not only what is late already: else those that hang for less would keep all threads. What computes
 * is not stuck; another thread would not make it faster. The lock is held.
 */
static void look_at_running(struct pool *p)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	for (size_t i = 0; i < p->running_count; i++) {
		struct job *j = p->running[i];
		uint64_t took = now - j->began_ns;

		if (j->work.wait_ns != ASIDE_ENDS && took >= STUCK_NS &&
		    clock_ns(j->clock) - j->cpu_ns < took / 4)
			note_stuck(p, j);
	}
}

/* ---- who asks ---- */

static int pool_new(struct pool **ret)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->event_fd < 0) {
		free(p);
		return -errno;
	}
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->over, NULL);
	p->references = 1;
	*ret = p;
	return 0;
}

int aside_new(struct aside **ret)
{
	struct aside *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return -ENOMEM;
	err = pool_new(&a->pool);
	if (err) {
		free(a);
		return err;
	}
	err = start_threads(a->pool);
	if (err) {
		aside_free(a);
		return err;
	}
	*ret = a;
	return 0;
}

void aside_users(struct aside *a, aside_user_fn *of, void *data)
{
	a->pool->user_of = of;
	a->pool->users = data;
}

int aside_fd(const struct aside *a)
{
	return a->pool->event_fd;
}

static int submit(struct pool *p, const struct aside_work *w, bool awaited, struct job **ret)
{
	struct job *j;

	if (p->waiting >= ASIDE_QUEUE_MAX)
		return -EAGAIN;
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	j->work = *w;
	j->user = aside_user(p, w);
	j->until_ns =
		w->wait_ns == ASIDE_ENDS ? UINT64_MAX : clock_ns(CLOCK_MONOTONIC) + w->wait_ns;
	j->awaited = awaited;
	DL_APPEND(p->jobs, j);
	p->waiting++;
	pthread_cond_signal(&p->work);
	*ret = j;
	return 0;
}

static int do_here(const struct aside_work *w)
{
	w->run(w->data);
	if (w->done)
		w->done(w->data, 0);
	if (w->free)
		w->free(w->data);
	return 0;
}

int aside_submit(struct aside *a, const struct aside_work *w)
{
	struct job *j;
	int err;

	if (!a)
		return do_here(w);
	pthread_mutex_lock(&a->pool->lock);
	err = submit(a->pool, w, false, &j);
	pthread_mutex_unlock(&a->pool->lock);
	return err;
}

/* What a thread is in, it takes along. The lock is held, and given back. */
static void let_go(struct pool *p, struct job *j)
{
	bool running = j->state == RUNNING;

	j->given_up = true;
	p->waiting -= j->state == WAITING;
	if (running)
		note_stuck(p, j);
	else
		DL_DELETE(p->jobs, j);
	pthread_mutex_unlock(&p->lock);
	if (!running)
		job_free(j);
}

int aside_do(struct aside *a, const struct aside_work *w)
{
	struct pool *p;
	struct job *j;
	int err;

	if (!a) {
		w->run(w->data);
		return 0;
	}
	p = a->pool;
	pthread_mutex_lock(&p->lock);
	look_at_running(p);
	err = aside_is_blocked(p, w) ? -EAGAIN : submit(p, w, true, &j);
	if (err) {
		pthread_mutex_unlock(&p->lock);
		return err;
	}
	while (!err && j->state != OVER)
		err = thread_wait(&p->over, &p->lock, j->until_ns);
	err = j->state == OVER ? 0 : -ETIMEDOUT;
	if (!err)
		j->work.free = NULL; /* it is its caller's, as before */
	let_go(p, j);
	return err;
}

/* The first that is over or late. The lock is held. */
static struct job *first_due(const struct pool *p, uint64_t now)
{
	struct job *j;

	DL_FOREACH (p->jobs, j)
		if (!j->awaited && !j->given_up && (j->state == OVER || now >= j->until_ns))
			return j;
	return NULL;
}

void aside_collect(struct aside *a)
{
	struct pool *p = a->pool;
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	eventfd_t count;
	struct job *j;
	int err;

	(void)eventfd_read(p->event_fd, &count);
	pthread_mutex_lock(&p->lock);
	look_at_running(p);
	pthread_mutex_unlock(&p->lock);
	while (effort_goes_on()) {
		pthread_mutex_lock(&p->lock);
		j = first_due(p, now);
		if (!j) {
			pthread_mutex_unlock(&p->lock);
			return;
		}
		err = j->state == OVER ? 0 : -ETIMEDOUT;
		/* Nobody begins with it now, and who comes back from it leaves it alone. */
		j->told = true;
		pthread_mutex_unlock(&p->lock);
		if (j->work.done)
			j->work.done(j->work.data, err);
		pthread_mutex_lock(&p->lock);
		let_go(p, j);
	}
	say(p); /* there may be more */
}

size_t aside_stuck(const struct aside *a)
{
	size_t n;

	pthread_mutex_lock(&a->pool->lock);
	n = aside_count(a->pool).stuck;
	pthread_mutex_unlock(&a->pool->lock);
	return n;
}

bool aside_stopping(const struct aside *a)
{
	return a->pool->stop;
}

static bool any_ends(const struct pool *p)
{
	const struct job *j;

	DL_FOREACH (p->jobs, j)
		if (j->work.wait_ns == ASIDE_ENDS)
			return true;
	return false;
}

bool aside_free(struct aside *a)
{
	struct pool *p;
	uint64_t until_ns;
	bool all;
	struct job *j, *next;
	int err = 0;

	if (!a)
		return true;
	p = a->pool;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	DL_FOREACH_SAFE (p->jobs, j, next) {
		if (j->state == RUNNING)
			continue;
		DL_DELETE(p->jobs, j);
		job_free(j);
	}
	pthread_cond_broadcast(&p->work);
	while (any_ends(p))
		pthread_cond_wait(&p->over, &p->lock);
	until_ns = clock_ns(CLOCK_MONOTONIC) + STOP_NS;
	/* Those that can be are waited for: nothing of theirs is in use when the process goes. */
	while (!err && p->references > 1)
		err = thread_wait(&p->over, &p->lock, until_ns);
	all = p->references == 1;
	leave(p);
	free(a);
	return all;
}
