/* SPDX-License-Identifier: Apache-2.0 */
/* directory: the daemon's own, for its state and its socket. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/*
 * Made where it is not there, with @mode whatever the umask is, and opened as trusted_open()
 * (base/trusted.h) does: who else may write there could replace the records or the socket. -EROFS
 * where nothing can be written. @ret_fd: the caller closes it; on failure @ret_why (@size bytes)
 * says what to do.
 */
int directory_make(const char *path, mode_t mode, int *ret_fd, char *ret_why, size_t size);
