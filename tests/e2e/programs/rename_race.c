/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rename_race ROUNDS A B: children execute A, one after another, while another process exchanges A
 * and B all the time.
 */
#include "program.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static void exchange_for_ever(const char *a, const char *b)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (unsigned int n = 1;; n++) {
		if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE))
			err(1, "renameat2");
		/*
		 * A rename moves the change time: within a clock tick of one there is no digest. So
		 * rest at times.
		 */
		usleep(n % 500 ? 100 : 50000);
	}
}

int main(int argc, char **argv)
{
	pid_t exchanger;
	int status;

	usage_unless(argc == 4, "rename_race ROUNDS A B");
	exchanger = fork();
	if (exchanger == 0)
		exchange_for_ever(argv[2], argv[3]);

	for (int left = atoi(argv[1]); left > 0; left--) {
		pid_t child = vfork();

		if (child == 0) {
			execl(argv[2], "raced", NULL);
			_exit(127);
		}
		if (child < 0 || waitpid(child, &status, 0) < 0)
			err(1, "child");
		if (!WIFEXITED(status) || WEXITSTATUS(status) == 127)
			errx(1, "a child ended with %#x", status);
	}
	kill(exchanger, SIGKILL);
	waitpid(exchanger, NULL, 0);
	return 0;
}
