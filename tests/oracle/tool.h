/* SPDX-License-Identifier: Apache-2.0 */
/* tool: what attest_tool and boot_tool share. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"

/* Ends the program with the exit code of a wrong call when there is no such file. */
static inline void read_file(const char *path, struct buffer *ret)
{
	char part[4096];
	FILE *f = fopen(path, "re");
	size_t len;

	if (!f) {
		perror(path);
		exit(64);
	}
	while ((len = fread(part, 1, sizeof(part), f)))
		buffer_add(ret, part, len);
	fclose(f);
}
