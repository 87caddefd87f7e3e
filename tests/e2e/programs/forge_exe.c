/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forge_exe PATH [LIBRARY SOCKET [late]]: makes its own /proc/PID/exe point to PATH, as an
 * unprivileged process may in a user namespace (PR_SET_MM_MAP), then says so and waits for the end
 * of its input. With LIBRARY (libaffiant) it asks for evidence as what it claims to be, and says
 * "given" or the code of the refusal. With "late" it asks first, as what it is, and forges while it
 * waits for the answer, once there is a line of input.
 *
 * The kernel refuses while the old executable is mapped: each of its mappings is replaced by an
 * anonymous one with the same bytes at the same place.
 */
#include "ask.h"
#include "let_go.h"

#include <pthread.h>

static void forge_and_say(const char *path)
{
	char exe[4096] = "";

	let_go();
	point_exe_to(path);
	if (readlink("/proc/self/exe", exe, sizeof(exe) - 1) < 0 || strcmp(exe, path))
		errx(1, "/proc/self/exe is still %s", exe);
	printf("/proc/%d/exe is now %s\n", getpid(), exe);
	fflush(stdout);
}

static void ask(const char *library, const char *socket)
{
	const char *answer;

	puts(ask_evidence(library, socket, &answer) ? "given" : answer);
}

static void *ask_in_thread(void *argv)
{
	ask(((char **)argv)[2], ((char **)argv)[3]);
	return NULL;
}

int main(int argc, char **argv)
{
	const bool late = argc == 5 && !strcmp(argv[4], "late");
	pthread_t asker;
	char byte;

	usage_unless(argc == 2 || argc == 4 || late, "forge_exe PATH [LIBRARY SOCKET [late]]");
	if (geteuid() != 0 && unshare(CLONE_NEWUSER))
		skip("no user namespace for an unprivileged user: %m");
	if (late) {
		if (pthread_create(&asker, NULL, ask_in_thread, argv) ||
		    read(STDIN_FILENO, &byte, 1) != 1)
			errx(1, "no thread, or no input");
		forge_and_say(argv[1]);
		pthread_join(asker, NULL);
		fflush(stdout);
		return 0;
	}
	forge_and_say(argv[1]);
	if (argc == 4)
		ask(argv[2], argv[3]);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
