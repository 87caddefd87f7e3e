/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_repair ADDRESS PORT: as any user can, makes itself a user and a network namespace, and there a
 * connection that is established by its own word (TCP_REPAIR); then puts it away.
 */
#include "program.h"

#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>

static void loopback_up(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
		err(1, "lo");
	close(fd);
}

int main(int argc, char **argv)
{
	union address to;
	int fd, on = 1;
	socklen_t size;

	usage_unless(argc == 3, "tcp_repair ADDRESS PORT");
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
		skip("no user namespace: %m");
	loopback_up();
	size = address_read(argv[1], argv[2], &to);
	fd = socket_new(&to, SOCK_STREAM, 0);
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)))
		skip("TCP_REPAIR: %m");
	if (connect(fd, &to.any, size))
		err(1, "connect");
	puts("connected");
	return close(fd) ? 1 : 0;
}
