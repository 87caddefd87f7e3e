/* SPDX-License-Identifier: Apache-2.0 */
/* file: whole files, for subcommands that read and write some. On failure they have said why. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* At most @max bytes, to be freed; a NUL stands behind them. @path "-": standard input. -EFBIG, or the -errno of open(2) and read(2). */
int file_read(const char *path, size_t max, uint8_t **ret, size_t *ret_len);

/* With a newline at its end. @path NULL or "-": standard output. Returns an exit code. */
int file_write(const char *path, const void *data, size_t len);
