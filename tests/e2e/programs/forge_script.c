/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forge_script rename|turn|store SCRIPT OTHER: executes SCRIPT and stops it where the kernel has
 * opened it and its interpreter has not (PTRACE_EVENT_EXEC). Meanwhile OTHER takes its name
 * (rename), or its symbolic link leads to OTHER (turn), or OTHER's bytes are stored over it
 * (store). Then the interpreter opens it by name, and goes on.
 */
#include "forge.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>

static void store(const char *script, const char *other)
{
	int from = open(other, O_RDONLY | O_CLOEXEC),
	    to = open(script, O_WRONLY | O_TRUNC | O_CLOEXEC);
	struct stat st;

	if (from < 0 || to < 0 || fstat(from, &st) ||
	    sendfile(to, from, NULL, st.st_size) != st.st_size)
		err(1, "%s", script);
	close(from);
	close(to);
}

static void turn(const char *script, const char *other)
{
	if (unlink(script) || symlink(other, script))
		err(1, "%s", script);
}

static void forge(const char *how, const char *script, const char *other)
{
	if (!strcmp(how, "store"))
		store(script, other);
	else if (!strcmp(how, "turn"))
		turn(script, other);
	else if (rename(other, script))
		err(1, "%s", other);
}

int main(int argc, char **argv)
{
	pid_t child;
	int status;

	usage_unless(argc == 4, "forge_script rename|turn|store SCRIPT OTHER");
	child = fork();
	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			skip("no ptrace here: %m");
		raise(SIGSTOP);
		execl(argv[2], argv[2], NULL);
		err(1, "%s", argv[2]);
	}
	if (waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACEEXEC) ||
	    ptrace(PTRACE_CONT, child, NULL, 0) || waitpid(child, &status, 0) < 0 ||
	    status >> 8 != (SIGTRAP | PTRACE_EVENT_EXEC << 8))
		errx(1, "no stop at the exec: %#x", status);
	forge(argv[1], argv[2], argv[3]);
	if (ptrace(PTRACE_DETACH, child, NULL, 0) || waitpid(child, &status, 0) < 0)
		err(1, "ptrace");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
