/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec_hang [-k] PROGRAM...: executes PROGRAM in a child that has a file open which is closed by the exec and
 * served by hand: the close waits for an answer that comes with the end of the input. Says "hangs"
 * once it is asked. -k: the child keeps it open (HANGING names its descriptor) until PROGRAM executes
 * something itself, and waits until this one is killed. Nobody hangs for longer than who started this lives.
 */
#include <sys/prctl.h>

#include "fuse_file.h"

static void execute(char **command, int keep)
{
	int fd = open(FUSE_FILE_MOUNT, O_RDONLY | (keep ? 0 : O_CLOEXEC));
	char text[16];

	if (fd < 0)
		err(1, "%s", FUSE_FILE_MOUNT);
	snprintf(text, sizeof(text), "%d", fd);
	setenv("HANGING", text, 1);
	execv(command[0], command);
	err(1, "%s", command[0]);
}

int main(int argc, char **argv)
{
	struct fuse_file file = {.hold_flush = 1};
	int asked[2], answer[2], status, keep = argc > 2 && !strcmp(argv[1], "-k");
	pid_t child;

	usage_unless(argc >= 2 && (keep || argc == 2), "exec_hang [-k] PROGRAM...");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		err(1, "prctl");
	pipe_of(asked);
	pipe_of(answer);
	file.asked = asked[1];
	file.answer = answer[0];
	own_namespaces(CLONE_NEWNS);
	fuse_file_mount(&file);
	fuse_file_serve(&file);
	child = fork();
	if (child == 0)
		execute(argv + 1 + keep, keep);
	await_byte(asked[0]);
	say("hangs");
	if (keep)
		pause();
	await_end();
	signal_byte(answer[1]);
	if (child < 0 || waitpid(child, &status, 0) < 0)
		err(1, "child");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
