/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/value.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

static bool path_plain(const char *path)
{
	size_t len;

	if (*path != '/' || !path[1])
		return false;
	while (*path) {
		path++;
		len = strcspn(path, "/");
		if (!len || (len == 1 && path[0] == '.') ||
		    (len == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		path += len;
	}
	return true;
}

int value_path(const struct values *x, const char *key, const char *text, size_t max, char **to)
{
	if (!text)
		return 0;
	if (!path_plain(text))
		return document_mistake(
			x->document, x->ret_why, key,
			"'%s' is not an absolute path without '.', '..' and empty parts", text);
	if (strlen(text) > max)
		return document_mistake(x->document, x->ret_why, key, "is longer than %zu bytes",
					max);
	return value_text(to, text);
}

int value_size(const struct values *x, const char *key, const char *text, uint64_t min,
	       uint64_t max, uint64_t *to)
{
	char low[UNITS_TEXT_SIZE], high[UNITS_TEXT_SIZE];
	uint64_t n;

	if (!text)
		return 0;
	if (size_parse(text, &n) == -EINVAL)
		return document_mistake(x->document, x->ret_why, key,
					"'%s' is not a size, as in 64KiB, 8MiB, 1GiB", text);
	size_format(min, low);
	size_format(max, high);
	if (size_parse(text, &n) || n < min || n > max)
		return document_mistake(x->document, x->ret_why, key,
					"'%s' is not between %s and %s", text, low, high);
	*to = n;
	return 0;
}

int value_count(const struct values *x, const char *key, const char *text, uint64_t min,
		uint64_t max, uint64_t *to)
{
	uint64_t n;
	int err;

	if (!text)
		return 0;
	err = number_parse(text, &n);
	if (err == -EINVAL)
		return document_mistake(x->document, x->ret_why, key, "'%s' is not a number", text);
	if (err || n < min || n > max)
		return document_mistake(x->document, x->ret_why, key,
					"'%s' is not between %llu and %llu", text,
					(unsigned long long)min, (unsigned long long)max);
	*to = n;
	return 0;
}

int value_duration(const struct values *x, const char *key, const char *text, uint64_t min_ns,
		   uint64_t max_ns, uint64_t *to)
{
	char low[UNITS_TEXT_SIZE], high[UNITS_TEXT_SIZE];
	uint64_t ns;
	int err;

	if (!text)
		return 0;
	err = duration_parse(text, &ns);
	if (err == -EINVAL)
		return document_mistake(x->document, x->ret_why, key,
					"'%s' is not a duration, as in 500ms, 2s", text);
	duration_format(min_ns, low);
	duration_format(max_ns, high);
	if (err || ns < min_ns || ns > max_ns)
		return document_mistake(x->document, x->ret_why, key,
					"'%s' is not between %s and %s", text, low, high);
	*to = ns;
	return 0;
}

int value_text(char **to, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}
