/* SPDX-License-Identifier: Apache-2.0 */
/* Ports that the kernel chose, of sockets of this process. */
#include "daemon/listening.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "event.h"

static uint16_t port_of(int fd)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	return ntohs(a.ss_family == AF_INET ? ((struct sockaddr_in *)&a)->sin_port
					    : ((struct sockaddr_in6 *)&a)->sin6_port);
}

static struct event_listen event_of(int fd, int family)
{
	struct event_listen e = {.header = {.type = EVENT_LISTEN, .size = sizeof(e)},
				 .local = {.family = family},
				 .sock_type = SOCK_STREAM,
				 .protocol = IPPROTO_TCP};
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	e.inode = st.st_ino;
	e.header.actor.tgid = getpid();
	return e;
}

static int unbound(int family)
{
	int fd = socket(family, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static void ports_are_found(void **state)
{
	int v4 = unbound(AF_INET), v6 = unbound(AF_INET6);
	struct event_listen e[] = {event_of(v4, AF_INET), event_of(v6, AF_INET6),
				   event_of(v4, AF_INET)};
	struct listening l = {0};

	(void)state;
	e[2].local.port = 7; /* it knows: nothing is to be done */
	listening_fill(&l, (uint8_t *)e, sizeof(e));
	assert_int_equal(e[0].local.port, port_of(v4));
	assert_int_equal(e[1].local.port, port_of(v6));
	assert_int_equal(e[2].local.port, 7);
	assert_true(l.spent_ns > 0);
	close(v4), close(v6);
}

static void what_is_not_found_stays_absent(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct event_listen idle = event_of(fd, AF_INET), gone = idle, sctp = idle;
	struct listening l = {0};

	(void)state;
	listening_fill(&l, (uint8_t *)&idle, sizeof(idle));
	assert_int_equal(idle.local.port, 0);
	gone.header.actor.tgid = 0x7fffffff;
	listening_fill(&l, (uint8_t *)&gone, sizeof(gone));
	assert_int_equal(gone.local.port, 0);
	sctp.protocol = IPPROTO_SCTP;
	l = (struct listening){0};
	listening_fill(&l, (uint8_t *)&sctp, sizeof(sctp));
	assert_int_equal(l.spent_ns, 0);
	/* Half an event ends it. */
	listening_fill(&l, (uint8_t *)&idle, sizeof(idle) / 2);
	close(fd);
}

/* A listener in each of a hundred thousand events costs no more than its share. */
static void looking_has_an_end(void **state)
{
	enum { COUNT = 100000 };
	struct event_listen *e = calloc(COUNT, sizeof(*e));
	int fd = unbound(AF_INET);
	struct listening l = {0};
	size_t found = 0;

	(void)state;
	assert_non_null(e);
	for (size_t i = 0; i < COUNT; i++)
		e[i] = event_of(fd, AF_INET);
	listening_fill(&l, (uint8_t *)e, COUNT * sizeof(*e));
	for (size_t i = 0; i < COUNT; i++)
		found += e[i].local.port != 0;
	assert_true(found > 0 && found < COUNT);
	free(e);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_are_found),
		cmocka_unit_test(what_is_not_found_stays_absent),
		cmocka_unit_test(looking_has_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
