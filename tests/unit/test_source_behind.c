// SPDX-License-Identifier: Apache-2.0
/*
 * Programs of others at the root of cgroup2, attached after ours. They act on addresses of this
 * test alone: others use the same root at the same time.
 */
#include "source_net.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <sys/stat.h>

#define SERVICE "198.51.100.97" /* goes to the backend */
#define REFUSED "198.51.100.98"
#define BACKEND "127.0.33.11"
#define NAME "test_behind"

#define I_LOAD(reg, field)                                                                         \
	{                                                                                          \
		.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = reg, .src_reg = BPF_REG_1,           \
		.off = offsetof(struct bpf_sock_addr, field)                                       \
	}
#define I_STORE(field, reg)                                                                        \
	{                                                                                          \
		.code = BPF_STX | BPF_MEM | BPF_W, .dst_reg = BPF_REG_1, .src_reg = reg,           \
		.off = offsetof(struct bpf_sock_addr, field)                                       \
	}
#define I_MOVE(reg, value)                                                                         \
	{                                                                                          \
		.code = BPF_ALU | BPF_MOV, .dst_reg = reg, .imm = (int)(value)                     \
	}
#define I_UNLESS(reg, value, skipped)                                                              \
	{                                                                                          \
		.code = BPF_JMP32 | BPF_JNE, .dst_reg = reg, .imm = (int)(value), .off = skipped   \
	}
#define I_RETURN                                                                                   \
	{                                                                                          \
		.code = BPF_JMP | BPF_EXIT                                                         \
	}

static in_addr_t ip_of(const char *text)
{
	return address_of(text, 0).v4.sin_addr.s_addr;
}

/* A link: it goes with its descriptor. */
static int attach(struct bed *b, int type, int port)
{
	const struct bpf_insn code[] = {
		I_LOAD(BPF_REG_2, user_ip4),
		I_UNLESS(BPF_REG_2, ip_of(REFUSED), 2),
		I_MOVE(BPF_REG_0, 0),
		I_RETURN,
		I_UNLESS(BPF_REG_2, ip_of(SERVICE), 4),
		I_MOVE(BPF_REG_2, ip_of(BACKEND)),
		I_STORE(user_ip4, BPF_REG_2),
		I_MOVE(BPF_REG_2, htons(port)),
		I_STORE(user_port, BPF_REG_2),
		I_MOVE(BPF_REG_0, 1),
		I_RETURN,
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = type);
	int prog = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, NAME, "GPL", code,
				 sizeof(code) / sizeof(*code), &opts);
	int link;

	assert_true(prog >= 0);
	link = bpf_link_create(prog, source_cgroup_fd(b->source), type, NULL);
	assert_true(link >= 0);
	close(prog);
	return link;
}

struct found {
	unsigned int ours, all;
	unsigned int hooks; /* a bit for each at which ours is */
};

static void count(void *data, enum behind_hook hook, uint32_t id, const char *name)
{
	struct found *f = data;

	assert_true(id > 0);
	f->all++;
	if (strncmp(name, NAME, 15))
		return;
	f->ours++;
	f->hooks |= 1 << hook;
}

static struct found look(struct bed *b)
{
	struct found f = {};

	assert_int_equal(source_behind(b->source, count, &f), 0);
	return f;
}

static void who_is_behind_is_told(void **state)
{
	struct bed *b = bed_get(state);
	struct found f;
	int tcp, udp;

	assert_int_equal(look(b).ours, 0);
	tcp = attach(b, BPF_CGROUP_INET4_CONNECT, 1);
	udp = attach(b, BPF_CGROUP_UDP4_SENDMSG, 1);
	f = look(b);
	assert_int_equal(f.ours, 2);
	assert_int_equal(f.hooks, 1 << BEHIND_CONNECT4 | 1 << BEHIND_SENDMSG4);
	assert_string_equal(source_behind_word(BEHIND_SENDMSG4), "sendmsg4");
	close(udp);
	assert_int_equal(look(b).hooks, 1 << BEHIND_CONNECT4);
	close(tcp);
	assert_int_equal(look(b).ours, 0);
}

static int play_connect(void *data)
{
	struct target *t = data;
	union address a = target_address(t);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	MUST(fd >= 0 && !connect(fd, &a.any, sizeof(a.v4)));
	MUST(!close(fd));
	return 0;
}

static void what_was_reached_comes_from_the_socket(void **state)
{
	struct bed *b = bed_get(state);
	struct target t = {.text = SERVICE, .port = 443};
	const struct event_outcome *o;
	const struct event_connect *c;
	struct server server = {};
	int link;
	pid_t pid;

	server_start(&server, BACKEND);
	link = attach(b, BPF_CGROUP_INET4_CONNECT, server.port);
	pid = bed_play(b, play_connect, &t);
	close(link);
	c = bed_await(b, EVENT_CONNECT, pid, 0);
	assert_true(c->flags & CONNECT_BEHIND);
	assert_memory_equal(c->reached.bytes, "\xc6\x33\x64\x61", 4);
	o = bed_await(b, EVENT_OUTCOME, pid, 0);
	assert_int_equal(o->to, TCP_ESTABLISHED);
	assert_int_equal(o->peer.port, server.port);
	assert_memory_equal(o->peer.bytes, "\x7f\x00\x21\x0b", 4);
	server_stop(&server);
}

static int play_refused(void *data)
{
	union address a = target_address(data);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	MUST(fd >= 0 && connect(fd, &a.any, sizeof(a.v4)) < 0 && errno == EPERM);
	MUST(!close(fd));
	return 0;
}

static void a_refusal_behind_ours_is_not_seen_but_possible(void **state)
{
	struct bed *b = bed_get(state);
	struct target t = {.text = REFUSED, .port = 443};
	int link = attach(b, BPF_CGROUP_INET4_CONNECT, 1);
	pid_t pid = bed_play(b, play_refused, &t);
	const struct event_connect *c = bed_find(b, EVENT_CONNECT, pid, 0);
	const struct event_outcome *o = bed_await(b, EVENT_OUTCOME, pid, 0);

	close(link);
	assert_non_null(c);
	assert_true(c->flags & CONNECT_BEHIND);
	assert_false(c->flags & CONNECT_DENIED);
	assert_int_equal(o->flags, OUTCOME_RELEASE);
	assert_int_equal(o->from, 0);
	assert_int_equal(o->peer.family, 0);
}

static int play_send(void *data)
{
	union address a = target_address(data);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	MUST(fd >= 0 && sendto(fd, "x", 1, 0, &a.any, sizeof(a.v4)) == 1);
	MUST(!close(fd));
	return 0;
}

static void a_datagram_may_go_elsewhere(void **state)
{
	struct bed *b = bed_get(state);
	struct target t = {.text = SERVICE, .port = 53};
	int port, fd = bound_socket(SOCK_DGRAM, BACKEND, &port);
	int link = attach(b, BPF_CGROUP_UDP4_SENDMSG, port);
	pid_t pid = bed_play(b, play_send, &t);
	const struct event_connect *c = bed_find(b, EVENT_CONNECT, pid, 0);
	char byte;

	close(link);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 1); /* it did */
	close(fd);
	assert_non_null(c);
	assert_true(c->flags & CONNECT_BEHIND);
}

/* Asked before and after, since others come and go. */
static void with_nobody_behind_all_is_sure(void **state)
{
	struct bed *b = bed_get(state);
	struct target t = {.text = "127.0.0.1", .port = 9};
	bool alone = !look(b).all;
	pid_t pid = bed_play(b, play_send, &t);
	const struct event_connect *c = bed_find(b, EVENT_CONNECT, pid, 0);

	assert_non_null(c);
	if (!alone || look(b).all) {
		print_message("skipped: programs of others are attached at the root\n");
		skip();
	}
	assert_false(c->flags & CONNECT_BEHIND);
}

/* ---- refusals at socket(2) ---- */

struct cell {
	char path[64];
	int dir;
};

static int play_no_socket(void *data)
{
	const struct cell *cell = data;
	int procs = openat(cell->dir, "cgroup.procs", O_WRONLY);

	MUST(procs >= 0 && write(procs, "0", 1) == 1);
	MUST(socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM);
	MUST(socket(AF_INET6, SOCK_DGRAM, 0) < 0 && errno == EPERM);
	return 0;
}

static void a_refused_socket_is_told(void **state)
{
	static const struct bpf_insn refuse[] = {I_MOVE(BPF_REG_0, 0), I_RETURN};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_CGROUP_INET_SOCK_CREATE);
	struct bed *b = bed_get(state);
	const struct event_untracked *e;
	struct cell cell = {};
	int prog, link;
	pid_t pid;

	snprintf(cell.path, sizeof(cell.path), "affiant-test-behind-%d", getpid());
	assert_int_equal(mkdirat(source_cgroup_fd(b->source), cell.path, 0755), 0);
	cell.dir = openat(source_cgroup_fd(b->source), cell.path, O_RDONLY | O_DIRECTORY);
	prog = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SOCK, NAME, "GPL", refuse, 2, &opts);
	link = bpf_link_create(prog, cell.dir, BPF_CGROUP_INET_SOCK_CREATE, NULL);
	assert_true(prog >= 0 && cell.dir >= 0 && link >= 0);
	pid = bed_play(b, play_no_socket, &cell);
	close(link), close(prog), close(cell.dir);
	unlinkat(source_cgroup_fd(b->source), cell.path, AT_REMOVEDIR);

	if (!bed_count(b, EVENT_UNTRACKED, pid)) {
		for (const char *const *f = source_features(b->source); *f; f++)
			assert_string_not_equal(*f, "denied");
		skip();
	}
	e = bed_find(b, EVENT_UNTRACKED, pid, 0);
	assert_true(e->flags & CONNECT_DENIED);
	assert_int_equal(e->protocol, IPPROTO_TCP);
	assert_int_equal(e->family, AF_INET);
	e = bed_find(b, EVENT_UNTRACKED, pid, 1);
	assert_non_null(e);
	assert_int_equal(e->protocol, IPPROTO_UDP);
	assert_int_equal(e->family, AF_INET6);
	assert_int_equal(bed_count(b, EVENT_UNTRACKED, pid), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_behind_is_told),
		cmocka_unit_test(what_was_reached_comes_from_the_socket),
		cmocka_unit_test(a_refusal_behind_ours_is_not_seen_but_possible),
		cmocka_unit_test(a_datagram_may_go_elsewhere),
		cmocka_unit_test(with_nobody_behind_all_is_sure),
		cmocka_unit_test(a_refused_socket_is_told),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, bed_setup, bed_teardown);
}
