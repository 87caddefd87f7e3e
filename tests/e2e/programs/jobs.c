/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jobs PARENT FORMAT COUNT PROGRAM: a container runtime in small. For each number: makes the cgroup
 * PARENT/FORMAT (one %d), a child enters it and executes PROGRAM with the number as its argument;
 * then the cgroup goes.
 */
#include "program.h"

#include <sys/stat.h>
#include <sys/wait.h>

#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static void enter(const char *cgroup)
{
	int dir = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "0", 1) != 1)
		err(1, "%s", cgroup);
}

int main(int argc, char **argv)
{
	char name[2048], path[4096], number[16];
	int status;
	pid_t pid;

	usage_unless(argc == 5, "jobs PARENT FORMAT COUNT PROGRAM");
	for (int i = 0; i < atoi(argv[3]); i++) {
		snprintf(name, sizeof(name), argv[2], i);
		snprintf(path, sizeof(path), "%s/%s", argv[1], name);
		snprintf(number, sizeof(number), "%d", i);
		if (mkdir(path, 0755))
			err(1, "%s", path);
		pid = fork();
		if (!pid) {
			enter(path);
			execl(argv[4], argv[4], number, (char *)NULL);
			err(1, "%s", argv[4]);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			errx(1, "job %d failed", i);
		/* The last task leaves after it was waited for. */
		while (rmdir(path))
			if (errno != EBUSY)
				err(1, "rmdir %s", path);
	}
	return 0;
}
