/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gain_power run | exec COMMAND... | fork COMMAND... | drop COMMAND...: a setuid helper. It is run
 * only; executes COMMAND with what it gained, itself or in a child; or gives that back first.
 */
#include "program.h"

#include <grp.h>
#include <sys/wait.h>

static void execute(char **command)
{
	execv(*command, command);
	err(127, "%s", *command);
}

int main(int argc, char **argv)
{
	int status;
	pid_t child;

	usage_unless(argc == 2 ? !strcmp(argv[1], "run") : argc > 2,
		     "gain_power run | exec COMMAND... | fork COMMAND... | drop COMMAND...");
	if (argc == 2)
		return 0;
	if (!strcmp(argv[1], "drop") && (setresgid(getgid(), getgid(), getgid()) ||
					 setresuid(getuid(), getuid(), getuid())))
		err(1, "setresuid");
	if (strcmp(argv[1], "fork"))
		execute(argv + 2);
	child = fork();
	if (child == 0)
		execute(argv + 2);
	if (child < 0 || waitpid(child, &status, 0) < 0)
		err(1, "fork");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
