/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rewrite_exec ROUNDS FILE: FILE's last byte is made 'A' or 'B' in place, in turn, and FILE is
 * executed with the round as argv[1]: as fast as it goes, so that many rounds fall into one tick of
 * the clock.
 */
#include "program.h"

#include <sys/stat.h>
#include <sys/wait.h>

static void write_last_byte(const char *path, char byte)
{
	struct stat st;
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) || pwrite(fd, &byte, 1, st.st_size - 1) != 1 || close(fd))
		err(1, "%s", path);
}

int main(int argc, char **argv)
{
	usage_unless(argc == 3, "rewrite_exec ROUNDS FILE");
	for (int round = 0, rounds = atoi(argv[1]); round < rounds; round++) {
		char number[16];
		int status;
		pid_t child;

		write_last_byte(argv[2], round % 2 ? 'B' : 'A');
		snprintf(number, sizeof(number), "%d", round);
		child = vfork();
		if (child == 0) {
			execl(argv[2], "rewritten", number, NULL);
			_exit(127);
		}
		if (child < 0 || waitpid(child, &status, 0) < 0 || status)
			errx(1, "round %d ended with %#x", round, status);
	}
	return 0;
}
