/* SPDX-License-Identifier: Apache-2.0 */
/* trace TID: attaches to one thread, says so, and lets go of it at the end of its input. */
#include "program.h"

#include <sys/ptrace.h>

int main(int argc, char **argv)
{
	char byte;

	usage_unless(argc == 2, "trace TID");
	if (ptrace(PTRACE_SEIZE, atoi(argv[1]), NULL, NULL))
		err(1, "PTRACE_SEIZE of %s", argv[1]);
	printf("tracing %s\n", argv[1]);
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
