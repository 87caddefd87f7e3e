/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filing: small files, read and written whole. What goes wrong is logged here, with the file's
 * name.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buffer.h"

/* "-": standard input. At most @max bytes: -EFBIG. */
int filing_read(const char *path, size_t max, struct buffer *ret);

/* The same of what decides: -EPERM if others could change it (base/trusted.h). */
int filing_read_trusted(const char *path, size_t max, struct buffer *ret);
/* Whether a directory is so: 0, or -EPERM and other errors. */
int filing_check_directory(const char *path);

/*
 * A file of that mode with exactly these bytes, or no file: by another name first. It is synced.
 * Without @replace -EEXIST if there is one already. "-": standard output.
 */
int filing_write(const char *path, mode_t mode, bool replace, const void *data, size_t len);
