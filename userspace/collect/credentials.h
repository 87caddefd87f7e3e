/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credentials: opening files for somebody with no more rights than he has. A privileged process
 * that opens what others name would otherwise read for them what they can't: even a digest tells
 * whether a file is a known one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* supplementary groups; further ones are left out: fewer rights, not more */
#define CREDENTIALS_GROUPS_MAX 256

struct credentials {
	uid_t uid;
	gid_t gid;
	size_t groups_count;
	gid_t groups[CREDENTIALS_GROUPS_MAX];
	bool reads_all; /* CAP_DAC_OVERRIDE or CAP_DAC_READ_SEARCH over the host's files */
};

/*
 * Those that a process has now for files, by the directory /proc/PID (open as @proc, which pins the
 * process): filesystem ids, supplementary groups, capabilities if they are over our own user
 * namespace. -ESRCH: gone.
 */
int credentials_read(int proc, struct credentials *ret);

struct credentials_saved {
	struct credentials ids;
	unsigned int effective[2];
};

/*
 * For the calling thread alone (the raw system calls are per thread, glibc's wrappers are not):
 * files are opened as @c from here on, and no capability is effective but those of reads_all, and
 * CAP_BPF, which reads no files. Descriptors and memory are this process's still: only what is
 * opened meanwhile is. -EPERM: this process may not (CAP_SETUID, CAP_SETGID); then nothing has
 * changed. Must be followed by credentials_restore() on that thread.
 */
int credentials_assume(const struct credentials *c, struct credentials_saved *ret);
/*
 * Ends the process if it fails: a thread that keeps another's rights would serve the next one with
 * them.
 */
void credentials_restore(const struct credentials_saved *saved);
