/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

#define CAP_READS_ALL (1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH)

static void read_groups(const char *text, struct credentials *c)
{
	unsigned int gid;
	int n;

	while (c->groups_count < CREDENTIALS_GROUPS_MAX && sscanf(text, "%u%n", &gid, &n) == 1) {
		c->groups[c->groups_count++] = gid;
		text += n;
	}
}

/* A root inside a user namespace has capabilities over that namespace only. */
static bool in_our_user_namespace(int proc)
{
	struct stat theirs, ours;

	return fstatat(proc, "ns/user", &theirs, 0) == 0 && stat("/proc/self/ns/user", &ours) == 0 &&
	       theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev;
}

int credentials_read(int proc, struct credentials *ret)
{
	_cleanup_free_ char *line = NULL;
	_cleanup_fclose_ FILE *f = NULL;
	struct credentials c = {};
	uint64_t effective = 0;
	size_t size = 0;
	int fd, seen = 0;

	fd = openat(proc, "status", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -ESRCH;
	f = fdopen(fd, "re");
	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	/* real, effective, saved, filesystem (proc(5)) */
	while (getline(&line, &size, f) > 0) {
		seen += sscanf(line, "Uid: %*u %*u %*u %u", &c.uid) == 1;
		seen += sscanf(line, "Gid: %*u %*u %*u %u", &c.gid) == 1;
		seen += sscanf(line, "CapEff: %lx", &effective) == 1;
		if (strncmp(line, "Groups:", 7) == 0)
			read_groups(line + 7, &c);
	}
	if (seen != 3)
		return -ESRCH;
	c.reads_all = (effective & CAP_READS_ALL) && in_our_user_namespace(proc);
	*ret = c;
	return 0;
}

static int get_capabilities(struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};

	return syscall(SYS_capget, &head, data) < 0 ? -errno : 0;
}

static int set_effective(const unsigned int effective[2])
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	int r = get_capabilities(data);

	if (r < 0)
		return r;
	data[0].effective = data[0].permitted & effective[0];
	data[1].effective = data[1].permitted & effective[1];
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

/* setfsuid(2) does not tell whether it worked: an id that is none reads it back. */
static int set_ids(const struct credentials *c)
{
	if (syscall(SYS_setgroups, c->groups_count, c->groups) < 0)
		return -errno;
	syscall(SYS_setfsgid, c->gid);
	syscall(SYS_setfsuid, c->uid);
	if ((gid_t)syscall(SYS_setfsgid, -1) != c->gid || (uid_t)syscall(SYS_setfsuid, -1) != c->uid)
		return -EPERM;
	return 0;
}

int credentials_assume(const struct credentials *c, struct credentials_saved *ret)
{
	const unsigned int kept[2] = {c->reads_all ? CAP_READS_ALL : 0, 0};
	struct __user_cap_data_struct caps[2];
	struct credentials_saved saved = {};
	int n, r;

	r = get_capabilities(caps);
	if (r < 0)
		return r;
	saved.effective[0] = caps[0].effective;
	saved.effective[1] = caps[1].effective;
	saved.ids.uid = syscall(SYS_setfsuid, -1);
	saved.ids.gid = syscall(SYS_setfsgid, -1);
	n = getgroups(CREDENTIALS_GROUPS_MAX, saved.ids.groups);
	if (n < 0)
		return -errno;
	saved.ids.groups_count = n;

	r = set_ids(c) ?: set_effective(kept);
	if (r < 0) {
		credentials_restore(&saved);
		return r;
	}
	*ret = saved;
	return 0;
}

void credentials_restore(const struct credentials_saved *saved)
{
	struct credentials now;
	int n;

	/* Leaving filesystem id 0 took some capabilities away, coming back returns them: so these go last, too. */
	if (set_effective(saved->effective) < 0)
		abort();
	n = getgroups(CREDENTIALS_GROUPS_MAX, now.groups);
	if (n == (int)saved->ids.groups_count &&
	    memcmp(now.groups, saved->ids.groups, n * sizeof(*now.groups)) == 0 &&
	    (uid_t)syscall(SYS_setfsuid, -1) == saved->ids.uid && (gid_t)syscall(SYS_setfsgid, -1) == saved->ids.gid)
		return;
	if (set_ids(&saved->ids) < 0 || set_effective(saved->effective) < 0)
		abort();
}
