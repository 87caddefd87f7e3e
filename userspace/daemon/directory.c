/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/directory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
