/* SPDX-License-Identifier: Apache-2.0 */
/* priority: who goes first when there is more to run than CPUs to run it. */
#pragma once

/*
 * The calling thread before what it watches: a hundred busy processes would leave it a hundredth of
 * the CPU, and the kernel's ring fills meanwhile. Threads that it makes inherit that. Somebody
 * else's choice (nice(1), systemd's Nice=) is left alone, and so is all without CAP_SYS_NICE.
 */
void priority_raise(void);

/* The calling thread, if it was raised, like everybody again. */
void priority_lower(void);
