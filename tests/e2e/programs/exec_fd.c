/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec_fd HOW PATH [ARG]...: executes PATH by a descriptor, which execve(2) never sees a path of.
 */
#include "program.h"

#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>

extern char **environ;

static int copy_to_memfd(const char *path)
{
	int from = open(path, O_RDONLY | O_CLOEXEC), to = memfd_create("in-memory", MFD_CLOEXEC);
	struct stat st;

	if (from < 0 || to < 0 || fstat(from, &st))
		err(1, "%s", path);
	for (off_t left = st.st_size; left > 0;) {
		ssize_t n = sendfile(to, from, NULL, left);

		if (n <= 0)
			err(1, "sendfile");
		left -= n;
	}
	close(from);
	return to;
}

static int open_or_die(const char *path, int flags)
{
	int fd = open(path, flags);

	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

static void exec_fd_path(int fd, char **argv)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	execv(path, argv);
}

int main(int argc, char **argv)
{
	const char *how, *path;

	usage_unless(argc >= 3,
		     "exec_fd memfd|fexecve|execveat|o_path|deleted|proc_fd PATH [ARG]...");
	how = argv[1];
	path = argv[2];
	argv += 2;

	if (!strcmp(how, "memfd"))
		fexecve(copy_to_memfd(path), argv, environ);
	else if (!strcmp(how, "fexecve"))
		fexecve(open_or_die(path, O_RDONLY | O_CLOEXEC), argv, environ);
	else if (!strcmp(how, "execveat"))
		syscall(SYS_execveat, open_or_die(path, O_RDONLY | O_CLOEXEC), "", argv, environ,
			AT_EMPTY_PATH);
	else if (!strcmp(how, "o_path"))
		syscall(SYS_execveat, open_or_die(path, O_PATH | O_CLOEXEC), "", argv, environ,
			AT_EMPTY_PATH);
	else if (!strcmp(how, "proc_fd"))
		exec_fd_path(open_or_die(path, O_PATH), argv);
	else if (!strcmp(how, "deleted")) {
		int fd = open_or_die(path, O_PATH | O_CLOEXEC);

		if (unlink(path))
			err(1, "unlink %s", path);
		syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
	} else {
		errx(64, "%s: unknown", how);
	}
	err(1, "exec of %s by %s", path, how);
}
