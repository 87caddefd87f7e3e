/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_net: sockets and peers for the tests of 'source'. Actors return 0, or the line that went
 * wrong.
 */
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "source_bed.h"

/* In an actor: what must hold. */
#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition,         \
				strerror(errno));                                                  \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un un;
};

static inline socklen_t address_size(const union address *a)
{
	return a->any.sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
}

/* "::ffff:..." makes a mapped address of an IPv6 socket. */
static inline union address address_of(const char *text, uint16_t port)
{
	union address a = {};

	if (strchr(text, ':')) {
		a.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
		inet_pton(AF_INET6, text, &a.v6.sin6_addr);
	} else {
		a.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
		inet_pton(AF_INET, text, &a.v4.sin_addr);
	}
	return a;
}

static inline int port_of(int fd)
{
	union address a;
	socklen_t len = sizeof(a);

	if (getsockname(fd, &a.any, &len))
		return -1;
	return ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
}

static inline int bound_socket(int type, const char *text, int *ret_port)
{
	union address a = address_of(text, 0);
	int fd = socket(a.any.sa_family, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &a.any, address_size(&a)), 0);
	*ret_port = port_of(fd);
	return fd;
}

static inline int listening_socket(const char *text, int backlog, int *ret_port)
{
	int fd = bound_socket(SOCK_STREAM, text, ret_port);

	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

/* A port of loopback where nobody listens. */
static inline int closed_port(void)
{
	int port, fd = bound_socket(SOCK_STREAM, "127.0.0.1", &port);

	close(fd);
	return port;
}

/* Serves one connection: reads to its end, answers, closes; or resets it. */
struct server {
	pthread_t thread;
	int fd;
	int port;
	bool reset;
	const char *answer;
};

static inline void *server_main(void *data)
{
	struct server *s = data;
	struct linger linger = {.l_onoff = 1};
	int fd = accept(s->fd, NULL, NULL);
	char buffer[256];

	if (fd < 0)
		return NULL;
	if (s->reset)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	else
		while (read(fd, buffer, sizeof(buffer)) > 0)
			;
	if (s->answer && write(fd, s->answer, strlen(s->answer)) < 0)
		perror("answer");
	close(fd);
	return NULL;
}

static inline void server_start(struct server *s, const char *text)
{
	s->fd = listening_socket(text, 16, &s->port);
	assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
}

static inline void server_stop(struct server *s)
{
	shutdown(s->fd, SHUT_RDWR); /* wakes an accept() that nobody came for */
	pthread_join(s->thread, NULL);
	close(s->fd);
}

/* What most actors get. */
struct target {
	const char *text;
	int port;
	int fd; /* something inherited or passed */
};

static inline union address target_address(const struct target *t)
{
	return address_of(t->text, t->port);
}

/*
 * Signature keys for peers that nobody talks to, until the socket's option memory holds no more. An
 * agent can do the same with what memory it finds: filters, multicast memberships.
 */
static inline void fill_option_memory(int fd)
{
	struct tcp_md5sig key = {.tcpm_keylen = 1, .tcpm_key = "k"};
	union address a = address_of("10.0.0.0", 0);
	uint32_t i = 0;

	do {
		a.v4.sin_addr.s_addr = htonl(0x0a000000 + i);
		memcpy(&key.tcpm_addr, &a.v4, sizeof(a.v4));
	} while (!setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &key, sizeof(key)) && ++i < 100000);
	assert_true(i > 0 && i < 100000);
}

static inline int send_fd(int over, int fd)
{
	char control[CMSG_SPACE(sizeof(fd))] = {}, byte = 0;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(over, &msg, 0) == 1 ? 0 : -1;
}

static inline int receive_fd(int over)
{
	char control[CMSG_SPACE(sizeof(int))] = {}, byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	int fd = -1;

	if (recvmsg(over, &msg, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&msg))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}
