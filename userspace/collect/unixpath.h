/* SPDX-License-Identifier: Apache-2.0 */
/* unixpath: where a relative path of a Unix socket's address led. */
#pragma once

#include <stddef.h>

#include "collect/decode.h"
#include "event.h"

#define UNIX_PATH_TEXT_SIZE (PATH_TEXT_SIZE + EVENT_UNIX_PATH_MAX + 1) /* and a slash */

/*
 * The absolute path in @ret, with its NUL; returns its length, 0 when @e has none to tell: its path
 * is absolute, abstract or empty, or too little is known of the directory.
 *
 * The directory is as the kernel has it, without symbolic links, so that ".." at the beginning of
 * the path is what lies above it. Behind a name it may be a link's, and stays as it is.
 */
size_t unix_path_resolve(const struct event_unix *e, char ret[static UNIX_PATH_TEXT_SIZE]);
