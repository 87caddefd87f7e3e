/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thread: threads beside the main one, and waits that end. Times are of CLOCK_MONOTONIC
 * (base/clock.h): whoever sets the host's clock back must not make a wait longer.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Begins run(data) with all signals blocked: they are the main thread's. @ret NULL: it is detached.
 * -errno of pthread_create(3).
 */
int thread_start(pthread_t *ret, void *(*run)(void *), void *data);

/* False: it has not ended by @until_ns. It may be waited for again then. */
bool thread_join(pthread_t thread, uint64_t until_ns);

/* As pthread_cond_wait(3), which may end early. 0, or -ETIMEDOUT. */
int thread_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_ns);
