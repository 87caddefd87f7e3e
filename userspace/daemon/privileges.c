/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/privileges.h"

#include <cap-ng.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/sandbox.h"

/*
 * What stays, and what for. Root without the rest cannot write what root does not own
 * (CAP_DAC_OVERRIDE), touch the network (CAP_NET_ADMIN, CAP_NET_RAW), load modules or set the
 * clock.
 */
static const struct {
	unsigned int capability;
	const char *what_for;
} table[] = {
	/* bpf(2) on maps, links and iterators wherever kernel.unprivileged_bpf_disabled is set. */
	{CAP_BPF, "maps and iterators"},
	/* Iterators over tasks and their files are tracing programs. */
	{CAP_PERFMON, "iterators over tasks"},
	/*
	 * fanotify marks on filesystems, which come and go with sessions. (It would stand in for
	 * the two above, and for CAP_NET_ADMIN when the cgroup programs are loaded: they are named
	 * so that it can go when fanotify no longer asks for it.)
	 */
	{CAP_SYS_ADMIN, "fanotify marks"},
	/* /proc/PID/exe, root, cwd, fd and ns of other users' processes. */
	{CAP_SYS_PTRACE, "/proc of other users' processes"},
	/* Executables and scripts that only their owner can read. */
	{CAP_DAC_READ_SEARCH, "hashing files of any user"},
	/*
	 * What a process *names* (script arguments) is opened as that user, so that no digest tells
	 * him what he could not read himself.
	 */
	{CAP_SETUID, "opening files as their user"},
	{CAP_SETGID, "opening files as their group, and the TPM as its device's"},
	/* affiant session end --kill. */
	{CAP_KILL, "ending the processes of a session"},
};

#define TABLE_SIZE (sizeof(table) / sizeof(*table))

static uint64_t table_mask(void)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < TABLE_SIZE; i++)
		mask |= UINT64_C(1) << table[i].capability;
	return mask;
}

void privileges_describe(char *ret, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < TABLE_SIZE && used < size; i++)
		used += snprintf(ret + used, size - used, "%s%s", i ? ", " : "",
				 capng_capability_to_name(table[i].capability));
}

/* Capabilities of thread @tid: a line of /proc/self/task/TID/status, in hexadecimal (proc(5)). */
static int thread_capabilities(const char *tid, uint64_t *ret)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[256];
	uint64_t mask = 0, one;
	int seen = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%.20s/status", tid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "CapInh: %" SCNx64, &one) == 1 ||
		    sscanf(line, "CapPrm: %" SCNx64, &one) == 1 ||
		    sscanf(line, "CapBnd: %" SCNx64, &one) == 1 ||
		    sscanf(line, "CapAmb: %" SCNx64, &one) == 1) {
			mask |= one;
			seen++;
		}
	if (seen != 4)
		return -EBADMSG;
	*ret = mask;
	return 0;
}

/* Counts the threads, and looks for one with more than the table. */
static int check_threads(size_t *ret_count, bool *ret_excess)
{
	_cleanup_closedir_ DIR *d = opendir("/proc/self/task");
	const struct dirent *entry;
	bool excess = false;
	uint64_t mask;
	size_t n = 0;
	int err;

	if (!d)
		return -errno;
	while ((entry = readdir(d))) {
		if (entry->d_name[0] == '.')
			continue;
		err = thread_capabilities(entry->d_name, &mask);
		if (err == -ENOENT)
			continue; /* it ended meanwhile */
		if (err)
			return err;
		n++;
		excess = excess || (mask & ~table_mask());
	}
	*ret_count = n;
	*ret_excess = excess;
	return 0;
}

static int limit_capabilities(void)
{
	capng_select_t set = CAPNG_SELECT_ALL;

	capng_get_caps_process();
	/*
	 * Then the bounding set stays as it was given to us: the unit names the same capabilities.
	 */
	if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
		set &= ~CAPNG_SELECT_BOUNDS;
	for (size_t i = 0; i < TABLE_SIZE; i++)
		if (!capng_have_capability(CAPNG_PERMITTED, table[i].capability))
			return -EPERM;

	capng_clear(CAPNG_SELECT_ALL);
	for (size_t i = 0; i < TABLE_SIZE; i++)
		if (capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
				 table[i].capability))
			return -EINVAL;
	return capng_apply(set) ? -EPERM : 0;
}

int privileges_limit(void)
{
	size_t threads;
	bool excess;
	int err;

	err = check_threads(&threads, &excess);
	if (err)
		return err;
	if (threads != 1)
		return -EBUSY;
	err = limit_capabilities();
	if (err)
		return err;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	/* No core file with users' argv, no ptrace by a process of the same user. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	err = check_threads(&threads, &excess);
	return err ?: excess ? -EPERM : 0;
}

int privileges_drop(void)
{
	size_t threads;
	bool excess;
	int err;

	err = check_threads(&threads, &excess);
	if (err)
		return err;
	return excess ? -EBUSY : sandbox_enter();
}
