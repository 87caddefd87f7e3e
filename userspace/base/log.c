/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *log_name = "affiant";
static int log_max_level = LOG_INFO;
static bool log_to_journal;

void log_open(const char *name, int max_level)
{
	log_name = name;
	log_max_level = max_level;
	log_to_journal = getenv("JOURNAL_STREAM") != NULL;
}

void log_line(int level, const char *format, ...)
{
	char line[2048];
	int used, more;
	va_list ap;

	if (level > log_max_level)
		return;

	if (log_to_journal)
		used = snprintf(line, sizeof(line), "<%d>", level);
	else
		used = snprintf(line, sizeof(line), "%s: ", log_name);

	va_start(ap, format);
	more = vsnprintf(line + used, sizeof(line) - used - 1, format, ap);
	va_end(ap);
	if (more < 0)
		return;
	used += more;
	if (used > (int)sizeof(line) - 2)
		used = sizeof(line) - 2;
	line[used++] = '\n';

	/*
	 * One write a line: threads do not tear each other's. Nobody is left to tell of a failure.
	 */
	if (write(STDERR_FILENO, line, used) < 0)
		return;
}
