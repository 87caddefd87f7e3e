/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_many ADDRESS PORT COUNT SOCKETS [full]: a datagram to each of COUNT ports from PORT on, from
 * each of SOCKETS sockets; says "sent", and keeps them until its input ends. full: with their
 * option memory filled before.
 */
#include "option_memory.h"
#include "program.h"

#include <sys/resource.h>

static void spray(int fd, const char *host, int first, int count)
{
	for (int i = 0; i < count; i++) {
		char port[16];
		union address to;
		socklen_t size;

		snprintf(port, sizeof(port), "%d", first + i);
		size = address_read(host, port, &to);
		if (sendto(fd, "hello", 5, 0, &to.any, size) != 5)
			err(1, "sendto %s", port);
	}
}

int main(int argc, char **argv)
{
	int sockets = argc >= 5 ? atoi(argv[4]) : 0;
	struct rlimit files = {sockets + 64, sockets + 64};
	union address family;
	char byte;

	usage_unless(argc == 5 || argc == 6, "udp_many ADDRESS PORT COUNT SOCKETS [full]");
	address_read(argv[1], "0", &family);
	if (sockets > 900 && setrlimit(RLIMIT_NOFILE, &files))
		err(1, "RLIMIT_NOFILE");
	for (int i = 0; i < sockets; i++) {
		int fd = socket_new(&family, SOCK_DGRAM, 0);

		if (argc == 6)
			option_memory_fill(fd);
		spray(fd, argv[1], atoi(argv[2]), atoi(argv[3]));
	}
	printf("sent\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
