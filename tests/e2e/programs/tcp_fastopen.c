/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_fastopen HOW ADDRESS PORT: connects by sending, twice, so that the second time a cookie is
 * there.
 *
 * msg: sendto with MSG_FASTOPEN. connect: TCP_FASTOPEN_CONNECT, whose connect(2) returns before any
 * packet.
 */
#include "program.h"

#include <netinet/tcp.h>

static int send_first(int fd, const char *how, const union address *to, socklen_t size)
{
	const int on = 1;

	if (!strcmp(how, "msg"))
		return sendto(fd, "hello", 5, MSG_FASTOPEN, &to->any, size);
	if (setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)))
		skip("no TCP_FASTOPEN_CONNECT: %m");
	if (connect(fd, &to->any, size))
		return -1;
	return send(fd, "hello", 5, 0);
}

int main(int argc, char **argv)
{
	union address to;
	socklen_t size;
	char back[5];

	usage_unless(argc == 4, "tcp_fastopen msg|connect ADDRESS PORT");
	size = address_read(argv[2], argv[3], &to);
	for (int i = 0; i < 2; i++) {
		int fd = socket_new(&to, SOCK_STREAM, 0);

		if (send_first(fd, argv[1], &to, size) < 0)
			err(1, "%s", argv[1]);
		if (recv(fd, back, sizeof(back), MSG_WAITALL) != sizeof(back))
			err(1, "recv");
		close(fd);
	}
	printf("connected twice\n");
	return 0;
}
