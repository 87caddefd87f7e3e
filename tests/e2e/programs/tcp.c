/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp HOW ADDRESS PORT: one blocking TCP connection, ended in the way that HOW says.
 *
 * exchange: five bytes there and back, then close. peer: waits until the peer closes. linger0: a
 * reset instead of a FIN. unread: closes with data that it did not read. hold: connected until its
 * standard input ends. timeout: gives up by SO_SNDTIMEO. fails: it must not connect.
 */
#include "program.h"

#include <poll.h>
#include <sys/time.h>

static int is(const char *how, const char *word)
{
	return !strcmp(how, word);
}

static void wait_for_bytes(int fd)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};

	if (poll(&ready, 1, -1) != 1)
		err(1, "poll");
}

static void exchange(int fd)
{
	char back[5];

	if (send(fd, "hello", 5, 0) != 5 || recv(fd, back, 5, MSG_WAITALL) != 5)
		err(1, "exchange");
}

static void use(int fd, const char *how)
{
	const struct linger at_once = {.l_onoff = 1};
	char byte;

	if (is(how, "exchange")) {
		exchange(fd);
	} else if (is(how, "peer")) {
		while (recv(fd, &byte, 1, 0) > 0)
			;
	} else if (is(how, "linger0")) {
		exchange(fd);
		if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)))
			err(1, "SO_LINGER");
	} else if (is(how, "unread")) {
		if (send(fd, "hello", 5, 0) != 5)
			err(1, "send");
		wait_for_bytes(fd);
	} else if (is(how, "hold")) {
		puts("connected");
		fflush(stdout);
		while (read(STDIN_FILENO, &byte, 1) > 0)
			;
	} else {
		errx(64, "%s: unknown, or it connected although it should not", how);
	}
}

int main(int argc, char **argv)
{
	const struct timeval soon = {.tv_usec = 300000};
	union address to;
	socklen_t size;
	int fd;

	usage_unless(argc == 4, "tcp exchange|peer|linger0|unread|hold|timeout|fails ADDRESS PORT");
	size = address_read(argv[2], argv[3], &to);
	fd = socket_new(&to, SOCK_STREAM, 0);
	if (is(argv[1], "timeout") && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)))
		err(1, "SO_SNDTIMEO");

	if (connect(fd, &to.any, size)) {
		printf("connect: errno %d (%m)\n", errno);
		return !is(argv[1], "fails") && !is(argv[1], "timeout");
	}
	use(fd, argv[1]);
	close(fd);
	printf("connected\n");
	return 0;
}
