/* SPDX-License-Identifier: Apache-2.0 */
/* clone_pid PID COMMAND...: runs COMMAND as process PID, which must be free; ends as it does. */
#include "program.h"

#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>

int main(int argc, char **argv)
{
	int status;
	pid_t wanted, child;
	struct clone_args args = {.exit_signal = SIGCHLD, .set_tid_size = 1};

	usage_unless(argc >= 3, "clone_pid PID COMMAND...");
	wanted = atoi(argv[1]);
	args.set_tid = (uintptr_t)&wanted;
	child = syscall(SYS_clone3, &args, sizeof(args));
	if (child < 0 && errno == EEXIST)
		skip("pid %d was taken by another process meanwhile", wanted);
	if (child < 0)
		err(1, "clone3");
	if (child == 0) {
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	if (waitpid(child, &status, 0) < 0)
		err(1, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
