/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines and first lines of scripts: the name found lies within argv, and ends there. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "collect/decode.h"
#include "collect/scriptarg.h"
#include "collect/shebang.h"

/*
 * The input: a length for each of exe, filename and interp, then the bytes of these, and of argv.
 */
static struct event_exec *make(const uint8_t *data, size_t size)
{
	struct event_exec *e;
	size_t left;

	if (size < 3 || size - 3 > EVENT_DATA_MAX)
		return NULL;
	left = size - 3;
	e = calloc(1, sizeof(*e) + left);
	if (!e)
		return NULL;
	e->exe_len = data[0] < left ? data[0] : left;
	left -= e->exe_len;
	e->filename_len = data[1] < left ? data[1] : left;
	left -= e->filename_len;
	e->interp_len = data[2] < left ? data[2] : left;
	left -= e->interp_len;
	e->argv_len = left;
	memcpy(e->data, data + 3, size - 3);
	return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct event_exec *e = make(data, size);
	struct exec_strings x;
	struct shebang script;
	unsigned int at = 0;
	const char *name;

	if (!e)
		return 0;
	exec_strings(e, &x);
	name = scriptarg_name(e);
	if (name && (name < x.argv || !memchr(name, '\0', x.argv + x.argv_len - name)))
		abort();
	if (shebang_parse((const char *)data, size, &script) && script.interpreter[0])
		while (shebang_follow(e, &script, &at) == 1)
			continue;
	free(e);
	return 0;
}
