/* SPDX-License-Identifier: Apache-2.0 */
#include "base/priority.h"

#include <sys/resource.h>

#define RAISED -10 /* ten times the weight of 0: sched(7) */

/*
 * With PRIO_PROCESS, 0 is the calling thread alone (setpriority(2), C library/kernel differences).
 */
void priority_raise(void)
{
	if (getpriority(PRIO_PROCESS, 0) == 0)
		(void)setpriority(PRIO_PROCESS, 0, RAISED);
}

void priority_lower(void)
{
	if (getpriority(PRIO_PROCESS, 0) < 0)
		(void)setpriority(PRIO_PROCESS, 0, 0);
}
