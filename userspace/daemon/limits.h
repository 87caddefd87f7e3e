/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits: tells of the bounds that ran out (base/limit.h): which, what is blind because of it, and
 * what to raise; once in the log, and in `affiant status` until a minute after it was met last.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/limit.h"

/* What the daemon has open when it does nothing, and some. */
#define LIMITS_FILES_MIN 256

/* Logs what is new, and what is over. To be called every now and then. */
void limits_look(uint64_t now_ns);

/* Those that hold now, borrowed; how many. */
size_t limits_list(uint64_t now_ns, const char *ret[static LIMIT_ALL]);

/*
 * What to raise, as an end of a line that tells of @err (negative errno); "" when that is no limit.
 */
const char *limits_advice(int err);
