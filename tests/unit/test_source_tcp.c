// SPDX-License-Identifier: Apache-2.0
#include "source_net.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static int play_talk(void *data)
{
	struct target *t = data;
	union address a = target_address(t);
	int fd = socket(a.any.sa_family, SOCK_STREAM, 0);
	char buffer[64];

	MUST(fd >= 0);
	MUST(!connect(fd, &a.any, address_size(&a)));
	MUST(write(fd, "hello", 5) == 5);
	MUST(!shutdown(fd, SHUT_WR));
	while (read(fd, buffer, sizeof(buffer)) > 0)
		;
	return 0;
}

static int play_fail(void *data)
{
	union address a = target_address(data);
	int fd = socket(a.any.sa_family, SOCK_STREAM, 0);

	MUST(fd >= 0);
	MUST(connect(fd, &a.any, address_size(&a)) < 0);
	return 0;
}

/* Leaves while the SYN is on its way. */
static int play_hurry(void *data)
{
	union address a = target_address(data);
	int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

	MUST(fd >= 0);
	MUST(connect(fd, &a.any, address_size(&a)) < 0 && errno == EINPROGRESS);
	return 0;
}

static int play_no_route(void *data)
{
	union address a = address_of("192.0.2.1", 443);
	int fd;

	(void)data;
	MUST(!unshare(CLONE_NEWNET));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	MUST(fd >= 0);
	MUST(connect(fd, &a.any, sizeof(a.v4)) < 0 && errno == ENETUNREACH);
	return 0;
}

/* One attempt: what the first three events of it have to say. */
static const struct one {
	const char *name;
	const char *text; /* where to */
	enum { SERVED, RESET, CLOSED, FULL } peer;
	int (*play)(void *data);
	uint16_t family;  /* as recorded */
	uint16_t flags;   /* of the attempt, beside CONNECT_OPENER */
	uint8_t from, to; /* of the outcome */
	int error;
	uint8_t shutdown;
	uint8_t outcome_flags;
	bool close;
	int close_error;
	uint64_t sent, received;
} ones[] = {
	{"established", "127.0.0.1", SERVED, play_talk, AF_INET, 0, TCP_SYN_SENT, TCP_ESTABLISHED,
	 0, 0, 0, true, 0, 5, 7},
	{"IPv6", "::1", SERVED, play_talk, AF_INET6, 0, TCP_SYN_SENT, TCP_ESTABLISHED, 0, 0, 0,
	 true, 0, 5, 7},
	{"mapped", "::ffff:127.0.0.1", SERVED, play_talk, AF_INET, CONNECT_MAPPED, TCP_SYN_SENT,
	 TCP_ESTABLISHED, 0, 0, 0, true, 0, 5, 7},
	{"refused", "127.0.0.1", CLOSED, play_fail, AF_INET, 0, TCP_SYN_SENT, TCP_CLOSE,
	 ECONNREFUSED},
	{"closed before the SYN-ACK", "127.0.0.1", FULL, play_hurry, AF_INET, 0, TCP_SYN_SENT,
	 TCP_CLOSE, 0, 3},
	{"no route", "192.0.2.1", CLOSED, play_no_route, AF_INET, 0, 0, 0, 0, 0, OUTCOME_RELEASE},
};

/* A listener whose queue is full lets SYNs go unanswered. */
static int full_listener(int *ret_port, int hold[static 4])
{
	int fd = listening_socket("127.0.0.1", 0, ret_port);
	union address a = address_of("127.0.0.1", *ret_port);

	for (int i = 0; i < 4; i++) {
		hold[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(hold[i], &a.any, sizeof(a.v4));
		bed_nap();
	}
	return fd;
}

static pid_t play_one(struct bed *b, const struct one *o, struct target *t)
{
	struct server server = {.answer = "goodbye", .reset = o->peer == RESET};
	int fd, hold[4];
	pid_t pid;

	switch (o->peer) {
	case SERVED:
	case RESET:
		server_start(&server, strchr(o->text, '.') ? "127.0.0.1" : o->text);
		t->port = server.port;
		pid = bed_play(b, o->play, t);
		server_stop(&server);
		return pid;
	case FULL:
		fd = full_listener(&t->port, hold);
		pid = bed_play(b, o->play, t);
		for (int i = 0; i < 4; i++)
			close(hold[i]);
		close(fd);
		return pid;
	default:
		t->port = o->play == play_no_route ? 443 : closed_port();
		return bed_play(b, o->play, t);
	}
}

static void check_attempt(const struct one *o, const struct target *t,
			  const struct event_connect *c)
{
	assert_int_equal(c->reached.family, o->family);
	assert_int_equal(c->reached.port, t->port);
	/* Other programs may stand behind ours: whoever tests at the same time. */
	assert_int_equal(c->flags & ~(CONNECT_ASKED | CONNECT_BEHIND), o->flags | CONNECT_OPENER);
	assert_int_equal(c->opener.tgid, c->header.actor.tgid);
	assert_int_equal(c->opener.session, BED_SESSION);
	assert_int_equal(c->connection, (uint64_t)c->header.cpu << 48 | c->header.sequence);
	assert_int_equal(c->protocol, IPPROTO_TCP);
	assert_int_equal(c->sock_type, SOCK_STREAM);
	assert_int_equal(c->local.family, 0);
	assert_true(c->cookie);
	if (o->family == AF_INET6)
		assert_memory_equal(c->reached.bytes, &in6addr_loopback, 16);
	else if (t->port != 443)
		assert_memory_equal(c->reached.bytes, "\x7f\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0", 16);
}

static void check_close(const struct one *o, const struct event_connect *c,
			const struct event_close *e)
{
	assert_int_equal(e->connection, c->connection);
	assert_int_equal(e->bytes_sent, o->sent);
	assert_int_equal(e->bytes_received, o->received);
	assert_int_equal(e->error, o->close_error);
	assert_true(e->duration_ns > 0);
	assert_int_equal(e->protocol, IPPROTO_TCP);
}

static void an_attempt_has_its_outcome(void **state)
{
	struct bed *b = bed_get(state);

	for (size_t i = 0; i < sizeof(ones) / sizeof(*ones); i++) {
		const struct one *o = &ones[i];
		struct target t = {.text = o->text};
		const struct event_connect *c;
		const struct event_outcome *e;
		pid_t pid;

		print_message("\t%s\n", o->name);
		bed_forget(b);
		pid = play_one(b, o, &t);
		e = bed_await(b, EVENT_OUTCOME, pid, 0);
		c = bed_find(b, EVENT_CONNECT, pid, 0);
		assert_non_null(c);
		check_attempt(o, &t, c);
		assert_int_equal(e->connection, c->connection);
		assert_int_equal(e->cookie, c->cookie);
		assert_int_equal(e->from, o->from);
		assert_int_equal(e->to, o->to);
		assert_int_equal(e->error, o->error);
		assert_int_equal(e->shutdown, o->shutdown);
		assert_int_equal(e->flags, o->outcome_flags);
		if (!(o->outcome_flags & OUTCOME_RELEASE)) {
			assert_int_equal(e->peer.port, t.port);
			assert_int_equal(e->local.family, o->family);
			assert_true(e->local.port && e->latency_ns);
		}
		if (o->close)
			check_close(o, c, bed_await(b, EVENT_CLOSE, pid, 0));
		assert_int_equal(bed_count(b, EVENT_CONNECT, 0), 1);
		assert_int_equal(bed_count(b, EVENT_OUTCOME, 0), 1);
		assert_int_equal(bed_count(b, EVENT_CLOSE, 0), o->close);
	}
}

static int play_until_reset(void *data)
{
	union address a = target_address(data);
	int fd = socket(a.any.sa_family, SOCK_STREAM, 0);
	char c;

	MUST(fd >= 0);
	MUST(!connect(fd, &a.any, address_size(&a)));
	MUST(read(fd, &c, 1) < 0 && errno == ECONNRESET);
	return 0;
}

static void a_reset_is_seen_at_the_close(void **state)
{
	struct server server = {.reset = true};
	struct target t = {.text = "127.0.0.1"};
	struct bed *b = bed_get(state);
	const struct event_close *e;
	pid_t pid;

	server_start(&server, t.text);
	t.port = server.port;
	pid = bed_play(b, play_until_reset, &t);
	server_stop(&server);
	e = bed_await(b, EVENT_CLOSE, pid, 0);
	assert_int_equal(e->error, ECONNRESET);
	assert_int_equal(e->from, TCP_ESTABLISHED);
	assert_int_equal(e->bytes_sent, 0);
}

/* First an attempt that never becomes a SYN, then one that does. */
static int play_second_attempt(void *data)
{
	union address broadcast = address_of("255.255.255.255", 9), a = target_address(data);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	MUST(fd >= 0);
	MUST(connect(fd, &broadcast.any, sizeof(broadcast.v4)) < 0);
	MUST(!connect(fd, &a.any, sizeof(a.v4)));
	return 0;
}

static void a_second_attempt_ends_the_first(void **state)
{
	struct server server = {};
	struct target t = {.text = "127.0.0.1"};
	struct bed *b = bed_get(state);
	const struct event_connect *first, *second;
	const struct event_outcome *e;
	pid_t pid;

	server_start(&server, t.text);
	t.port = server.port;
	pid = bed_play(b, play_second_attempt, &t);
	server_stop(&server);
	bed_await(b, EVENT_CLOSE, pid, 0);
	first = bed_find(b, EVENT_CONNECT, pid, 0);
	second = bed_find(b, EVENT_CONNECT, pid, 1);
	assert_non_null(second);
	assert_int_equal(first->cookie, second->cookie);
	assert_int_not_equal(first->connection, second->connection);
	e = bed_find(b, EVENT_OUTCOME, pid, 0);
	assert_int_equal(e->flags, OUTCOME_REUSED);
	assert_int_equal(e->connection, first->connection);
	e = bed_find(b, EVENT_OUTCOME, pid, 1);
	assert_int_equal(e->to, TCP_ESTABLISHED);
	assert_int_equal(e->connection, second->connection);
}

/*
 * Reset, unread, then dissolved and used again for a port that refuses: 104 must not be said of the
 * second.
 */
static int play_dissolve(void *data)
{
	struct target *t = data;
	union address a = target_address(t), closed = address_of("127.0.0.1", t->fd), none = {};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	MUST(fd >= 0);
	connect(fd, &a.any, sizeof(a.v4));
	MUST(poll(&p, 1, 5000) == 1);
	none.any.sa_family = AF_UNSPEC;
	MUST(!connect(fd, &none.any, sizeof(none.any)));
	MUST(connect(fd, &closed.any, sizeof(closed.v4)) < 0);
	return 0;
}

static void a_dissolved_socket_makes_another_connection(void **state)
{
	struct server server = {};
	struct target t = {.text = "127.0.0.1", .fd = closed_port()};
	struct bed *b = bed_get(state);
	const struct event_connect *second;
	const struct event_outcome *e;
	pid_t pid;

	server_start(&server, t.text);
	t.port = server.port;
	pid = bed_play(b, play_dissolve, &t);
	server_stop(&server);
	e = bed_await(b, EVENT_OUTCOME, pid, 1);
	second = bed_find(b, EVENT_CONNECT, pid, 1);
	assert_non_null(second);
	assert_int_equal(e->connection, second->connection);
	assert_int_equal(e->error, ECONNREFUSED);
	assert_int_equal(bed_count(b, EVENT_CLOSE, pid), 1);
}

/* Connects to itself: SYN_SENT, SYN_RECV, ESTABLISHED. */
static int play_self(void *data)
{
	union address a = address_of("127.0.0.1", 0);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)data;
	MUST(fd >= 0);
	MUST(!bind(fd, &a.any, sizeof(a.v4)));
	a.v4.sin_port = htons(port_of(fd));
	MUST(!connect(fd, &a.any, sizeof(a.v4)));
	return 0;
}

static void a_self_connect_is_established(void **state)
{
	struct bed *b = bed_get(state);
	pid_t pid = bed_play(b, play_self, NULL);
	const struct event_outcome *e = bed_await(b, EVENT_OUTCOME, pid, 0);
	const struct event_connect *c = bed_find(b, EVENT_CONNECT, pid, 0);

	assert_int_equal(e->to, TCP_ESTABLISHED);
	assert_int_equal(c->local.port, c->reached.port);
	assert_int_equal(c->local.family, AF_INET);
}

static int play_open_and_pass(void *data)
{
	struct target *t = data;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char c;

	MUST(fd >= 0);
	MUST(!send_fd(t->fd, fd));
	MUST(read(t->fd, &c, 1) == 1); /* until it has been used */
	return 0;
}

static void an_untagged_task_connects_our_socket(void **state)
{
	struct bed *b = bed_get(state);
	struct tag tag = {.session = BED_SESSION};
	struct server server = {};
	struct target t;
	struct actor actor;
	const struct event_connect *c;
	const struct event_outcome *e;
	union address a;
	int pair[2], fd;

	server_start(&server, "127.0.0.1");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	t.fd = pair[1];
	actor = actor_start(play_open_and_pass, &t);
	assert_int_equal(source_tag(b->source, actor.pidfd, &tag), 0);
	actor_go(&actor);
	fd = receive_fd(pair[0]);
	assert_true(fd >= 0);
	a = address_of("127.0.0.1", server.port);
	assert_int_equal(connect(fd, &a.any, sizeof(a.v4)), 0);
	close(fd);
	assert_int_equal(write(pair[0], "", 1), 1);
	assert_int_equal(actor_wait(&actor), 0);
	server_stop(&server);
	close(pair[0]);
	close(pair[1]);

	e = bed_await(b, EVENT_OUTCOME, getpid(), 0);
	c = bed_find(b, EVENT_CONNECT, 0, 0);
	assert_non_null(c);
	assert_int_equal(c->flags, CONNECT_FOREIGN | CONNECT_OPENER);
	assert_int_equal(c->header.actor.session, 0);
	assert_int_equal(c->header.actor.tgid, getpid());
	assert_int_equal(c->opener.tgid, actor.pid);
	assert_int_equal(c->reached.port, server.port);
	assert_int_equal(e->connection, c->connection);
	assert_int_equal(e->to, TCP_ESTABLISHED);
}

static int play_connect_inherited(void *data)
{
	struct target *t = data;
	union address a = target_address(t);

	MUST(!connect(t->fd, &a.any, sizeof(a.v4)));
	MUST(!shutdown(t->fd, SHUT_RDWR));
	return 0;
}

static void a_socket_of_an_untagged_opener_is_said_to_be(void **state)
{
	struct server server = {};
	struct target t = {.text = "127.0.0.1"};
	struct bed *b = bed_get(state);
	const struct event_connect *c;
	pid_t pid;

	server_start(&server, t.text);
	t.port = server.port;
	t.fd = socket(AF_INET, SOCK_STREAM, 0);
	pid = bed_play(b, play_connect_inherited, &t);
	close(t.fd);
	server_stop(&server);
	c = bed_find(b, EVENT_CONNECT, pid, 0);
	assert_non_null(c);
	assert_int_equal(c->flags & CONNECT_OPENER, 0);
	assert_non_null(bed_await(b, EVENT_OUTCOME, pid, 0));
}

/* The storage could be refused us here; the attempt is told, and that nothing else can be. */
static void option_memory_can_be_denied_but_not_silently(void **state)
{
	uint64_t before[LOSS_KINDS], after[LOSS_KINDS], missed;
	struct server server = {};
	struct target t = {.text = "127.0.0.1"};
	struct bed *b = bed_get(state);
	const struct event_connect *c;
	pid_t pid;

	server_start(&server, t.text);
	t.port = server.port;
	t.fd = socket(AF_INET, SOCK_STREAM, 0);
	fill_option_memory(t.fd);
	assert_int_equal(source_losses(b->source, before, &missed), 0);
	pid = bed_play(b, play_connect_inherited, &t);
	close(t.fd);
	server_stop(&server);
	assert_int_equal(source_losses(b->source, after, &missed), 0);
	c = bed_find(b, EVENT_CONNECT, pid, 0);
	assert_non_null(c);
	assert_true(c->flags & CONNECT_NO_STORAGE);
	assert_true(c->cookie);
	assert_int_equal(after[LOSS_STORAGE] - before[LOSS_STORAGE], 1);
	assert_int_equal(bed_count(b, EVENT_OUTCOME, 0), 0);
}

static int play_mptcp(void *data)
{
	union address a = target_address(data);
	int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);

	if (fd < 0)
		return 0; /* not in this kernel, or switched off */
	MUST(!connect(fd, &a.any, sizeof(a.v4)));
	return 0;
}

static void mptcp_is_seen_by_its_subflow(void **state)
{
	struct server server = {};
	struct target t = {.text = "127.0.0.1"};
	struct bed *b = bed_get(state);
	const struct event_connect *c;
	int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	pid_t pid;

	if (fd < 0) {
		print_message("skipped: no MPTCP: %s\n", strerror(errno));
		skip();
	}
	close(fd);
	server_start(&server, t.text);
	t.port = server.port;
	pid = bed_play(b, play_mptcp, &t);
	server_stop(&server);
	c = bed_find(b, EVENT_CONNECT, pid, 0);
	assert_non_null(c);
	assert_int_equal(c->protocol, IPPROTO_TCP);
	assert_int_equal(((const struct event_outcome *)bed_await(b, EVENT_OUTCOME, pid, 0))->to,
			 TCP_ESTABLISHED);
	assert_int_equal(bed_count(b, EVENT_CONNECT, 0), 1);
	assert_int_equal(bed_count(b, EVENT_UNTRACKED, 0), 0);
}

/* A listener of ours and what it accepts are not outbound. */
static int play_serve(void *data)
{
	union address a = address_of("127.0.0.1", 0);
	int fd = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), peer;

	(void)data;
	MUST(!bind(fd, &a.any, sizeof(a.v4)) && !listen(fd, 4));
	a.v4.sin_port = htons(port_of(fd));
	MUST(!connect(client, &a.any, sizeof(a.v4)));
	peer = accept(fd, NULL, NULL);
	MUST(peer >= 0);
	MUST(!close(peer) && !close(client) && !close(fd));
	return 0;
}

static void accepting_is_not_connecting(void **state)
{
	struct bed *b = bed_get(state);
	pid_t pid = bed_play(b, play_serve, NULL);

	bed_await(b, EVENT_CLOSE, pid, 0);
	assert_int_equal(bed_count(b, EVENT_CONNECT, 0), 1);
	assert_int_equal(bed_count(b, EVENT_OUTCOME, 0), 1);
	assert_int_equal(bed_count(b, EVENT_CLOSE, 0), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_attempt_has_its_outcome),
		cmocka_unit_test(a_reset_is_seen_at_the_close),
		cmocka_unit_test(a_second_attempt_ends_the_first),
		cmocka_unit_test(a_dissolved_socket_makes_another_connection),
		cmocka_unit_test(a_self_connect_is_established),
		cmocka_unit_test(an_untagged_task_connects_our_socket),
		cmocka_unit_test(a_socket_of_an_untagged_opener_is_said_to_be),
		cmocka_unit_test(option_memory_can_be_denied_but_not_silently),
		cmocka_unit_test(mptcp_is_seen_by_its_subflow),
		cmocka_unit_test(accepting_is_not_connecting),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, bed_setup, bed_teardown);
}
