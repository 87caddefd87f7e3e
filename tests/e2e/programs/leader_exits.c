/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leader_exits ADDRESS PORT: the first thread ends; another connects when only a zombie is left of
 * it.
 */
#include "program.h"

#include <pthread.h>

static char **arguments;

static void wait_for_zombie(void)
{
	char path[64], state = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	while (state != 'Z') {
		FILE *file = fopen(path, "re");

		if (!file || fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
			errx(1, "%s", path);
		fclose(file);
		usleep(1000);
	}
}

static void *connect_alone(void *unused)
{
	union address to;
	socklen_t size = address_read(arguments[1], arguments[2], &to);
	int fd;

	(void)unused;
	wait_for_zombie();
	fd = socket_new(&to, SOCK_STREAM, 0);
	if (connect(fd, &to.any, size))
		err(1, "connect");
	printf("connected without a leader\n");
	exit(0);
}

int main(int argc, char **argv)
{
	pthread_t thread;

	usage_unless(argc == 3, "leader_exits ADDRESS PORT");
	arguments = argv;
	errno = pthread_create(&thread, NULL, connect_alone, NULL);
	if (errno)
		err(1, "pthread_create");
	pthread_exit(NULL);
}
