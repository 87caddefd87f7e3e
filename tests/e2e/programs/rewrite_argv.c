/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rewrite_argv ARG...: overwrites its arguments and name, as /proc shows them, and waits for its
 * input to end.
 */
#include "program.h"

#include <sys/prctl.h>

int main(int argc, char **argv)
{
	char byte;

	for (int i = 0; i < argc; i++)
		memset(argv[i], 'X', strlen(argv[i]));
	prctl(PR_SET_NAME, "innocent");
	puts("rewritten");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
