// SPDX-License-Identifier: Apache-2.0
#include "collect/why.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <bpf/libbpf.h>

/* One source is opened at a time: the print function of libbpf belongs to the process anyway. */
static char complaint[256]; /* the first warning */
static char verdict[256];   /* the verifier's line before its statistics */

int why_say(char *why, size_t size, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, size, format, args);
	va_end(args);
	return err;
}

int why_errno(char *why, size_t size, const char *format, ...)
{
	int err = errno;
	va_list args;
	size_t len;

	va_start(args, format);
	vsnprintf(why, size, format, args);
	va_end(args);
	len = strlen(why);
	if (len < size)
		snprintf(why + len, size - len, ": %s", strerror(err));
	return -err;
}

static void keep_line(char *ret, size_t size, const char *begin, const char *end)
{
	size_t len = end - begin;

	if (len >= size)
		len = size - 1;
	memcpy(ret, begin, len);
	ret[len] = '\0';
}

/* The log of a refused program ends with its reason and a line "processed N insns ...". */
static void keep_verdict(const char *log)
{
	const char *end = strstr(log, "\nprocessed "), *begin;

	if (!end)
		return;
	for (begin = end; begin > log && begin[-1] != '\n'; begin--)
		;
	keep_line(verdict, sizeof(verdict), begin, end);
}

__attribute__((format(printf, 2, 0))) static int listen_to(enum libbpf_print_level level,
							   const char *format, va_list args)
{
	static char line[64 * 1024];

	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(line, sizeof(line), format, args);
	if (!complaint[0])
		keep_line(complaint, sizeof(complaint), line, line + strcspn(line, "\n"));
	if (strstr(line, "PROG LOAD LOG"))
		keep_verdict(line);
	return 0;
}

void why_listen(void)
{
	complaint[0] = verdict[0] = '\0';
	libbpf_set_print(listen_to);
}

int why_heard(char *why, size_t size, int err, const char *what)
{
	return why_say(why, size, err, "%s: %s%s%s%s%s", what, strerror(-err),
		       complaint[0] ? ": " : "", complaint, verdict[0] ? ": " : "", verdict);
}
