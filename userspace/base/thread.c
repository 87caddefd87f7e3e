/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <signal.h>

#include "base/clock.h"

int thread_start(pthread_t *ret, void *(*run)(void *), void *data)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;
	int err;

	pthread_attr_init(&attr);
	if (!ret)
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(ret ? ret : &thread, &attr, run, data);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return err;
}

/* Not pthread_clockjoin_np(3), which GCC 12's ThreadSanitizer does not know. */
bool thread_join(pthread_t thread, uint64_t until_ns)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	uint64_t left = until_ns > now ? until_ns - now : 0;
	struct timespec end = clock_timespec(clock_ns(CLOCK_REALTIME) + left);

	return pthread_timedjoin_np(thread, NULL, &end) == 0;
}

int thread_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_ns)
{
	struct timespec end = clock_timespec(until_ns);

	return -pthread_cond_clockwait(cond, lock, CLOCK_MONOTONIC, &end);
}
