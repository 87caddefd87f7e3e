/* SPDX-License-Identifier: Apache-2.0 */
/* directory: who could put other files into one of the daemon's directories. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/*
 * -EPERM, and @ret_why (@size bytes) says what to do, if the directory @fd, called @path, belongs to another user, or if
 * others may write to it: they could replace the records or the socket.
 */
int directory_check(int fd, const char *path, char *ret_why, size_t size);

/*
 * Made where it is not there, with @mode whatever the umask is, opened, and checked as above; -EROFS where nothing can be written. @ret_fd: the caller
 * closes it.
 */
int directory_make(const char *path, mode_t mode, int *ret_fd, char *ret_why, size_t size);
