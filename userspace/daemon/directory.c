/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

int directory_check(int fd, const char *path, char *ret_why, size_t size)
{
	struct stat st;
	int err;

	if (fstat(fd, &st) < 0) {
		err = -errno;
		snprintf(ret_why, size, "%s: %s", path, strerror(-err));
		return err;
	}
	if (st.st_uid != 0 && st.st_uid != geteuid()) {
		snprintf(ret_why, size, "%s: belongs to user %u: chown it to root", path,
			 st.st_uid);
		return -EPERM;
	}
	if (st.st_mode & (S_IWGRP | S_IWOTH)) {
		snprintf(ret_why, size,
			 "%s: can be written by others than its owner (mode %04o): chmod go-w it",
			 path, st.st_mode & 07777);
		return -EPERM;
	}
	return 0;
}

int directory_make(const char *path, mode_t mode, int *ret_fd, char *ret_why, size_t size)
{
	_cleanup_close_ int fd = -1;
	bool made = mkdir(path, mode) == 0;
	int err = made || errno == EEXIST ? 0 : -errno;

	if (!err && (fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		err = -errno;
	if (!err && made && fchmod(fd, mode) < 0)
		err = -errno;
	if (!err && faccessat(fd, ".", W_OK, 0) < 0 && errno == EROFS)
		err = -EROFS;
	if (err) {
		snprintf(ret_why, size, "%s: %s%s", path, strerror(-err),
			 err == -EROFS ? ": in a unit of systemd's, ReadWritePaths= has to name it"
				       : "");
		return err;
	}
	err = directory_check(fd, path, ret_why, size);
	if (!err)
		*ret_fd = TAKE_FD(fd);
	return err;
}
