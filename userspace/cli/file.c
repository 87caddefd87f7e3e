/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/file.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool is_standard(const char *path)
{
	return !path || !strcmp(path, "-");
}

int file_read(const char *path, size_t max, uint8_t **ret, size_t *ret_len)
{
	_cleanup_fclose_ FILE *opened = is_standard(path) ? NULL : fopen(path, "re");
	FILE *f = is_standard(path) ? stdin : opened;
	_cleanup_free_ uint8_t *data = NULL;
	size_t len;
	int err;

	if (!f) {
		err = -errno;
		log_error("%s: %s", path, strerror(-err));
		return err;
	}
	data = malloc(max + 2);
	if (!data)
		return -ENOMEM;
	len = fread(data, 1, max + 1, f);
	err = ferror(f) ? -EIO : len > max ? -EFBIG : 0;
	if (err) {
		log_error("%s: %s", path, err == -EFBIG ? "is too long" : strerror(-err));
		return err;
	}
	data[len] = '\0';
	*ret = TAKE_PTR(data);
	*ret_len = len;
	return 0;
}

int file_write(const char *path, const void *data, size_t len)
{
	_cleanup_fclose_ FILE *opened = is_standard(path) ? NULL : fopen(path, "we");
	FILE *f = is_standard(path) ? stdout : opened;

	if (f && fwrite(data, 1, len, f) == len && fputc('\n', f) != EOF && fflush(f) == 0)
		return EXIT_SUCCESS;
	log_error("%s: %s", is_standard(path) ? "standard output" : path, strerror(errno));
	return EXIT_FAILURE;
}
