/* SPDX-License-Identifier: Apache-2.0 */
/* exec_thread PATH [ARG]...: executes PATH from a thread that is not the leader. */
#include "program.h"

#include <pthread.h>

static void *exec_it(void *argv)
{
	char **command = argv;

	execv(command[0], command);
	err(1, "%s", command[0]);
}

int main(int argc, char **argv)
{
	pthread_t thread;

	usage_unless(argc >= 2, "exec_thread PATH [ARG]...");
	errno = pthread_create(&thread, NULL, exec_it, argv + 1);
	if (errno)
		err(1, "pthread_create");
	pthread_join(thread, NULL);
	return 1;
}
