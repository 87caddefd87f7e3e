/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* glibc 2.36 names the field only inside its union. */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

struct interrupt {
	timer_t timer;
};

static void nothing(int signal)
{
	(void)signal;
}

static void every(const struct interrupt *i, long ns)
{
	const struct itimerspec t = {.it_value.tv_nsec = ns, .it_interval.tv_nsec = ns};

	/* Fails only for a timer that is none. */
	(void)timer_settime(i->timer, 0, &t, NULL);
}

int interrupt_new(struct interrupt **ret)
{
	const struct sigaction action = {.sa_handler = nothing}; /* no SA_RESTART */
	struct sigevent event = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = SIGALRM,
		.sigev_notify_thread_id = gettid(),
	};
	struct interrupt *i = malloc(sizeof(*i));
	int err;

	if (!i)
		return -ENOMEM;
	if (sigaction(SIGALRM, &action, NULL) || timer_create(CLOCK_MONOTONIC, &event, &i->timer)) {
		err = -errno;
		free(i);
		return err;
	}
	*ret = i;
	return 0;
}

void interrupt_free(struct interrupt *i)
{
	if (i)
		timer_delete(i->timer);
	free(i);
}

void interrupt_begin(const struct interrupt *i)
{
	every(i, INTERRUPT_MS * 1000000L);
}

void interrupt_end(const struct interrupt *i)
{
	every(i, 0);
}
