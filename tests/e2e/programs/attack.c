/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attack HOW PID: reaches for another process in one way, and says "done" or the errno's name.
 *
 * signal, queue (sigqueue), pidfd_signal, ptrace, vm_read, vm_write, getfd (its standard input),
 * mem (/proc/PID/mem), root (/proc/PID/root).
 */
#include "program.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static char byte;

/* Memory that is there to be read: this very program's, which the other runs too. */
static long vm(long call, pid_t pid)
{
	struct iovec here = {&byte, 1}, there = {&byte, 1};

	return syscall(call, pid, &here, 1UL, &there, 1UL, 0UL);
}

static long open_proc(pid_t pid, const char *name, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return open(path, flags | O_CLOEXEC);
}

static long attack(const char *how, pid_t pid)
{
	int pidfd = syscall(SYS_pidfd_open, pid, 0);

	if (pidfd < 0)
		err(1, "pidfd_open");
	if (!strcmp(how, "signal"))
		return kill(pid, SIGCONT);
	if (!strcmp(how, "queue"))
		return sigqueue(pid, SIGCONT, (union sigval){0});
	if (!strcmp(how, "pidfd_signal"))
		return syscall(SYS_pidfd_send_signal, pidfd, SIGCONT, NULL, 0);
	if (!strcmp(how, "ptrace"))
		return ptrace(PTRACE_SEIZE, pid, NULL, NULL);
	if (!strcmp(how, "vm_read"))
		return vm(SYS_process_vm_readv, pid);
	if (!strcmp(how, "vm_write"))
		return vm(SYS_process_vm_writev, pid);
	if (!strcmp(how, "getfd"))
		return syscall(SYS_pidfd_getfd, pidfd, 0, 0);
	if (!strcmp(how, "mem"))
		return open_proc(pid, "mem", O_RDWR);
	if (!strcmp(how, "root"))
		return open_proc(pid, "root/", O_RDONLY | O_DIRECTORY);
	errx(64, "%s: unknown", how);
}

/* As the victim: says that it is there, and ends when its standard input does. */
static int be_there(void)
{
	puts("here");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "be_there"))
		return be_there();
	usage_unless(argc == 3, "attack HOW PID");
	puts(attack(argv[1], atoi(argv[2])) < 0 ? strerrorname_np(errno) : "done");
	return 0;
}
