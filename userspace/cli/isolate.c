/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/isolate.h"

#include <errno.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/cleanup.h"

/* include/uapi/linux/landlock.h as of Linux 6.12; Debian 12's ends before 'scoped'. */
#define LANDLOCK_CREATE_RULESET_VERSION (1U << 0)
#define LANDLOCK_SCOPE_SIGNAL (1ULL << 1)
#define SCOPED_ABI 6

struct ruleset_attr {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};

int isolate_landlock(void)
{
	const struct ruleset_attr attr = {.scoped = LANDLOCK_SCOPE_SIGNAL};
	_cleanup_close_ int fd = -1;

	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) <
	    SCOPED_ABI)
		return -EOPNOTSUPP;
	fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (fd < 0)
		return -errno;
	if (!syscall(SYS_landlock_restrict_self, fd, 0))
		return 0;
	if (errno != EPERM)
		return -errno;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return -errno;
	return 0;
}
