/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/alive.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/effort.h"

#define SECOND_NS 1000000000ull

bool alive_is(int pidfd, uint32_t tgid, uint64_t start)
{
	_cleanup_fclose_ FILE *f = NULL;
	unsigned long long ticks;
	char path[32], line[1024], *after, state;
	long threads;

	snprintf(path, sizeof(path), "/proc/%u/stat", tgid);
	f = effort_fopen(path);
	if (!f || !effort_gets(line, sizeof(line), f))
		return false;
	/* Fields 3, 20 and 22; the second one is a name of any characters, in brackets. */
	after = strrchr(line, ')');
	if (!after || sscanf(after + 1,
			     " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
			     "%ld %*d %llu",
			     &state, &threads, &ticks) != 3)
		return false;
	/*
	 * What nobody has waited for yet does nothing any more. The state is the first thread's,
	 * which can have ended before the others.
	 */
	if (((state == 'Z' || state == 'X') && threads <= 1) ||
	    ticks != start / (SECOND_NS / sysconf(_SC_CLK_TCK)))
		return false;
	return syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0 || errno != ESRCH;
}
