/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hydra HEADS: that many processes, each of which goes on in a child of its own all the time, so
 * that no pid is good for long; they end by themselves when their standard input does.
 */
#include "program.h"

#include <poll.h>
#include <signal.h>

int main(int argc, char **argv)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

	usage_unless(argc == 2, "hydra HEADS");
	signal(SIGCHLD, SIG_IGN);
	for (int heads = atoi(argv[1]); heads; heads--)
		if (fork() == 0)
			break;
		else if (heads == 1)
			return poll(&input, 1, -1) < 0;
	while (poll(&input, 1, 0) == 0)
		if (fork() > 0)
			_exit(0);
	return 0;
}
