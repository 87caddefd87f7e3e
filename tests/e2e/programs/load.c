/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load run ADDRESS OPEN CLOSED PROCESSES STEPS WIDTH: so many processes, WIDTH at a time, each of
 * which executes this program STEPS times, one after the other. Each image connects once, by turns:
 * to port OPEN (and resets that), to port CLOSED (and is refused), and to CLOSED by UDP. PROCESSES
 * 0: until its input ends.
 *
 * Says "ready", begins when it gets a line, and in the end says how many processes there were. It
 * fails if anything did: what it says was made was made.
 *
 * load serve: says its ports OPEN and CLOSED, and accepts.
 */
#include "program.h"

#include <poll.h>
#include <sys/wait.h>

#define BACKLOG 4096

enum { ARG_HOW = 1, ARG_ADDRESS, ARG_OPEN, ARG_CLOSED, ARG_PROCESSES, ARG_STEPS, ARG_WIDTH, ARGS };

static int bound(uint16_t *ret_port)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) ||
	    getsockname(fd, (struct sockaddr *)&a, &len))
		err(1, "bind");
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static int serve(void)
{
	uint16_t open, closed;
	int fd = bound(&open), client;

	bound(&closed); /* and not listening: nobody else gets it */
	if (listen(fd, BACKLOG))
		err(1, "listen");
	printf("%u %u\n", open, closed);
	fflush(stdout);
	while ((client = accept(fd, NULL, NULL)) >= 0 || errno == ECONNABORTED)
		close(client);
	err(1, "accept");
}

static void connect_open(char **argv)
{
	const struct linger at_once = {.l_onoff = 1}; /* no TIME_WAIT: ports would run out */
	union address to;
	socklen_t size = address_read(argv[ARG_ADDRESS], argv[ARG_OPEN], &to);
	int fd = socket_new(&to, SOCK_STREAM, 0);

	if (connect(fd, &to.any, size) ||
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)))
		err(1, "connect");
	close(fd);
}

static void connect_closed(char **argv)
{
	union address to;
	socklen_t size = address_read(argv[ARG_ADDRESS], argv[ARG_CLOSED], &to);
	int fd = socket_new(&to, SOCK_STREAM, 0);

	if (!connect(fd, &to.any, size) || errno != ECONNREFUSED)
		err(1, "not refused");
	close(fd);
}

static void connect_udp(char **argv)
{
	union address to;
	socklen_t size = address_read(argv[ARG_ADDRESS], argv[ARG_CLOSED], &to);
	int fd = socket_new(&to, SOCK_DGRAM, 0);

	if (connect(fd, &to.any, size))
		err(1, "connect");
	close(fd);
}

static void next_step(char **argv, unsigned long left)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", left);
	argv[ARG_HOW] = "step";
	argv[ARG_STEPS] = text;
	execv(argv[0], argv);
	err(1, "%s", argv[0]);
}

static int step(char **argv)
{
	static void (*const kinds[])(char **argv) = {connect_open, connect_closed, connect_udp};
	unsigned long left = strtoul(argv[ARG_STEPS], NULL, 10);

	kinds[left % 3](argv);
	if (left > 1)
		next_step(argv, left - 1);
	return 0;
}

static void reap(void)
{
	int status;

	if (wait(&status) < 0)
		err(1, "wait");
	if (status)
		errx(1, "a process ended with %#x", status);
}

static int input_ended(void)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&input, 1, 0) != 0;
}

static int run(char **argv)
{
	unsigned long processes = strtoul(argv[ARG_PROCESSES], NULL, 10), made = 0;
	unsigned long width = strtoul(argv[ARG_WIDTH], NULL, 10), running = 0;
	char begin;

	puts("ready");
	fflush(stdout);
	if (read(STDIN_FILENO, &begin, 1) != 1)
		errx(1, "not told to begin");
	while (processes ? made < processes : !input_ended()) {
		pid_t pid;

		if (running == width) {
			reap();
			running--;
		}
		pid = fork();
		if (pid < 0)
			err(1, "fork");
		if (!pid)
			next_step(argv, strtoul(argv[ARG_STEPS], NULL, 10));
		running++;
		made++;
	}
	for (; running; running--)
		reap();
	printf("%lu\n", made);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[ARG_HOW], "serve"))
		return serve();
	usage_unless(argc == ARGS,
		     "load serve | load run ADDRESS OPEN CLOSED PROCESSES STEPS WIDTH");
	return strcmp(argv[ARG_HOW], "step") ? run(argv) : step(argv);
}
