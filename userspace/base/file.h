/* SPDX-License-Identifier: Apache-2.0 */
/* file: whole reads and writes, whatever interrupts them. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Up to @size bytes, fewer only at the end of the file: how many, or a negative errno. */
ssize_t file_read(int fd, void *data, size_t size);

/* All of it, or a negative errno; how much was written then is not known. */
int file_write(int fd, const void *data, size_t len);
