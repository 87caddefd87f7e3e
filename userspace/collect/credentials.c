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
#include "base/effort.h"

#define CAP_READS_ALL (1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH)
/* CAP_BPF, in the second word: of no use with files, but the kernel's identity of one takes it. */
#define CAP_IDENTIFIES (1u << (CAP_BPF - 32))

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

	return fstatat(proc, "ns/user", &theirs, 0) == 0 &&
	       stat("/proc/self/ns/user", &ours) == 0 && theirs.st_ino == ours.st_ino &&
	       theirs.st_dev == ours.st_dev;
}

int credentials_read(int proc, struct credentials *ret)
{
	_cleanup_free_ char *line = NULL;
	_cleanup_fclose_ FILE *f = NULL;
	struct credentials c = {};
	uint64_t effective = 0;
	size_t size = 0;
	int fd, seen = 0;

	fd = effort_openat(proc, "status", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -ESRCH;
	f = fdopen(fd, "re");
	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	/* real, effective, saved, filesystem (proc(5)) */
	while (effort_getline(&line, &size, f) > 0) {
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

static int get_ids(struct credentials *ret)
{
	int n = getgroups(CREDENTIALS_GROUPS_MAX, ret->groups);

	if (n < 0)
		return -errno;
	ret->groups_count = n;
	ret->uid = syscall(SYS_setfsuid, -1);
	ret->gid = syscall(SYS_setfsgid, -1);
	return 0;
}

static bool same_ids(const struct credentials *a, const struct credentials *b)
{
	return a->uid == b->uid && a->gid == b->gid && a->groups_count == b->groups_count &&
	       memcmp(a->groups, b->groups, a->groups_count * sizeof(*a->groups)) == 0;
}

/*
 * setfsuid(2) does not tell whether it worked: an id that is none reads it back. One's own ids can
 * be set without privilege.
 */
static int set_ids(const struct credentials *c)
{
	struct credentials now;
	int r = get_ids(&now);

	if (r < 0 || same_ids(&now, c))
		return r;
	if (syscall(SYS_setgroups, c->groups_count, c->groups) < 0)
		return -errno;
	syscall(SYS_setfsgid, c->gid);
	syscall(SYS_setfsuid, c->uid);
	r = get_ids(&now);
	return r < 0 ? r : now.uid == c->uid && now.gid == c->gid ? 0 : -EPERM;
}

int credentials_assume(const struct credentials *c, struct credentials_saved *ret)
{
	const unsigned int kept[2] = {c->reads_all ? CAP_READS_ALL : 0, CAP_IDENTIFIES};
	struct __user_cap_data_struct caps[2];
	struct credentials_saved saved = {};
	int r;

	r = get_capabilities(caps) ?: get_ids(&saved.ids);
	if (r < 0)
		return r;
	saved.effective[0] = caps[0].effective;
	saved.effective[1] = caps[1].effective;
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
	/*
	 * The right to set ids comes first; setting them changes what is effective, so that this
	 * comes last, too.
	 */
	if (set_effective(saved->effective) < 0 || set_ids(&saved->ids) < 0 ||
	    set_effective(saved->effective) < 0)
		abort();
}
