/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/unixpath.h"

#include <stdbool.h>
#include <string.h>

static bool is_dots(const char *at, size_t len, size_t count)
{
	return len == count && !memcmp(at, "..", count);
}

/* Takes the last component off, if there is one. At the root ".." is the root. */
static bool go_up(const char *path, size_t *len, bool cut)
{
	const char *slash = *len ? memrchr(path, '/', *len) : NULL;

	if (!slash)
		return !cut;
	*len = slash - path;
	/* Of a path that was cut nothing is left but dots: what is above is unknown. */
	return !cut || memchr(path, '/', *len);
}

size_t unix_path_resolve(const struct event_unix *e, char ret[static UNIX_PATH_TEXT_SIZE])
{
	const char *at = e->path, *end = at + e->path_len, *next;
	bool cut = e->flags & CONNECT_CWD_CUT, leading = true;
	size_t len;

	if (!e->path_len || !e->path[0] || e->path[0] == '/')
		return 0;
	len = path_from_components(e->cwd, e->cwd_len, cut, ret);
	if (!len)
		return 0;
	cut = ret[0] != '/';
	if (len == 1)
		len = 0; /* the root: each component brings its own slash */
	for (; at < end; at = next + 1) {
		next = memchr(at, '/', end - at) ?: end;
		if (next == at || is_dots(at, next - at, 1))
			continue;
		if (leading && is_dots(at, next - at, 2)) {
			if (!go_up(ret, &len, cut))
				return 0;
			continue;
		}
		leading = false;
		ret[len++] = '/';
		memcpy(ret + len, at, next - at);
		len += next - at;
	}
	if (!len)
		ret[len++] = '/';
	ret[len] = '\0';
	return len;
}
