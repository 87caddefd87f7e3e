/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handover: sockets that one process makes and another one uses.
 *
 * give PATH tcp|udp connected|bound|unconnected|full ADDRESS PORT: makes it, connects it (bound: to
 * a port of its own before; full: with its option memory filled), and passes it to who listens at
 * the Unix socket PATH. accept PATH ADDRESS: likewise, one that it accepted; says the port that it
 * listens at.
 *
 * take PATH COUNT [ADDRESS PORT]: listens at PATH, takes the socket, sends COUNT times over it:
 * plain, or to ADDRESS PORT.
 *
 * steal PID FD COUNT: pidfd_getfd(2), and sends. keep tcp|udp ADDRESS PORT: connects, says "PID
 * FD", waits until its input ends.
 *
 * inherit tcp|udp ADDRESS PORT CHILDREN COUNT: connects, and CHILDREN children send COUNT times
 * each.
 *
 * serve ADDRESS COUNT: says the port that it listens at, accepts one, sends COUNT times.
 */
#include "descriptor.h"
#include "option_memory.h"
#include "program.h"

#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

/* To who listens at @path, as soon as he does; alive until he is done. */
static void pass_on(const char *path, int fd)
{
	struct sockaddr_un there = {.sun_family = AF_UNIX};
	int over = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte;

	snprintf(there.sun_path, sizeof(there.sun_path), "%s", path);
	while (connect(over, (struct sockaddr *)&there, sizeof(there))) {
		if (errno != ENOENT && errno != ECONNREFUSED)
			err(1, "%s", path);
		usleep(1000);
	}
	send_descriptor(over, fd);
	printf("passed by %d\n", getpid());
	fflush(stdout);
	while (read(over, &byte, 1) > 0)
		;
}

static void send_all(int fd, int count, const union address *to, socklen_t size)
{
	for (int i = 0; i < count; i++)
		if (sendto(fd, "hello", 5, MSG_NOSIGNAL, to ? &to->any : NULL, size) != 5)
			err(1, "send");
}

static int new_connection(const char *kind, const char *host, const char *port, const char *how)
{
	union address to, any = {0};
	socklen_t size = address_read(host, port, &to);
	int fd = socket_new(&to, !strcmp(kind, "tcp") ? SOCK_STREAM : SOCK_DGRAM, 0);

	if (!strcmp(how, "full"))
		option_memory_fill(fd);
	any.any.sa_family = to.any.sa_family;
	if (!strcmp(how, "bound") && bind(fd, &any.any, size))
		err(1, "bind");
	if (strcmp(how, "unconnected") && connect(fd, &to.any, size))
		err(1, "connect");
	return fd;
}

static int accepted(const char *host)
{
	union address here;
	socklen_t size = address_read(host, "0", &here);
	int listener = socket_new(&here, SOCK_STREAM, 0), fd;

	if (bind(listener, &here.any, size) || listen(listener, 1) ||
	    getsockname(listener, &here.any, &size))
		err(1, "listen");
	printf("%d\n", ntohs(here.v4.sin_port)); /* where both have it */
	fflush(stdout);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		err(1, "accept");
	return fd;
}

static void take(char **argv, int argc)
{
	struct sockaddr_un here = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), over;
	union address to;
	socklen_t size = argc == 4 ? address_read(argv[2], argv[3], &to) : 0;

	snprintf(here.sun_path, sizeof(here.sun_path), "%s", argv[0]);
	if (listener < 0 || bind(listener, (struct sockaddr *)&here, sizeof(here)) ||
	    listen(listener, 1))
		err(1, "%s", argv[0]);
	printf("listening\n");
	fflush(stdout);
	over = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (over < 0)
		err(1, "accept");
	send_all(receive_descriptor(over), atoi(argv[1]), size ? &to : NULL, size);
}

static void steal(char **argv)
{
	int pidfd = syscall(SYS_pidfd_open, atoi(argv[0]), 0), fd;

	if (pidfd < 0)
		err(1, "pidfd_open");
	fd = syscall(SYS_pidfd_getfd, pidfd, atoi(argv[1]), 0);
	if (fd < 0)
		err(1, "pidfd_getfd");
	send_all(fd, atoi(argv[2]), NULL, 0);
}

static void inherit(char **argv)
{
	int fd = new_connection(argv[0], argv[1], argv[2], "connected");

	send_all(fd, 1, NULL, 0);
	for (int i = 0; i < atoi(argv[3]); i++) {
		pid_t child = fork();
		int status;

		if (!child) {
			send_all(fd, atoi(argv[4]), NULL, 0);
			exit(0);
		}
		if (child < 0 || waitpid(child, &status, 0) != child || status)
			err(1, "child");
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	char byte;

	if (!strcmp(what, "give") && argc == 7) {
		pass_on(argv[2], new_connection(argv[3], argv[5], argv[6], argv[4]));
	} else if (!strcmp(what, "accept") && argc == 4) {
		pass_on(argv[2], accepted(argv[3]));
	} else if (!strcmp(what, "take") && (argc == 4 || argc == 6)) {
		take(argv + 2, argc - 2);
	} else if (!strcmp(what, "steal") && argc == 5) {
		steal(argv + 2);
	} else if (!strcmp(what, "keep") && argc == 5) {
		printf("%d %d\n", getpid(), new_connection(argv[2], argv[3], argv[4], "connected"));
		fflush(stdout);
		while (read(STDIN_FILENO, &byte, 1) > 0)
			;
	} else if (!strcmp(what, "inherit") && argc == 7) {
		inherit(argv + 2);
	} else if (!strcmp(what, "serve") && argc == 4) {
		send_all(accepted(argv[2]), atoi(argv[3]), NULL, 0);
	} else {
		usage_unless(0, "handover give|accept|take|steal|keep|inherit|serve ...");
	}
	return 0;
}
