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
#include "base/trusted.h"

int directory_make(const char *path, mode_t mode, int *ret_fd, char *ret_why, size_t size)
{
	_cleanup_close_ int fd = -1;
	bool made = mkdir(path, mode) == 0;
	int err = made || errno == EEXIST ? 0 : -errno;

	if (!err) {
		fd = trusted_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, ret_why, size);
		if (fd < 0)
			return fd;
		if (made && fchmod(fd, mode) < 0)
			err = -errno;
		else if (faccessat(fd, ".", W_OK, 0) < 0 && errno == EROFS)
			err = -EROFS;
	}
	if (err) {
		snprintf(ret_why, size, "%s: %s%s", path, strerror(-err),
			 err == -EROFS ? ": in a unit of systemd's, ReadWritePaths= has to name it"
				       : "");
		return err;
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}
