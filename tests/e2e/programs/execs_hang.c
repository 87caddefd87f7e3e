/* SPDX-License-Identifier: Apache-2.0 */
/*
 * execs_hang COUNT: so many children, each in a mount namespace of its own, that execute this program
 * and then another one, which hangs in the close of a file that is served by hand. Says "hang" once
 * all do; they end with the input.
 */
#include <sys/prctl.h>

#include "fuse_file.h"

static void hang(void)
{
	if (open(FUSE_FILE_MOUNT, O_RDONLY | O_CLOEXEC) < 0)
		err(1, "%s", FUSE_FILE_MOUNT);
	execl("/bin/true", "true", NULL);
	err(1, "/bin/true");
}

static void execute_again(char *name)
{
	pid_t child = fork();

	if (child < 0)
		err(1, "fork");
	if (child)
		return;
	if (unshare(CLONE_NEWNS))
		err(1, "unshare");
	execl("/proc/self/exe", name, NULL);
	err(1, "/proc/self/exe");
}

int main(int argc, char **argv)
{
	struct fuse_file file = {.hold_flush = 1};
	int asked[2], answer[2], count = argc == 2 ? atoi(argv[1]) : 0;

	if (argc == 1)
		hang();
	usage_unless(count > 0, "execs_hang COUNT");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		err(1, "prctl");
	pipe_of(asked);
	pipe_of(answer);
	file.asked = asked[1];
	file.answer = answer[0];
	own_namespaces(CLONE_NEWNS);
	fuse_file_mount(&file);
	fuse_file_serve(&file);
	for (int i = 0; i < count; i++)
		execute_again(argv[0]);
	for (int i = 0; i < count; i++)
		await_byte(asked[0]);
	say("hang");
	await_end();
	return 0;
}
