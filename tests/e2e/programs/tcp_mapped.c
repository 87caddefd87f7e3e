/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_mapped ADDRESS PORT: an IPv6 socket that connects to an IPv4 address. */
#include "program.h"

int main(int argc, char **argv)
{
	char mapped[INET6_ADDRSTRLEN];
	union address to;
	socklen_t size;
	int fd;

	usage_unless(argc == 3, "tcp_mapped ADDRESS PORT");
	snprintf(mapped, sizeof(mapped), "::ffff:%s", argv[1]);
	size = address_read(mapped, argv[2], &to);
	fd = socket_new(&to, SOCK_STREAM, 0);
	if (connect(fd, &to.any, size))
		err(1, "connect");
	close(fd);
	printf("connected\n");
	return 0;
}
