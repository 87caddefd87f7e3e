/* SPDX-License-Identifier: Apache-2.0 */
/* A line of mountinfo: mount points and options are chosen by whoever mounts. */
#include "collect/mounts.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = strndup((const char *)data, size);
	struct mount_line m;
	size_t len;

	if (!line)
		return 0;
	len = strlen(line);
	if (mount_line_parse(line, &m) &&
	    (m.point < line || m.point + strlen(m.point) > line + len || m.type < line ||
	     m.type + strlen(m.type) > line + len))
		abort();
	free(line);
	return 0;
}
