/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/shebang.h"

#include <errno.h>
#include <string.h>

#include "collect/decode.h"

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

bool shebang_parse(const char *head, size_t len, struct shebang *ret)
{
	const char *end, *p = head;
	size_t n = 0;

	if (len > SHEBANG_MAX)
		len = SHEBANG_MAX;
	if (len < 2 || head[0] != '#' || head[1] != '!')
		return false;
	end = memchr(head, '\n', len) ?: head + len;
	for (p += 2; p < end && blank(*p);)
		p++;
	while (p + n < end && !blank(p[n]) && p[n])
		n++;
	if (n == 0)
		return false;
	memcpy(ret->interpreter, p, n);
	ret->interpreter[n] = '\0';
	for (p += n; p < end && blank(*p);)
		p++;
	ret->has_argument = p < end && *p;
	return true;
}

/* NULL when there is none, or it was cut. */
static const char *argument(const struct exec_strings *x, unsigned int index)
{
	const char *p = x->argv, *end = x->argv + x->argv_len, *nul;

	for (; (nul = memchr(p, '\0', end - p)); p = nul + 1)
		if (index-- == 0)
			return p;
	return NULL;
}

static bool equals(const char *s, const char *bytes, size_t len)
{
	return strlen(s) == len && memcmp(s, bytes, len) == 0;
}

int shebang_follow(const struct event_exec *exec, const struct shebang *script, unsigned int *at)
{
	struct exec_strings x;
	const char *arg;

	exec_strings(exec, &x);
	arg = argument(&x, *at);
	if (!arg || strcmp(arg, script->interpreter) != 0)
		return -ENOENT;
	if (*at == 0 && !equals(arg, x.interp, x.interp_len))
		return -ENOENT;
	*at += script->has_argument ? 2 : 1;
	arg = argument(&x, *at);
	if (!arg)
		return -ENOENT;
	return equals(arg, x.filename, x.filename_len) ? 0 : 1;
}
