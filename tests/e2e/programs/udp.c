/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp HOW ADDRESS PORT...: datagrams from one socket.
 *
 * sendto: one to each port, unconnected. sendmmsg: the same in one call. connect: connects to each
 * port in turn, with one datagram each. repeat: connects to the first port, fifty datagrams. named:
 * the same, with the address given with each. silent: connects, sends nothing. refused: connects,
 * sends until the error comes back. mapped: repeat by an IPv6 socket. mapped_named: named by an
 * IPv6 socket. lite: sendto by UDP-Lite. gso: sends that the kernel cuts into many datagrams, one
 * to each port.
 */
#include "program.h"

#include <linux/udp.h>
#include <poll.h>

#define MANY 50

static const char *host;
static int fd;

static int is(const char *how, const char *word)
{
	return !strcmp(how, word);
}

static void send_to(const char *port)
{
	union address to;
	socklen_t size = address_read(host, port, &to);

	if (sendto(fd, "hello", 5, 0, &to.any, size) != 5)
		err(1, "sendto %s", port);
}

static void connect_to(const char *port)
{
	union address to;
	socklen_t size = address_read(host, port, &to);

	if (connect(fd, &to.any, size))
		err(1, "connect %s", port);
}

static void send_plain(int count)
{
	for (int i = 0; i < count; i++)
		if (send(fd, "hello", 5, 0) != 5)
			err(1, "send");
}

static void send_all_at_once(char **ports, int count)
{
	struct iovec hello = {.iov_base = "hello", .iov_len = 5};
	struct mmsghdr messages[16] = {0};
	union address to[16];

	usage_unless(count <= 16, "sendmmsg: at most 16 ports");
	for (int i = 0; i < count; i++) {
		messages[i].msg_hdr.msg_namelen = address_read(host, ports[i], &to[i]);
		messages[i].msg_hdr.msg_name = &to[i];
		messages[i].msg_hdr.msg_iov = &hello;
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	if (sendmmsg(fd, messages, count, 0) != count)
		err(1, "sendmmsg");
}

static void send_segments(char **ports, int count)
{
	static const char many[MANY * 5];
	const int segment = 5;

	if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)))
		skip("no UDP_SEGMENT here: %m");
	for (int i = 0; i < count; i++) {
		union address to;
		socklen_t size = address_read(host, ports[i], &to);

		if (sendto(fd, many, sizeof(many), 0, &to.any, size) != sizeof(many))
			err(1, "sendto %s", ports[i]);
	}
}

static void wait_for_refusal(void)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	char byte;

	send_plain(1);
	if (poll(&ready, 1, -1) != 1 || recv(fd, &byte, 1, 0) >= 0 || errno != ECONNREFUSED)
		err(1, "no refusal");
}

int main(int argc, char **argv)
{
	const char *how = argv[1];
	char mapped[INET6_ADDRSTRLEN];
	union address family;

	usage_unless(argc >= 4, "udp HOW ADDRESS PORT...");
	host = argv[2];
	if (is(how, "mapped") || is(how, "mapped_named")) {
		snprintf(mapped, sizeof(mapped), "::ffff:%s", argv[2]);
		host = mapped;
	}
	address_read(host, "0", &family);
	fd = socket(family.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC,
		    is(how, "lite") ? IPPROTO_UDPLITE : 0);
	if (fd < 0 && is(how, "lite"))
		skip("no UDP-Lite here: %m");
	if (fd < 0)
		err(1, "socket");

	if (is(how, "sendto") || is(how, "lite")) {
		for (int i = 3; i < argc; i++)
			send_to(argv[i]);
	} else if (is(how, "gso")) {
		send_segments(argv + 3, argc - 3);
	} else if (is(how, "sendmmsg")) {
		send_all_at_once(argv + 3, argc - 3);
	} else if (is(how, "connect")) {
		for (int i = 3; i < argc; i++) {
			connect_to(argv[i]);
			send_plain(1);
		}
	} else if (is(how, "repeat") || is(how, "mapped")) {
		connect_to(argv[3]);
		send_plain(MANY);
	} else if (is(how, "named") || is(how, "mapped_named")) {
		connect_to(argv[3]);
		for (int i = 0; i < MANY; i++)
			send_to(argv[3]);
	} else if (is(how, "silent")) {
		connect_to(argv[3]);
	} else if (is(how, "refused")) {
		connect_to(argv[3]);
		wait_for_refusal();
	} else {
		errx(64, "%s: unknown", how);
	}
	close(fd);
	printf("sent\n");
	return 0;
}
