/* SPDX-License-Identifier: Apache-2.0 */
/*
 * isolate: a Landlock domain of the session's own. Scoped for signals (ABI 6, Linux 6.12) and
 * nothing else, it keeps its members from the processes of other sessions (signals, ptrace-class
 * access, pidfd_getfd); it does not keep others out.
 */
#pragma once

/*
 * 0: this process and its descendants are in a new domain; without CAP_SYS_ADMIN no_new_privs is
 * set too, which such a domain needs. -EOPNOTSUPP: the kernel's Landlock is missing, off, or older
 * than that.
 */
int isolate_landlock(void);
