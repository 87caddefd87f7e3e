/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disconnect tcp|udp ADDRESS PORT1 PORT2: connects one socket to PORT1, disconnects it (AF_UNSPEC), connects it to
 * PORT2: one cookie, two connections.
 */
#include "program.h"

static void connect_to(int fd, const char *host, const char *port)
{
	union address to;
	socklen_t size = address_read(host, port, &to);

	if (connect(fd, &to.any, size))
		err(1, "connect %s", port);
}

int main(int argc, char **argv)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	union address family;
	int fd;

	usage_unless(argc == 5, "disconnect tcp|udp ADDRESS PORT1 PORT2");
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
