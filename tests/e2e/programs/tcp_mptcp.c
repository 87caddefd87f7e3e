/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_mptcp ADDRESS PORT: one MPTCP connection. */
#include "program.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

int main(int argc, char **argv)
{
	union address to;
	socklen_t size;
	char back[5];
	int fd;

	usage_unless(argc == 3, "tcp_mptcp ADDRESS PORT");
	size = address_read(argv[1], argv[2], &to);
	fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);
	if (fd < 0)
		skip("no MPTCP here: %m");
	if (connect(fd, &to.any, size))
		err(1, "connect");
	if (send(fd, "hello", 5, 0) != 5 || recv(fd, back, 5, MSG_WAITALL) != 5)
		err(1, "exchange");
	close(fd);
	printf("connected\n");
	return 0;
}
