/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/filing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/trusted.h"

static int read_all(int fd, size_t max, struct buffer *ret)
{
	char part[4096];
	ssize_t len;

	for (;;) {
		len = read(fd, part, sizeof(part));
		if (len < 0 && errno == EINTR)
			continue;
		if (len <= 0)
			return len < 0 ? -errno : buffer_error(ret);
		if (ret->len + len > max)
			return -EFBIG;
		buffer_add(ret, part, len);
	}
}

int filing_read(const char *path, size_t max, struct buffer *ret)
{
	_cleanup_close_ int fd = -1;
	int err;

	if (!strcmp(path, "-")) {
		err = read_all(STDIN_FILENO, max, ret);
	} else {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		err = fd < 0 ? -errno : read_all(fd, max, ret);
	}
	if (err)
		log_error("%s: %s", path, strerror(-err));
	return err;
}

int filing_read_trusted(const char *path, size_t max, struct buffer *ret)
{
	_cleanup_close_ int fd = -1;
	char why[TRUSTED_WHY_SIZE];
	int err;

	if (!strcmp(path, "-"))
		return filing_read(path, max, ret);
	fd = trusted_open(AT_FDCWD, path, O_RDONLY | O_NOCTTY, why, sizeof(why));
	if (fd < 0) {
		log_error("%s", why);
		return fd;
	}
	err = read_all(fd, max, ret);
	if (err)
		log_error("%s: %s", path, strerror(-err));
	return err;
}

int filing_check_directory(const char *path)
{
	char why[TRUSTED_WHY_SIZE];
	int fd = trusted_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, why, sizeof(why));

	if (fd < 0) {
		log_error("%s", why);
		return fd;
	}
	close(fd);
	return 0;
}

/* link(2) does not replace, rename(2) does. */
static int put(const char *from, const char *to, bool replace)
{
	if (replace)
		return rename(from, to) ? -errno : 0;
	if (link(from, to))
		return -errno;
	return unlink(from) ? -errno : 0;
}

static int write_file(const char *path, mode_t mode, bool replace, const void *data, size_t len)
{
	_cleanup_free_ char *other = NULL;
	_cleanup_close_ int fd = -1;
	int err;

	if (asprintf(&other, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	fd = mkostemp(other, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = file_write(fd, data, len);
	if (!err && (fchmod(fd, mode) || fsync(fd)))
		err = -errno;
	err = err ?: put(other, path, replace);
	if (err)
		unlink(other);
	return err;
}

int filing_write(const char *path, mode_t mode, bool replace, const void *data, size_t len)
{
	int err = !strcmp(path, "-") ? file_write(STDOUT_FILENO, data, len)
				     : write_file(path, mode, replace, data, len);

	if (err)
		log_error("%s: %s", path, strerror(-err));
	return err;
}
