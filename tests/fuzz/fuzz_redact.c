/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines, with the name of what was executed before them: bytes are hidden where they stand,
 * and nothing else changes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "collect/redact.h"
#include "collect/redact_command.h"
#include "event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct redact_commands *r;
	size_t exe_len, len;
	char *argv;

	if (!r && redact_commands_new(&r))
		abort();
	if (!size || size > 2 * EVENT_DATA_MAX)
		return 0;
	exe_len = data[0] < size - 1 ? data[0] : size - 1;
	data++;
	len = size - 1 - exe_len;
	/* Of its own, so that a byte too far is seen. */
	argv = malloc(len ? len : 1);
	if (!argv)
		return 0;
	memcpy(argv, data + exe_len, len);
	redact_commands_hide(r, (const char *)data, exe_len, argv, len);
	for (size_t i = 0; i < len; i++)
		if (argv[i] != (char)data[exe_len + i] &&
		    (argv[i] != REDACTED_BYTE || !data[exe_len + i]))
			abort();
	free(argv);
	return 0;
}
