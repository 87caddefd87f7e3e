/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/alive.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collect/glance.h"

#define SECOND_NS 1000000000ull

int alive_is(struct aside *aside, uint64_t key, const struct alive_process *p)
{
	unsigned long long ticks;
	char path[32], line[1024], *after, state;
	long threads;
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%u/stat", p->tgid);
	len = glance_read(aside, key, path, line, sizeof(line));
	if (len == -ETIMEDOUT || len == -EAGAIN)
		return -EAGAIN;
	if (len <= 0)
		return 0;
	/* Fields 3, 20 and 22; the second one is a name of any characters, in brackets. */
	after = strrchr(line, ')');
	if (!after || sscanf(after + 1,
			     " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
			     "%ld %*d %llu",
			     &state, &threads, &ticks) != 3)
		return 0;
	/*
	 * What nobody has waited for yet does nothing any more. The state is the first thread's,
	 * which can have ended before the others.
	 */
	if (((state == 'Z' || state == 'X') && threads <= 1) ||
	    ticks != p->start / (SECOND_NS / sysconf(_SC_CLK_TCK)))
		return 0;
	return syscall(SYS_pidfd_send_signal, p->pidfd, 0, NULL, 0) == 0 || errno != ESRCH;
}
