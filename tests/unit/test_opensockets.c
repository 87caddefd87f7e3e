/* SPDX-License-Identifier: Apache-2.0 */
/* What a process has open, as /proc shows it: this one's own sockets. */
#include "daemon/opensockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LOOK_NS 10000000000ull

static const struct sockaddr_in loopback = {.sin_family = AF_INET,
					    .sin_addr = {.s_addr = 0x0100007f}};

static uint16_t port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	return ntohs(a.sin_port);
}

static int listener(int flags)
{
	int fd = socket(AF_INET, SOCK_STREAM | flags, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&loopback, sizeof(loopback)), 0);
	assert_int_equal(listen(fd, 512), 0);
	return fd;
}

static int connected(int type, int to)
{
	struct sockaddr_in a = loopback;
	int fd = socket(AF_INET, type, 0);

	assert_true(fd >= 0);
	a.sin_port = htons(port_of(to));
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static const Affiant__V1__OpenConnection *find(const Affiant__V1__SessionStarted *m, uint16_t port)
{
	for (size_t i = 0; i < m->n_open_connections; i++)
		if (m->open_connections[i]->local && m->open_connections[i]->local->port == port)
			return m->open_connections[i];
	return NULL;
}

static void lists_what_reaches_out_and_what_listens(void **state)
{
	Affiant__V1__SessionStarted m = AFFIANT__V1__SESSION_STARTED__INIT;
	int in = listener(SOCK_CLOEXEC), out = connected(SOCK_STREAM, in);
	int udp = connected(SOCK_DGRAM, in), idle = socket(AF_INET, SOCK_STREAM, 0);
	const Affiant__V1__OpenConnection *c;

	(void)state;
	assert_int_equal(opensockets_add(getpid(), OPENSOCKETS_ALL, LOOK_NS, &m), 0);
	c = find(&m, port_of(in));
	assert_non_null(c);
	assert_true(c->listening);
	assert_null(c->remote);
	assert_int_equal(c->tgid, getpid());
	c = find(&m, port_of(out));
	assert_non_null(c);
	assert_false(c->listening);
	assert_int_equal(c->protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_TCP);
	assert_int_equal(c->remote->port, port_of(in));
	assert_memory_equal(c->remote->address.data, "\x7f\x00\x00\x01", 4);
	c = find(&m, port_of(udp));
	assert_non_null(c);
	assert_int_equal(c->protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_UDP);
	assert_int_equal(m.n_open_connections, 3);

	/* What goes at the exec is not given to anybody. */
	opensockets_clear(&m);
	assert_int_equal(opensockets_add(getpid(), OPENSOCKETS_KEPT, LOOK_NS, &m), 0);
	assert_null(find(&m, port_of(in)));
	assert_non_null(find(&m, port_of(out)));
	assert_int_equal(m.n_open_connections, 2);
	assert_false(m.open_connections_cut);
	opensockets_clear(&m);
	close(in), close(out), close(udp), close(idle);
}

static const Affiant__V1__OpenConnection *find_family(const Affiant__V1__SessionStarted *m,
						      unsigned int family, unsigned int type)
{
	for (size_t i = 0; i < m->n_open_connections; i++)
		if (m->open_connections[i]->family == family && m->open_connections[i]->type == type)
			return m->open_connections[i];
	return NULL;
}

/* Nobody sees what goes out by them: that they are there is all that can be told. */
static void lists_what_no_hook_sees(void **state)
{
	int raw = socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
	int raw6 = socket(AF_INET6, SOCK_RAW, IPPROTO_RAW);
	int to = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	int packet = socket(AF_PACKET, SOCK_DGRAM, htons(0x0800));
	Affiant__V1__SessionStarted m = AFFIANT__V1__SESSION_STARTED__INIT;
	const Affiant__V1__OpenConnection *c;
	bool connected = false;

	(void)state;
	if (raw < 0 || raw6 < 0 || to < 0 || packet < 0) {
		print_message("needs CAP_NET_RAW\n");
		skip();
	}
	assert_int_equal(connect(to, (const struct sockaddr *)&loopback, sizeof(loopback)), 0);
	assert_int_equal(opensockets_add(getpid(), OPENSOCKETS_KEPT, LOOK_NS, &m), 0);
	assert_int_equal(m.n_open_connections, 4);
	for (size_t i = 0; i < m.n_open_connections; i++) {
		c = m.open_connections[i];
		assert_int_equal(c->tgid, getpid());
		assert_false(c->listening);
		if (!c->remote)
			continue;
		connected = true;
		assert_int_equal(c->protocol_number, IPPROTO_ICMP);
		assert_memory_equal(c->remote->address.data, "\x7f\x00\x00\x01", 4);
		assert_false(c->remote->has_port);
	}
	assert_true(connected);
	c = find_family(&m, AF_INET, SOCK_RAW);
	assert_non_null(c);
	assert_int_equal(c->protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_RAW);
	assert_false(c->local->has_port);
	c = find_family(&m, AF_INET6, SOCK_RAW);
	assert_non_null(c);
	assert_int_equal(c->protocol_number, IPPROTO_RAW);
	c = find_family(&m, AF_PACKET, SOCK_DGRAM);
	assert_non_null(c);
	assert_int_equal(c->protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_OTHER);
	assert_int_equal(c->protocol_number, 0x0800);
	assert_null(c->local);
	opensockets_clear(&m);
	close(raw), close(raw6), close(to), close(packet);
}

static void says_when_there_are_more(void **state)
{
	Affiant__V1__SessionStarted m = AFFIANT__V1__SESSION_STARTED__INIT;
	int in = listener(0), out[OPENSOCKETS_MAX];
	size_t size;

	(void)state;
	for (size_t i = 0; i < OPENSOCKETS_MAX; i++)
		out[i] = connected(SOCK_STREAM, in);
	assert_int_equal(opensockets_add(getpid(), OPENSOCKETS_KEPT, LOOK_NS, &m), 0);
	assert_int_equal(m.n_open_connections, OPENSOCKETS_MAX);
	assert_true(m.open_connections_cut);
	size = affiant__v1__session_started__get_packed_size(&m);
	assert_true(size < 32768); /* leaves room for the rest of a session's head */
	opensockets_cut(&m, size / 2);
	assert_true(affiant__v1__session_started__get_packed_size(&m) <= size / 2);
	assert_true(m.n_open_connections > OPENSOCKETS_MAX / 2 - 8);
	opensockets_cut(&m, 0);
	assert_int_equal(m.n_open_connections, 0);
	opensockets_clear(&m);
	for (size_t i = 0; i < OPENSOCKETS_MAX; i++)
		close(out[i]);
	close(in);
}

static void nobody_has_nothing(void **state)
{
	Affiant__V1__SessionStarted m = AFFIANT__V1__SESSION_STARTED__INIT;

	(void)state;
	assert_int_equal(opensockets_add(0x7fffffff, OPENSOCKETS_KEPT, LOOK_NS, &m), 0);
	assert_int_equal(m.n_open_connections, 0);
	opensockets_clear(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_what_reaches_out_and_what_listens),
		cmocka_unit_test(lists_what_no_hook_sees),
		cmocka_unit_test(says_when_there_are_more),
		cmocka_unit_test(nobody_has_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
