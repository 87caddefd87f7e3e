/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_nonblocking HOW ADDRESS PORT: a non-blocking connection.
 *
 * finish: waits, connects a second time as programs do to learn the result, closes. close: closes
 * at once. exit: ends at once, without a close. wait: closes when its standard input ends. icmp:
 * closes when an ICMP error has come and the connection still goes on; tries again when that took
 * too long.
 */
#include "program.h"

#include <poll.h>

static void finish(int fd, const union address *to, socklen_t size)
{
	struct pollfd ready = {.fd = fd, .events = POLLOUT};
	int result = 0;
	socklen_t len = sizeof(result);

	if (poll(&ready, 1, -1) != 1 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &len))
		err(1, "poll");
	if (result) {
		errno = result;
		err(1, "connect");
	}
	if (connect(fd, &to->any, size) && errno != EISCONN)
		err(1, "second connect");
}

/* The kernel takes an unreachable destination for final at its next try only, a second later. */
static int is_connecting(int fd)
{
	struct pollfd ready = {.fd = fd, .events = POLLOUT};

	usleep(50000);
	return poll(&ready, 1, 0) == 0;
}

int main(int argc, char **argv)
{
	union address to;
	socklen_t size;
	char byte;
	int fd;

	usage_unless(argc == 4, "tcp_nonblocking finish|close|exit|wait|icmp ADDRESS PORT");
	size = address_read(argv[2], argv[3], &to);
	fd = socket_new(&to, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (connect(fd, &to.any, size) && errno != EINPROGRESS)
		err(1, "connect");
	while (!strcmp(argv[1], "icmp") && !is_connecting(fd)) {
		close(fd);
		fd = socket_new(&to, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (connect(fd, &to.any, size) && errno != EINPROGRESS)
			err(1, "connect");
	}

	printf("connecting\n");
	fflush(stdout);
	if (!strcmp(argv[1], "exit"))
		_exit(0);
	if (!strcmp(argv[1], "finish"))
		finish(fd, &to, size);
	else if (!strcmp(argv[1], "wait"))
		while (read(STDIN_FILENO, &byte, 1) > 0)
			;
	close(fd);
	return 0;
}
