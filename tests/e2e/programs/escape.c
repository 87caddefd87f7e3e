/* SPDX-License-Identifier: Apache-2.0 */
/*
 * escape HOW ADDRESS PORT: tries to leave its session in one way, then connects.
 *
 * double_fork, setsid, orphan (its parent is gone), close_all (every descriptor closed), namespaces
 * (new user, mount, pid, ipc, uts and cgroup namespaces), thread (from a thread), comm (another
 * name).
 */
#include "program.h"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static union address to;
static socklen_t to_size;

static void *connect_now(void *unused)
{
	int fd = socket_new(&to, SOCK_STREAM, 0);

	if (connect(fd, &to.any, to_size))
		err(1, "connect");
	close(fd);
	return unused;
}

/* Goes on in a child; the parent ends as the child does, or at once. */
static void continue_in_child(int at_once)
{
	int status = 1;
	pid_t child = fork();

	if (child < 0)
		err(1, "fork");
	if (child == 0)
		return;
	if (at_once)
		_exit(0);
	waitpid(child, &status, 0);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static void wait_for_orphanage(pid_t parent)
{
	while (getppid() == parent)
		usleep(1000);
}

static void escape(const char *how)
{
	pid_t self = getpid();

	if (!strcmp(how, "double_fork")) {
		continue_in_child(0);
		continue_in_child(0);
	} else if (!strcmp(how, "setsid")) {
		continue_in_child(0);
		if (setsid() < 0)
			err(1, "setsid");
	} else if (!strcmp(how, "orphan")) {
		continue_in_child(1);
		wait_for_orphanage(self);
	} else if (!strcmp(how, "close_all")) {
		close_range(0, ~0U, 0);
	} else if (!strcmp(how, "namespaces")) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC |
			    CLONE_NEWUTS | CLONE_NEWCGROUP))
			skip("no new namespaces here: %m");
		continue_in_child(0);
	} else if (!strcmp(how, "comm")) {
		prctl(PR_SET_NAME, "kworker/0:0");
	} else if (strcmp(how, "thread")) {
		errx(64, "%s: unknown", how);
	}
}

int main(int argc, char **argv)
{
	pthread_t thread;

	usage_unless(argc == 4, "escape HOW ADDRESS PORT");
	to_size = address_read(argv[2], argv[3], &to);
	escape(argv[1]);
	if (strcmp(argv[1], "thread")) {
		connect_now(NULL);
	} else {
		errno = pthread_create(&thread, NULL, connect_now, NULL);
		if (errno)
			err(1, "pthread_create");
		pthread_join(thread, NULL);
	}
	return 0;
}
