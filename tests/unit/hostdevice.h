/* SPDX-License-Identifier: Apache-2.0 */
/* hostdevice: a filesystem that the host trusts, for tests of what is mounted where. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "collect/mounts.h"

/* One of process 1's that is mounted without nosuid: the first that its mountinfo names. */
static inline uint32_t host_device(void)
{
	_cleanup_fclose_ FILE *f = mounts_open(1);
	_cleanup_free_ char *line = NULL;
	struct mount_line m;
	size_t size = 0;

	while (f && getline(&line, &size, f) > 0)
		if (mount_line_parse(line, &m) && !m.nosuid)
			return m.major << 20 | m.minor;
	fail();
	return 0;
}
