/* SPDX-License-Identifier: Apache-2.0 */
/*
 * environment [STRING]... -- PROGRAM [ARG]...: executes a program in an environment of exactly
 * these strings; "pad:N" is one of N bytes with its NUL, "many:N:STRING" so many of one.
 *
 * environment rewrite: overwrites its own environment, as /proc shows it, and waits for its input
 * to end.
 */
#include "program.h"

static char **strings;
static size_t count;

static void add(const char *string)
{
	strings = reallocarray(strings, count + 2, sizeof(*strings));
	if (!strings)
		err(1, "reallocarray");
	strings[count++] = strdup(string);
	strings[count] = NULL;
}

static void add_pad(size_t size)
{
	char *string = malloc(size);

	if (!string || size < 4)
		errx(64, "pad:%zu", size);
	memset(string, 'x', size);
	memcpy(string, "PAD=", 4);
	string[size - 1] = '\0';
	add(string);
	free(string);
}

static void add_many(const char *what)
{
	char *string;
	unsigned long n = strtoul(what, &string, 10);

	usage_unless(*string == ':', "many:N:STRING");
	while (n--)
		add(string + 1);
}

static int rewrite(void)
{
	char byte;

	for (char **string = environ; *string; string++)
		memset(*string, 'x', strlen(*string));
	puts("rewritten");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}

int main(int argc, char **argv)
{
	int i;

	if (argc == 2 && !strcmp(argv[1], "rewrite"))
		return rewrite();
	strings = calloc(1, sizeof(*strings));
	for (i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if (!strncmp(argv[i], "pad:", 4))
			add_pad(strtoul(argv[i] + 4, NULL, 10));
		else if (!strncmp(argv[i], "many:", 5))
			add_many(argv[i] + 5);
		else
			add(argv[i]);
	}
	usage_unless(i + 1 < argc, "environment [STRING]... -- PROGRAM [ARG]...");
	execve(argv[i + 1], argv + i + 1, strings);
	err(1, "%s", argv[i + 1]);
}
