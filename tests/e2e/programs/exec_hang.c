/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec_hang PROGRAM: executes PROGRAM in a child that has a file open which is closed by the exec and
 * served by hand: the close waits for an answer that comes with the end of the input. Says "hangs"
 * once it is asked.
 */
#include "fuse_file.h"

int main(int argc, char **argv)
{
	struct fuse_file file = {.hold_flush = 1};
	int asked[2], answer[2], status;
	pid_t child;

	usage_unless(argc == 2, "exec_hang PROGRAM");
	pipe_of(asked);
	pipe_of(answer);
	file.asked = asked[1];
	file.answer = answer[0];
	own_namespaces(CLONE_NEWNS);
	fuse_file_mount(&file);
	fuse_file_serve(&file);
	child = fork();
	if (child == 0) {
		if (open(FUSE_FILE_MOUNT, O_RDONLY | O_CLOEXEC) < 0)
			err(1, "%s", FUSE_FILE_MOUNT);
		execl(argv[1], argv[1], NULL);
		err(1, "%s", argv[1]);
	}
	await_byte(asked[0]);
	say("hangs");
	await_end();
	signal_byte(answer[1]);
	if (child < 0 || waitpid(child, &status, 0) < 0)
		err(1, "child");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
