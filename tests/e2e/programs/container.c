/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container ROOT COMMAND...: COMMAND in new mount, pid, ipc and uts namespaces, with ROOT as its
 * root directory, as container runtimes do it; ends as it does.
 */
#include "program.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void enter_root(const char *root)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount(root, root, NULL, MS_BIND | MS_REC, NULL) || chdir(root) ||
	    syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
		err(1, "pivot_root to %s", root);
}

int main(int argc, char **argv)
{
	int status;
	pid_t child;

	usage_unless(argc >= 3, "container ROOT COMMAND...");
	if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS))
		err(1, "unshare");
	child = fork();
	if (child == 0) {
		enter_root(argv[1]);
		execv(argv[2], argv + 2);
		err(127, "%s", argv[2]);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		err(1, "fork");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
