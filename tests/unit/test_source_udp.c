// SPDX-License-Identifier: Apache-2.0
/* What the kernel keeps of flows: how much, for how long, and in whose share. */
#include <bpf/bpf.h>

#include "source_net.h"

#define PORTS 200
#define SECOND_NS 1000000000ull

/* The entries of 'flows'; the last one in *@ret_key and *@ret. */
static size_t flows_count(const struct bed *b, struct flow_key *ret_key, struct flow *ret)
{
	_cleanup_close_ int fd = bed_map(b, "flows");
	struct flow_key key, *previous = NULL;
	size_t n = 0;

	for (; !bpf_map_get_next_key(fd, previous, &key); n++) {
		*ret_key = key;
		assert_int_equal(bpf_map_lookup_elem(fd, &key, ret), 0);
		previous = ret_key;
	}
	return n;
}

static void assert_flows(const struct bed *b, size_t count)
{
	_cleanup_close_ int fd = bed_map(b, "shares");
	uint64_t session = BED_SESSION;
	struct share share = {};
	struct flow_key key;
	struct flow flow;

	assert_int_equal(flows_count(b, &key, &flow), count);
	(void)bpf_map_lookup_elem(fd, &session, &share);
	assert_int_equal(share.flows, count);
}

static uint64_t boottime(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * SECOND_NS + t.tv_nsec;
}

static void send_to(int fd, int port)
{
	union address to = address_of("127.0.0.1", port);

	(void)!sendto(fd, "x", 1, 0, &to.any, sizeof(to.v4));
}

/* Stops where the test has a look. */
static int play_spray(void *data)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)data;
	MUST(fd >= 0);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < PORTS; i++)
			send_to(fd, 20000 + i);
		raise(SIGSTOP);
	}
	return 0;
}

static void await_stop(const struct actor *a)
{
	int status;

	assert_int_equal(waitpid(a->pid, &status, WUNTRACED), a->pid);
	assert_true(WIFSTOPPED(status));
}

static struct actor play_begins(struct bed *b, int (*play)(void *data), void *data)
{
	struct tag tag = {.session = BED_SESSION};
	struct actor a = actor_start(play, data);

	assert_int_equal(source_tag(b->source, a.pidfd, &tag), 0);
	actor_go(&a);
	await_stop(&a);
	return a;
}

static void play_ends(struct bed *b, struct actor *a)
{
	assert_int_equal(kill(a->pid, SIGCONT), 0);
	assert_int_equal(actor_wait(a), 0);
	bed_drain(b);
}

static void play_goes_on(struct actor *a)
{
	assert_int_equal(kill(a->pid, SIGCONT), 0);
	await_stop(a);
}

static void flows_go_with_their_socket(void **state)
{
	struct bed *b = bed_get(state);
	struct actor a = play_begins(b, play_spray, NULL);
	const struct event_close *end;

	assert_flows(b, PORTS - 1); /* the first stands with the socket */
	assert_int_equal(source_sweep_flows(b->source, boottime() + 3600 * SECOND_NS), 0);
	assert_flows(b, PORTS - 1);
	play_goes_on(&a);
	play_ends(b, &a);
	assert_flows(b, 0);
	assert_int_equal(bed_count(b, EVENT_CONNECT, a.pid), PORTS);
	end = bed_await(b, EVENT_CLOSE, a.pid, 0);
	assert_int_equal(end->excess, 0);
}

/* The process that had the pid before is gone: what it was told of says nothing of this one. */
static void a_pid_is_no_process(void **state)
{
	struct bed *b = bed_get(state);
	struct actor a = play_begins(b, play_spray, NULL);
	_cleanup_close_ int fd = bed_map(b, "flows");
	struct flow_key key;
	struct flow flow;

	flows_count(b, &key, &flow);
	flow.start--;
	assert_int_equal(bpf_map_update_elem(fd, &key, &flow, BPF_EXIST), 0);
	bed_drain(b);
	assert_int_equal(bed_count(b, EVENT_CONNECT, a.pid), PORTS);
	play_goes_on(&a);
	bed_drain(b);
	assert_int_equal(bed_count(b, EVENT_CONNECT, a.pid), PORTS + 1);
	assert_flows(b, PORTS - 1);
	play_ends(b, &a);
	assert_flows(b, 0);
}

/* What a release left behind, for whatever reason. */
static void leftovers_are_swept(void **state)
{
	struct bed *b = bed_get(state);
	struct actor a = play_begins(b, play_spray, NULL);
	_cleanup_close_ int flows = bed_map(b, "flows");
	_cleanup_close_ int shares = bed_map(b, "shares");
	const struct event_connect *told = bed_await(b, EVENT_CONNECT, a.pid, 0);
	struct flow_key key = {.cookie = told->cookie + 1000000, .tgid = 5};
	struct flow flow = {.session = BED_SESSION, .flags = FLOW_ALLOWED};
	uint64_t session = BED_SESSION;
	struct share share;

	for (uint32_t i = 0; i < 10; i++) {
		key.to.port = i;
		assert_int_equal(bpf_map_update_elem(flows, &key, &flow, BPF_NOEXIST), 0);
	}
	assert_int_equal(bpf_map_lookup_elem(shares, &session, &share), 0);
	share.flows += 10;
	assert_int_equal(bpf_map_update_elem(shares, &session, &share, BPF_EXIST), 0);
	assert_flows(b, PORTS - 1 + 10);
	assert_int_equal(source_sweep_flows(b->source, boottime()), 0);
	assert_flows(b, PORTS - 1);
	play_goes_on(&a);
	play_ends(b, &a);
	assert_flows(b, 0);
}

/* ---- who sends over a connection that another one made ---- */

static bool sends_are_seen(struct bed *b)
{
	for (const char *const *f = source_features(b->source); *f; f++)
		if (!strcmp(*f, "send"))
			return true;
	print_message("skipped: this kernel has no tracepoint for sends (sock_send_length)\n");
	return false;
}

static int play_send(void *data)
{
	const struct target *t = data;

	for (int i = 0; i < 50; i++)
		MUST(send(t->fd, "x", 1, MSG_NOSIGNAL) == 1);
	raise(SIGSTOP);
	for (int i = 0; i < 50; i++)
		MUST(send(t->fd, "x", 1, MSG_NOSIGNAL) == 1);
	return 0;
}

static int connected(struct target *t, int type)
{
	union address a = target_address(t);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, &a.any, sizeof(a.v4)), 0);
	return fd;
}

static void assert_sender(const struct event_connect *e, const struct target *t, uint16_t flags)
{
	assert_int_equal(e->flags, CONNECT_SEND | flags);
	assert_int_equal(e->reached.port, t->port);
	assert_int_equal(e->local.port, port_of(t->fd));
	assert_int_not_equal(e->cookie, 0);
	assert_int_equal(e->opener.session, 0);
}

/* Its sockets may be in other hands, as long as those like. */
static void a_session_that_is_over_holds_none(void **state)
{
	struct bed *b = bed_get(state);
	_cleanup_close_ int flows = bed_map(b, "flows");
	_cleanup_close_ int shares = bed_map(b, "shares");
	struct flow_key key = {.cookie = 1000000, .tgid = 5}, found;
	struct flow flow = {.session = BED_SESSION + 7,
			    .flags = FLOW_ALLOWED | FLOW_LOOSE,
			    .made_ns = boottime()};
	struct share share = {.tags = 1, .flows = 1};
	struct flow value;

	assert_int_equal(bpf_map_update_elem(flows, &key, &flow, BPF_NOEXIST), 0);
	assert_int_equal(bpf_map_update_elem(shares, &flow.session, &share, BPF_NOEXIST), 0);
	assert_int_equal(source_sweep_flows(b->source, boottime()), 0);
	assert_int_equal(flows_count(b, &found, &value), 1);
	share.tags = 0;
	assert_int_equal(bpf_map_update_elem(shares, &flow.session, &share, BPF_EXIST), 0);
	assert_int_equal(source_sweep_flows(b->source, boottime()), 0);
	assert_int_equal(flows_count(b, &found, &value), 0);
	assert_int_equal(bpf_map_lookup_elem(shares, &flow.session, &share), 0);
	assert_int_equal(share.flows, 0);
}

static void a_sender_is_told_once(void **state)
{
	struct bed *b = bed_get(state);
	struct server server = {};
	struct target t = {.text = "127.0.0.1"};
	struct actor a;

	if (!sends_are_seen(b))
		skip();
	server_start(&server, t.text);
	t.port = server.port;
	t.fd = connected(&t, SOCK_STREAM);
	a = play_begins(b, play_send, &t);
	assert_flows(b, 1);
	play_ends(b, &a);
	assert_int_equal(bed_count(b, EVENT_CONNECT, a.pid), 1);
	assert_sender(bed_await(b, EVENT_CONNECT, a.pid, 0), &t, 0);
	assert_flows(b, 1);
	close(t.fd);
	assert_flows(b, 0);
	server_stop(&server);
}

/*
 * Nothing can be kept with that socket, so that its end says nothing: what is known goes by its
 * age.
 */
static void a_sender_without_storage_is_told_now_and_then(void **state)
{
	struct bed *b = bed_get(state);
	struct server server = {};
	struct target t = {.text = "127.0.0.1"};
	struct actor a;

	if (!sends_are_seen(b))
		skip();
	server_start(&server, t.text);
	t.port = server.port;
	t.fd = connected(&t, SOCK_STREAM);
	fill_option_memory(t.fd);
	a = play_begins(b, play_send, &t);
	assert_flows(b, 1);
	assert_int_equal(source_sweep_flows(b->source, boottime()), 0);
	assert_flows(b, 1);
	assert_int_equal(source_sweep_flows(b->source, boottime() + 61 * SECOND_NS), 0);
	assert_flows(b, 0);
	play_ends(b, &a);
	assert_int_equal(bed_count(b, EVENT_CONNECT, a.pid), 2);
	assert_sender(bed_await(b, EVENT_CONNECT, a.pid, 0), &t, CONNECT_NO_STORAGE);
	close(t.fd);
	server_stop(&server);
	assert_flows(b, 1);
	assert_int_equal(source_sweep_flows(b->source, boottime() + 61 * SECOND_NS), 0);
	assert_flows(b, 0);
}

/* The peer of a datagram socket changes under the hands of who uses it. */
static int play_after_others(void *data)
{
	const struct target *t = data;

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 10; i++)
			(void)!send(t->fd, "x", 1, 0);
		raise(SIGSTOP);
	}
	return 0;
}

static void a_new_peer_is_a_new_flow(void **state)
{
	struct bed *b = bed_get(state);
	struct target t = {.text = "127.0.0.1", .port = 20001};
	union address to = target_address(&t);
	struct actor a;

	if (!sends_are_seen(b))
		skip();
	t.fd = connected(&t, SOCK_DGRAM);
	a = play_begins(b, play_after_others, &t);
	play_goes_on(&a);
	to.v4.sin_port = htons(20002);
	assert_int_equal(connect(t.fd, &to.any, sizeof(to.v4)), 0);
	play_goes_on(&a);
	play_ends(b, &a);
	assert_int_equal(bed_count(b, EVENT_CONNECT, a.pid), 2);
	assert_sender(bed_await(b, EVENT_CONNECT, a.pid, 0), &t, 0);
	t.port = 20002;
	assert_sender(bed_await(b, EVENT_CONNECT, a.pid, 1), &t, 0);
	close(t.fd);
	assert_flows(b, 0);
	bed_await(b, EVENT_CLOSE, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flows_go_with_their_socket),
		cmocka_unit_test(a_pid_is_no_process),
		cmocka_unit_test(leftovers_are_swept),
		cmocka_unit_test(a_session_that_is_over_holds_none),
		cmocka_unit_test(a_sender_is_told_once),
		cmocka_unit_test(a_sender_without_storage_is_told_now_and_then),
		cmocka_unit_test(a_new_peer_is_a_new_flow),
	};

	return cmocka_run_group_tests_name("source_udp", tests, bed_setup, bed_teardown);
}
