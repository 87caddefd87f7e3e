/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/procroot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/effort.h"

int procroot_open(pid_t tgid)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/root", tgid);
	fd = effort_open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return fd;
}

int procroot_resolve(int root, const char *cwd, const char *path, bool cached)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (cached ? RESOLVE_CACHED : 0),
	};
	char whole[PATH_MAX];
	int len, fd;

	if (path[0] == '/')
		len = snprintf(whole, sizeof(whole), "%s", path);
	else
		len = snprintf(whole, sizeof(whole), "%s/%s", cwd, path);
	if (len < 0 || (size_t)len >= sizeof(whole))
		return -ENAMETOOLONG;
	fd = syscall(SYS_openat2, root, whole, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}
