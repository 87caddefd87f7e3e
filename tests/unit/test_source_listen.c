// SPDX-License-Identifier: Apache-2.0
/* Sockets that begin to listen, as the kernel tells it; and TCP_REPAIR. */
#include "source_net.h"

#include <sys/mman.h>
#include <sys/stat.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static bool feature(struct bed *b, const char *word)
{
	for (const char *const *f = source_features(b->source); *f; f++)
		if (!strcmp(*f, word))
			return true;
	return false;
}

/* What the actor did, in memory that it shares with the test. */
struct stage {
	int protocol;
	const char *bind_to; /* NULL: to nothing */
	int family;
	int port;       /* out: what getsockname(2) said */
	uint32_t inode; /* out */
	int over;       /* a socket that it is given one by */
};

static struct stage *stage_new(void)
{
	struct stage *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(s != MAP_FAILED);
	*s = (struct stage){.family = AF_INET};
	return s;
}

static int play_listen(void *data)
{
	struct stage *s = data;
	union address a = address_of(s->bind_to ?: "127.0.0.1", 0);
	int fd = socket(s->family, SOCK_STREAM, s->protocol);
	struct stat st;

	MUST(fd >= 0);
	MUST(!s->bind_to || !bind(fd, &a.any, address_size(&a)));
	MUST(!listen(fd, 4));
	MUST(!listen(fd, 8)); /* another backlog is not another beginning */
	s->port = port_of(fd);
	MUST(!fstat(fd, &st));
	s->inode = st.st_ino;
	return 0;
}

static const struct event_listen *listening(struct bed *b, struct stage *s)
{
	pid_t pid = bed_play(b, play_listen, s);
	const struct event_listen *e = bed_find(b, EVENT_LISTEN, pid, 0);

	assert_non_null(e);
	assert_int_equal(bed_count(b, EVENT_LISTEN, 0), 1);
	assert_true(e->cookie);
	assert_int_equal(e->sock_type, SOCK_STREAM);
	assert_int_equal(e->header.actor.session, BED_SESSION);
	return e;
}

static void a_listener_has_its_address(void **state)
{
	struct bed *b = bed_get(state);
	struct stage *s = stage_new();
	const struct event_listen *e;

	s->bind_to = "127.0.0.1";
	e = listening(b, s);
	assert_int_equal(e->local.family, AF_INET);
	assert_int_equal(e->local.port, s->port);
	assert_memory_equal(e->local.bytes, "\x7f\0\0\x01", 4);
	assert_int_equal(e->protocol, IPPROTO_TCP);
	assert_int_equal(e->opener.tgid, e->header.actor.tgid);
	assert_int_equal(e->uid, geteuid());

	bed_forget(b);
	s->bind_to = "::1";
	s->family = AF_INET6;
	e = listening(b, s);
	assert_int_equal(e->local.family, AF_INET6);
	assert_int_equal(e->local.port, s->port);
	assert_int_equal(e->local.bytes[15], 1);
	munmap(s, sizeof(*s));
}

/* Nobody has to bind(2): the kernel picks a port, after the change of state. */
static void a_port_that_was_not_asked_for(void **state)
{
	struct bed *b = bed_get(state);
	struct stage *s = stage_new();
	const struct event_listen *e = listening(b, s);

	assert_int_equal(e->local.family, AF_INET);
	assert_true(s->port > 0);
	assert_int_equal(e->local.port, feature(b, "listen") ? s->port : 0);
	/* By which it is found in /proc. */
	assert_int_equal(e->inode, s->inode);
	munmap(s, sizeof(*s));
}

static void mptcp_listens_by_its_subflow(void **state)
{
	struct bed *b = bed_get(state);
	struct stage *s = stage_new();
	int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	const struct event_listen *e;

	if (fd < 0) {
		print_message("skipped: no MPTCP: %s\n", strerror(errno));
		skip();
	}
	close(fd);
	s->protocol = IPPROTO_MPTCP;
	s->bind_to = "127.0.0.1";
	e = listening(b, s);
	assert_int_equal(e->local.port, s->port);
	assert_int_equal(e->protocol, IPPROTO_TCP);
	munmap(s, sizeof(*s));
}

/* Both may be bound, and only one can listen. */
static int play_refused(void *data)
{
	int one = socket(AF_INET, SOCK_STREAM, 0), two = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
	union address a = address_of("127.0.0.1", 0);

	(void)data;
	MUST(!setsockopt(one, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)));
	MUST(!setsockopt(two, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)));
	MUST(!bind(one, &a.any, sizeof(a.v4)));
	a.v4.sin_port = htons(port_of(one));
	MUST(!bind(two, &a.any, sizeof(a.v4)));
	MUST(!listen(one, 4));
	MUST(listen(two, 4) < 0 && errno == EADDRINUSE);
	return 0;
}

static void who_may_not_listen_does_not(void **state)
{
	struct bed *b = bed_get(state);
	pid_t pid = bed_play(b, play_refused, NULL);

	if (!feature(b, "listen")) {
		print_message("skipped: this kernel does not tell how listen(2) went\n");
		skip();
	}
	assert_int_equal(bed_count(b, EVENT_LISTEN, pid), 1);
}

static int play_given(void *data)
{
	struct stage *s = data;
	int fd = receive_fd(s->over);

	MUST(fd >= 0);
	MUST(!listen(fd, 4));
	return 0;
}

static void a_socket_of_another_listens_for_us(void **state)
{
	struct bed *b = bed_get(state);
	struct stage *s = stage_new();
	struct tag tag = {.session = BED_SESSION};
	const struct event_listen *e;
	int pair[2], fd, port;
	struct actor a;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fd = bound_socket(SOCK_STREAM, "127.0.0.1", &port);
	s->over = pair[1];
	a = actor_start(play_given, s);
	assert_int_equal(source_tag(b->source, a.pidfd, &tag), 0);
	actor_go(&a);
	assert_int_equal(send_fd(pair[0], fd), 0);
	assert_int_equal(actor_wait(&a), 0);
	bed_drain(b);
	e = bed_find(b, EVENT_LISTEN, a.pid, 0);
	assert_non_null(e);
	assert_int_equal(e->local.port, port);
	assert_int_equal(e->opener.session, 0);
	close(fd), close(pair[0]), close(pair[1]);
	munmap(s, sizeof(*s));
}

/* Who is of no session leaves nothing. */
static void others_listen_unheard(void **state)
{
	struct bed *b = bed_get(state);
	int port, fd = listening_socket("127.0.0.1", 4, &port);

	close(fd);
	bed_drain(b);
	assert_int_equal(bed_count(b, EVENT_LISTEN, 0), 0);
}

/* Checkpointing's way to a connection that never was: to where nobody listens. */
static int play_repair(void *data)
{
	union address a = address_of("203.0.113.9", 443);
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	(void)data;
	MUST(fd >= 0);
	MUST(!setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)));
	MUST(!connect(fd, &a.any, sizeof(a.v4)));
	MUST(!close(fd));
	return 0;
}

/* As an agent can: in a network namespace that it made. */
static int play_repair_inside(void *data)
{
	MUST(!unshare(CLONE_NEWNET));
	MUST(!system("ip link set lo up && ip route add 203.0.113.0/24 dev lo"));
	return play_repair(data);
}

static void a_connection_that_never_was(void **state)
{
	struct bed *b = bed_get(state);
	pid_t pid = bed_play(b, play_repair_inside, NULL);
	const struct event_outcome *o = bed_await(b, EVENT_OUTCOME, pid, 0);
	const struct event_close *c = bed_await(b, EVENT_CLOSE, pid, 0);

	assert_int_equal(o->to, TCP_ESTABLISHED);
	assert_int_equal(o->flags, OUTCOME_REPAIR);
	assert_int_equal(o->peer.port, 443);
	assert_int_equal(c->flags, OUTCOME_REPAIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_listener_has_its_address),
		cmocka_unit_test(a_port_that_was_not_asked_for),
		cmocka_unit_test(mptcp_listens_by_its_subflow),
		cmocka_unit_test(who_may_not_listen_does_not),
		cmocka_unit_test(a_socket_of_another_listens_for_us),
		cmocka_unit_test(others_listen_unheard),
		cmocka_unit_test(a_connection_that_never_was),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, bed_setup, bed_teardown);
}
