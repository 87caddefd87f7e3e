/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crowd: crowd PROCESSES SOCKETS PORT: so many processes, each of which executed this program anew
 * and holds so many TCP connections to 127.0.0.0/8:PORT open. Says "ready" when all do, and waits
 * for the end of its input. crowd serve SOCKETS: accepts and holds so many, after it said "port
 * PORT".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKLOG 4096
#define SPARE_DESCRIPTORS 64

static void die(const char *what)
{
	fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static void wait_for_end(void)
{
	char c;

	while (read(STDIN_FILENO, &c, 1) > 0)
		;
}

static int accept_and_hold(int listener, unsigned long sockets)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (unsigned long i = 0; i < sockets; i++)
		if (accept(listener, NULL, NULL) < 0)
			die("accept");
	wait_for_end();
	return EXIT_SUCCESS;
}

/*
 * In as many processes as the limit of descriptors, which only CAP_SYS_RESOURCE can lift, makes
 * necessary.
 */
static int serve(unsigned long sockets)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct rlimit limit;
	unsigned long share;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		die("RLIMIT_NOFILE");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		die("RLIMIT_NOFILE");
	share = limit.rlim_max - SPARE_DESCRIPTORS;
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) || listen(fd, BACKLOG) ||
	    getsockname(fd, (struct sockaddr *)&a, &len))
		die("listen");
	printf("port %u\n", ntohs(a.sin_port));
	fflush(stdout);
	for (; sockets > share; sockets -= share) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (!pid)
			return accept_and_hold(fd, share);
	}
	return accept_and_hold(fd, sockets);
}

/* Member @number tells the pipe on stdout that it holds its sockets. */
static int member(unsigned long number, unsigned long sockets, unsigned int port)
{
	/* One destination has fewer local ports than are wanted. */
	struct sockaddr_in a = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK + number % 250),
	};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (unsigned long i = 0; i < sockets; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)))
			die("connect");
	}
	if (write(STDOUT_FILENO, "", 1) != 1)
		die("write");
	wait_for_end();
	return EXIT_SUCCESS;
}

static void start_member(char *self, unsigned long number, char *sockets, char *port,
			 const int done[2], const int stay[2])
{
	char text[32];
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid)
		return;
	snprintf(text, sizeof(text), "%lu", number);
	dup2(stay[0], STDIN_FILENO);
	dup2(done[1], STDOUT_FILENO);
	close(stay[1]);
	execl(self, self, "member", text, sockets, port, NULL);
	_exit(127);
}

int main(int argc, char **argv)
{
	int done[2], stay[2];
	unsigned long count;
	char c;

	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve(strtoul(argv[2], NULL, 10));
	if (argc == 5 && !strcmp(argv[1], "member"))
		return member(strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10),
			      atoi(argv[4]));
	if (argc != 4) {
		fputs("usage: crowd PROCESSES SOCKETS PORT | crowd serve SOCKETS\n", stderr);
		return EXIT_FAILURE;
	}
	if (pipe(done) || pipe(stay))
		die("pipe");
	count = strtoul(argv[1], NULL, 10);
	for (unsigned long i = 0; i < count; i++)
		start_member(argv[0], i, argv[2], argv[3], done, stay);
	close(done[1]);
	for (unsigned long i = 0; i < count; i++)
		if (read(done[0], &c, 1) != 1)
			die("a member failed");
	puts("ready");
	fflush(stdout);
	wait_for_end();
	return EXIT_SUCCESS;
}
