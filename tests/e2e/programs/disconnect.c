/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disconnect HOW ADDRESS PORT1 PORT2: connects one socket to PORT1, disconnects it (AF_UNSPEC),
 * connects it to PORT2: one cookie, two connections. tcp, udp. refused: nobody listens at PORT1,
 * and nobody asks the socket for that error before its second connection is refused, too. deferred:
 * likewise, but no SYN of the second one ever leaves (TCP_FASTOPEN_CONNECT, without data).
 */
#include "program.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>

static void connect_to(int fd, const char *host, const char *port)
{
	union address to;
	socklen_t size = address_read(host, port, &to);

	if (connect(fd, &to.any, size))
		err(1, "connect %s", port);
}

static void begin(int fd, const char *host, const char *port)
{
	union address to;
	socklen_t size = address_read(host, port, &to);

	if (connect(fd, &to.any, size) && errno != EINPROGRESS)
		err(1, "non-blocking connect %s", port);
}

/* poll(2) tells of the error and leaves it there. */
static void await_error(int fd)
{
	struct pollfd p = {.fd = fd};

	if (poll(&p, 1, -1) != 1 || !(p.revents & POLLERR))
		err(1, "no error");
}

static void fail_twice(const char *host, const char *port1, const char *port2, bool deferred)
{
	const int on = 1;
	const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	union address family;
	int fd;

	address_read(host, "0", &family);
	fd = socket_new(&family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	begin(fd, host, port1);
	await_error(fd);
	if (connect(fd, &nobody, sizeof(nobody)))
		err(1, "AF_UNSPEC");
	if (deferred && setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)))
		skip("no TCP_FASTOPEN_CONNECT here: %m");
	begin(fd, host, port2);
	if (!deferred)
		await_error(fd);
	close(fd);
}

int main(int argc, char **argv)
{
	const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	union address family;
	int fd;

	usage_unless(argc == 5, "disconnect tcp|udp|refused|deferred ADDRESS PORT1 PORT2");
	if (!strcmp(argv[1], "refused") || !strcmp(argv[1], "deferred")) {
		fail_twice(argv[2], argv[3], argv[4], !strcmp(argv[1], "deferred"));
		return 0;
	}
	address_read(argv[2], "0", &family);
	fd = socket_new(&family, strcmp(argv[1], "udp") ? SOCK_STREAM : SOCK_DGRAM, 0);
	connect_to(fd, argv[2], argv[3]);
	if (connect(fd, &nobody, sizeof(nobody)))
		err(1, "AF_UNSPEC");
	connect_to(fd, argv[2], argv[4]);
	close(fd);
	printf("connected twice\n");
	return 0;
}
