/* SPDX-License-Identifier: Apache-2.0 */
/*
 * on_demand PORT: says that it runs, then does what each byte of its input says. c: connects to
 * 127.0.0.1 PORT, and says whether it could. f: forks a child that waits beside it for the end of
 * the input. x: executes itself anew.
 */
#include "program.h"

static void attempt(const char *port)
{
	union address to;
	socklen_t size = address_read("127.0.0.1", port, &to);
	int fd = socket_new(&to, SOCK_STREAM, 0);

	puts(connect(fd, &to.any, size) ? "refused" : "connected");
	close(fd);
}

int main(int argc, char **argv)
{
	char what, byte;

	usage_unless(argc == 2, "on_demand PORT");
	setlinebuf(stdout);
	puts("running");
	while (read(STDIN_FILENO, &what, 1) == 1) {
		if (what == 'c')
			attempt(argv[1]);
		if (what == 'f' && !fork()) {
			puts("forked");
			while (read(STDIN_FILENO, &byte, 1) > 0)
				;
			return 0;
		}
		if (what == 'x')
			execv("/proc/self/exe", argv);
	}
	return 0;
}
