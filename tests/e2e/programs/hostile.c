/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile HOW COMMAND...: does its worst to leave its session, then executes a command.
 *
 * bomb (hundreds of processes, in a tree), kill_parent, userns, pidns, mountns, netns (each a
 * namespace of its own, of a new user's), chain (a hundred times into a child of its own),
 * cgroup:PATH (moves there), daemon (a session of its own, orphaned, all descriptors closed,
 * another name).
 */
#include "program.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define BOMB_WIDTH 8
#define BOMB_DEPTH 3 /* 8 + 64 + 512 processes */

static char **command;

static void become(void)
{
	execv(command[0], command);
	_exit(99);
}

/* In a child; this process ends as it does. */
static void continue_in_child(void)
{
	pid_t child = fork();
	int status = 1;

	if (child < 0)
		err(1, "fork");
	if (!child)
		return;
	waitpid(child, &status, 0);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static void bomb(int depth)
{
	for (int i = 0; depth && i < BOMB_WIDTH; i++) {
		pid_t child = fork();

		if (child < 0)
			err(1, "fork");
		if (child)
			continue;
		bomb(depth - 1);
		become();
	}
	while (wait(NULL) > 0)
		;
}

static void enter(int flags)
{
	if (unshare(CLONE_NEWUSER | flags))
		skip("no namespaces of one's own here: %m");
	continue_in_child();
}

static void move_to(const char *cgroup)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, "0", 1) != 1)
		err(1, "%s", path);
	close(fd);
}

static void chain(int links)
{
	while (links--)
		if (fork())
			_exit(0);
}

static void be_hostile(const char *how)
{
	pid_t parent = getpid();

	if (!strcmp(how, "bomb")) {
		bomb(BOMB_DEPTH);
	} else if (!strcmp(how, "kill_parent")) {
		if (fork())
			pause();
		kill(parent, SIGKILL);
		while (getppid() == parent)
			usleep(1000);
	} else if (!strcmp(how, "userns")) {
		enter(0);
	} else if (!strcmp(how, "pidns")) {
		enter(CLONE_NEWPID);
	} else if (!strcmp(how, "mountns")) {
		enter(CLONE_NEWNS);
	} else if (!strcmp(how, "netns")) {
		enter(CLONE_NEWNET);
	} else if (!strcmp(how, "chain")) {
		chain(100);
	} else if (!strncmp(how, "cgroup:", 7)) {
		move_to(how + 7);
		continue_in_child();
	} else if (!strcmp(how, "daemon")) {
		continue_in_child();
		setsid();
		chain(1);
		close_range(0, ~0U, 0);
		prctl(PR_SET_NAME, "kworker/0:0");
	} else {
		errx(64, "%s: unknown", how);
	}
}

int main(int argc, char **argv)
{
	usage_unless(argc > 2, "hostile HOW COMMAND...");
	command = argv + 2;
	be_hostile(argv[1]);
	become();
}
