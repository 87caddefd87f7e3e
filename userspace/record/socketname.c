/* SPDX-License-Identifier: Apache-2.0 */
#include "record/socketname.h"

#include <string.h>

bool socketname_is_abstract(const Affiant__V1__Endpoint *e)
{
	return e->has_path && e->path.len && !e->path.data[0];
}

/* "./x" or "../x" */
static bool begins_with_dots(const ProtobufCBinaryData *path)
{
	return (path->len >= 2 && !memcmp(path->data, "./", 2)) ||
	       (path->len >= 3 && !memcmp(path->data, "../", 3));
}

void socketname_add(struct buffer *out, const Affiant__V1__Endpoint *e)
{
	const ProtobufCBinaryData *path = &e->path;

	if (!path->len) {
		buffer_add_text(out, "(unnamed)");
	} else if (socketname_is_abstract(e)) {
		/* It starts with NUL, which ss(8) and others show as an @. */
		buffer_add_char(out, '@');
		buffer_add(out, path->data + 1, path->len - 1);
	} else if (path->data[0] == '/') {
		buffer_add(out, path->data, path->len);
	} else if (e->has_resolved && e->resolved.len) {
		buffer_add(out, e->resolved.data, e->resolved.len);
	} else {
		if (!begins_with_dots(path))
			buffer_add_text(out, "./");
		buffer_add(out, path->data, path->len);
	}
}
