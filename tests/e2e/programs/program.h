/* SPDX-License-Identifier: Apache-2.0 */
/* program: what the small test programs share: saying how they end, and reading an address. */
#pragma once

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXIT_SKIP 77 /* the kernel has no such thing: the line printed last says what */

#define skip(...)                                                                                  \
	do {                                                                                       \
		printf(__VA_ARGS__);                                                               \
		putchar('\n');                                                                     \
		exit(EXIT_SKIP);                                                                   \
	} while (0)

static inline void usage_unless(int ok, const char *text)
{
	if (!ok)
		errx(64, "usage: %s", text);
}

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* "10.0.0.1", "::1", "fe80::1%eth0", "::ffff:10.0.0.1". */
static inline socklen_t address_read(const char *text, const char *port, union address *ret)
{
	char host[INET6_ADDRSTRLEN];
	const char *scope = strchr(text, '%');

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, text, &ret->v4.sin_addr) == 1) {
		ret->v4.sin_family = AF_INET;
		ret->v4.sin_port = htons(atoi(port));
		return sizeof(ret->v4);
	}

	snprintf(host, sizeof(host), "%.*s", scope ? (int)(scope - text) : (int)strlen(text), text);
	if (inet_pton(AF_INET6, host, &ret->v6.sin6_addr) != 1)
		errx(64, "%s is no address", text);
	ret->v6.sin6_family = AF_INET6;
	ret->v6.sin6_port = htons(atoi(port));
	ret->v6.sin6_scope_id = scope ? if_nametoindex(scope + 1) : 0;
	return sizeof(ret->v6);
}

static inline int socket_new(const union address *to, int type, int protocol)
{
	int fd = socket(to->any.sa_family, type | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		err(1, "socket");
	return fd;
}
