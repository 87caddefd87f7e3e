/* SPDX-License-Identifier: Apache-2.0 */
/*
 * orchestrator SOCKET PID: opens a session for that process by libaffiant, says which and how many
 * processes it lists for it; at the next line of input it ends the session and kills them.
 */
#include <affiant.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int print_if_it(void *id, const struct affiant_session_info *info)
{
	if (strcmp(info->id, id))
		return 0;
	printf("listed %s %s %s %llu\n", info->agent, info->task, info->principal,
	       (unsigned long long)info->processes);
	return 1;
}

int main(int argc, char **argv)
{
	static const char *const scopes[] = {"repo:read", "repo:write", NULL};
	struct affiant_open open = {
		.agent = "worker",
		.task = "T-4711",
		.purpose = "to be orchestrated",
		.principal = "alice@example.com",
		.scopes = scopes,
	};
	struct affiant_session session;
	struct affiant *a;
	uint32_t processes;

	if (argc != 3)
		errx(64, "usage: orchestrator SOCKET PID");
	open.pidfd = syscall(SYS_pidfd_open, atoi(argv[2]), 0);
	if (open.pidfd < 0)
		err(1, "pidfd_open");
	if (affiant_connect(argv[1], &a))
		err(1, "affiant_connect");
	if (affiant_open_session(a, &open, &session))
		errx(2, "%s", affiant_error(a));
	printf("opened %s %s\n", session.id, session.spiffe_id);
	if (affiant_list_sessions(a, false, print_if_it, session.id) != 1)
		errx(3, "it is not listed: %s", affiant_error(a));
	fflush(stdout);

	if (getchar() == EOF)
		return 0;
	if (affiant_end_session(a, session.id, true, &processes))
		errx(4, "%s", affiant_error(a));
	printf("killed %u\n", processes);
	affiant_disconnect(a);
	return 0;
}
