/* SPDX-License-Identifier: Apache-2.0 */
/* exec_vfork PATH [ARG]...: a vfork(2)ed child executes PATH; ends as it does. */
#include "program.h"

#include <sys/wait.h>

int main(int argc, char **argv)
{
	int status;
	pid_t child;

	usage_unless(argc >= 2, "exec_vfork PATH [ARG]...");
	child = vfork();
	if (child == 0) {
		execv(argv[1], argv + 1);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		err(1, "vfork");
	printf("%d\n", child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
