// SPDX-License-Identifier: Apache-2.0
#include "source_bed.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

static int play_nothing(void *data)
{
	(void)data;
	return 0;
}

static int play_fork_exec(void *data)
{
	pid_t pid = fork();
	int status;

	(void)data;
	if (!pid) {
		execl("/bin/sh", "sh", "-c", "exit 3", (char *)NULL);
		_exit(98);
	}
	return waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3 ? 0 : 1;
}

static void a_process_has_a_beginning_and_an_end(void **state)
{
	struct bed *b = bed_get(state);
	pid_t pid = bed_play(b, play_nothing, NULL);
	const struct event_exec *adopt = bed_find(b, EVENT_ADOPT, pid, 0);
	const struct event_exit *end = bed_find(b, EVENT_EXIT, pid, 0);

	assert_non_null(adopt);
	assert_int_equal(adopt->header.actor.session, BED_SESSION);
	assert_int_equal(adopt->header.actor.task, 7);
	assert_int_equal(adopt->parent_tgid, getpid());
	assert_non_null(end);
	assert_int_equal(end->status, 0);
	assert_int_equal(bed_count(b, EVENT_EXIT, pid), 1);
	assert_int_equal(source_tag_of(b->source, pid, &(struct tag){}), -ENOENT);
}

static void children_inherit_and_exec_is_told(void **state)
{
	struct bed *b = bed_get(state);
	pid_t pid = bed_play(b, play_fork_exec, NULL);
	const struct event_fork *child = bed_find(b, EVENT_FORK, 0, 0);
	const struct event_exec *exec;
	const struct event_exit *end;

	assert_non_null(child);
	assert_int_equal(child->parent_tgid, pid);
	assert_int_equal(child->header.actor.session, BED_SESSION);
	exec = bed_find(b, EVENT_EXEC, child->header.actor.tgid, 0);
	assert_non_null(exec);
	assert_int_equal(exec->header.actor.exec_seq, child->header.actor.exec_seq + 1);
	assert_int_equal(exec->argc, 3);
	assert_memory_equal(exec->data + exec->exe_len + exec->cwd_len, "/bin/sh",
			    exec->filename_len);
	assert_int_equal(exec->argv_len, sizeof("sh\0-c\0exit 3"));
	end = bed_find(b, EVENT_EXIT, child->header.actor.tgid, 0);
	assert_non_null(end);
	assert_int_equal(WEXITSTATUS(end->status), 3);
}

/* ---- the ring ---- */

#define SMALL_RING (64 << 10)

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* Fills the ring with events of its own context, then is refused: that is told in softirq. */
static int play_fill(void *data)
{
	struct sockaddr_in to;
	int tcp, udp;

	(void)data;
	for (int i = 0; i < 2 * SMALL_RING / (int)sizeof(struct event_connect); i++) {
		to = loopback(9);
		udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (udp < 0 || connect(udp, (struct sockaddr *)&to, sizeof(to)))
			return 1;
		close(udp);
	}
	/* A port of which nobody listens: bound by a socket that does not. */
	to = loopback(0);
	udp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(udp, (struct sockaddr *)&to, sizeof(to)) ||
	    getsockname(udp, (struct sockaddr *)&to, &(socklen_t){sizeof(to)}))
		return 2;
	tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(tcp, (struct sockaddr *)&to, sizeof(to)) == 0 || errno != ECONNREFUSED)
		return 3;
	return 0;
}

static void tasks_leave_an_eighth_of_the_ring(void **state)
{
	struct bed *all = bed_get(state), b = {.buffer = all->buffer};
	struct tag tag = {.session = BED_SESSION};
	uint64_t losses[LOSS_KINDS], missed;
	struct actor a;
	size_t used;

	snprintf(b.pin_dir, sizeof(b.pin_dir), "/sys/fs/bpf/affiant-test-ring-%d", getpid());
	b.config = (struct source_config){
		.pin_dir = b.pin_dir, .ring_bytes = SMALL_RING, .max_tags = 64};
	bed_open(&b);
	a = actor_start(play_fill, NULL);
	assert_int_equal(source_tag(b.source, a.pidfd, &tag), 0);
	actor_go(&a);
	assert_int_equal(actor_wait(&a), 0);
	used = source_ring_used(b.source);
	assert_int_equal(source_losses(b.source, losses, &missed), 0);
	bed_drain(&b);

	assert_true(used > SMALL_RING - SMALL_RING / 8 && used < SMALL_RING);
	assert_true(losses[EVENT_CONNECT] > 0);
	/* The attempt had no room, its outcome had. */
	assert_int_equal(losses[EVENT_OUTCOME], 0);
	assert_int_equal(bed_count(&b, EVENT_OUTCOME, a.pid), 1);
	/* What is there and what is counted as lost are all that was. */
	assert_int_equal(bed_count(&b, EVENT_CONNECT, a.pid) + losses[EVENT_CONNECT],
			 2 * SMALL_RING / sizeof(struct event_connect) + 1);
	bed_close(&b);
	assert_int_equal(source_uninstall(b.pin_dir, b.why, sizeof(b.why)), 0);
}

#define MANY (4 * SMALL_RING / (int)sizeof(struct event_connect))

static int play_ports(void *data)
{
	(void)data;
	for (int i = 0; i < MANY; i++) {
		struct sockaddr_in to = loopback(1 + i);
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) || close(fd))
			return 1;
		if (i % 64 == 63)
			raise(SIGSTOP); /* until what there is was read */
	}
	return 0;
}

/*
 * The ring's size is no multiple of theirs: events lie across its end, at every offset that there
 * is.
 */
static void events_go_on_at_the_rings_beginning(void **state)
{
	struct bed *all = bed_get(state), b = {.buffer = all->buffer};
	struct tag tag = {.session = BED_SESSION};
	const struct event_connect *connect;
	const struct event_close *end;
	struct actor a;
	int status;

	snprintf(b.pin_dir, sizeof(b.pin_dir), "/sys/fs/bpf/affiant-test-wrap-%d", getpid());
	b.config = (struct source_config){
		.pin_dir = b.pin_dir, .ring_bytes = SMALL_RING, .max_tags = 64};
	bed_open(&b);
	a = actor_start(play_ports, NULL);
	assert_int_equal(source_tag(b.source, a.pidfd, &tag), 0);
	actor_go(&a);
	while (waitpid(a.pid, &status, WUNTRACED) == a.pid && WIFSTOPPED(status)) {
		bed_drain(&b);
		assert_int_equal(kill(a.pid, SIGCONT), 0);
	}
	close(a.pidfd);
	assert_int_equal(status, 0);
	bed_drain(&b);

	assert_int_equal(bed_count(&b, EVENT_CONNECT, a.pid), MANY);
	for (int i = 0; i < MANY; i++) {
		connect = bed_find(&b, EVENT_CONNECT, a.pid, i);
		end = bed_find(&b, EVENT_CLOSE, a.pid, i);
		assert_int_equal(connect->reached.port, 1 + i);
		assert_non_null(end);
		assert_int_equal(end->connection, connect->connection);
		assert_int_equal(end->protocol, IPPROTO_UDP);
	}
	bed_close(&b);
	assert_int_equal(source_uninstall(b.pin_dir, b.why, sizeof(b.why)), 0);
}

/* ---- pins ---- */

static void pins_are_nobody_elses(void **state)
{
	struct bed *b = bed_get(state);
	char dir[64], why[256] = "";
	struct source_config config = b->config;
	struct source *s = NULL;

	snprintf(dir, sizeof(dir), "/sys/fs/bpf/affiant-test-open-%d", getpid());
	config.pin_dir = dir;
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(source_open(&config, &s, why, sizeof(why)), -EPERM);
	assert_non_null(strstr(why, "0777"));
	assert_int_equal(chmod(dir, 0700), 0);
	assert_int_equal(chown(dir, 65534, 65534), 0);
	assert_int_equal(source_open(&config, &s, why, sizeof(why)), -EPERM);
	assert_non_null(strstr(why, "65534"));
	assert_int_equal(rmdir(dir), 0);
}

#define GAMES 5 /* a user that nothing runs as */

static bool games_are_selected(struct bed *b)
{
	pid_t pid = fork();
	const struct event_exec *e;

	if (!pid) {
		if (setresuid(GAMES, GAMES, GAMES))
			_exit(98);
		execl("/bin/true", "true", (char *)NULL);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &(int){0}, 0), pid);
	bed_drain(b);
	e = bed_find(b, EVENT_EXEC, pid, 0);
	return e && e->header.actor.flags & TAG_SELECTED && e->selector == 77;
}

static bool keep_some(void *uid, enum selector_kind kind, const void *key)
{
	return kind == SELECT_UID && !memcmp(uid, key, sizeof(uint32_t));
}

static void selectors_come_and_go(void **state)
{
	struct bed *b = bed_get(state);
	const struct selector selector = {.id = 77};
	uint32_t games = GAMES, other = GAMES + 1;

	assert_false(games_are_selected(b));
	assert_int_equal(source_select_uid(b->source, games, &selector), 0);
	assert_true(games_are_selected(b));
	assert_int_equal(source_select_uid(b->source, games, NULL), 0);
	assert_false(games_are_selected(b));
	assert_int_equal(source_select_uid(b->source, games, NULL), -ENOENT);

	assert_int_equal(source_select_uid(b->source, games, &selector), 0);
	assert_int_equal(source_select_uid(b->source, other, &selector), 0);
	assert_int_equal(source_select_only(b->source, keep_some, &games), 0);
	assert_true(games_are_selected(b));
	assert_int_equal(source_select_uid(b->source, other, NULL), -ENOENT);
	assert_int_equal(source_select_only(b->source, keep_some, &other), 0);
	assert_false(games_are_selected(b));
}

/* Whatever it does says which one took it: the event of its exec may be lost. */
static void every_event_tells_the_selector(void **state)
{
	struct bed *b = bed_get(state);
	const struct selector selector = {.id = 77};
	uint32_t games = GAMES;
	pid_t pid;

	assert_int_equal(source_select_uid(b->source, games, &selector), 0);
	pid = fork();
	if (!pid) {
		if (setuid(GAMES))
			_exit(98);
		execl("/bin/true", "true", (char *)NULL);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &(int){0}, 0), pid);
	assert_int_equal(source_select_uid(b->source, games, NULL), 0);
	bed_drain(b);
	assert_int_equal(((const struct event_exec *)bed_find(b, EVENT_EXEC, pid, 0))
				 ->header.selector,
			 78);
	assert_int_equal(((const struct event_exit *)bed_find(b, EVENT_EXIT, pid, 0))
				 ->header.selector,
			 78);
	pid = bed_play(b, play_nothing, NULL);
	assert_int_equal(((const struct event_exit *)bed_find(b, EVENT_EXIT, pid, 0))
				 ->header.selector,
			 0);
}

/* ---- what stands behind the stubs ---- */

static uint64_t empty_slots(struct bed *b)
{
	uint64_t losses[LOSS_KINDS], missed;

	assert_int_equal(source_losses(b->source, losses, &missed), 0);
	return losses[LOSS_SLOT];
}

/* As when the pin of the map goes while no daemon runs. */
static void an_empty_slot_is_counted(void **state)
{
	struct bed *b = bed_get(state);
	_cleanup_close_ int map = -1;
	uint64_t before = empty_slots(b);
	uint32_t slot = 0;
	char path[96];

	snprintf(path, sizeof(path), "%s/map_dispatch_exit", b->pin_dir);
	map = bpf_obj_get(path);
	assert_true(map >= 0);
	bed_play(b, play_nothing, NULL);
	assert_int_equal(empty_slots(b), before);
	assert_int_equal(bpf_map_delete_elem(map, &slot), 0);
	bed_play(b, play_nothing, NULL);
	assert_true(empty_slots(b) > before);
	bed_close(b);
	bed_open(b);
	before = empty_slots(b);
	bed_play(b, play_nothing, NULL);
	assert_int_equal(empty_slots(b), before);
}

/* ---- where executables stand ---- */

#define SELECTED 88

static char *sleeper_in(const char *dir, const char *name)
{
	static char path[64];
	char command[400];

	snprintf(path, sizeof(path), "%.40s/%.10s", dir, name);
	snprintf(command, sizeof(command), "cp /bin/sleep %s.new && mv %s.new %s", path, path,
		 path);
	assert_int_equal(system(command), 0);
	return path;
}

static pid_t run_sleeper(const char *path)
{
	int p[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		execl(path, "sleep", "100", (char *)NULL);
		_exit(99);
	}
	close(p[1]);
	assert_int_equal(read(p[0], &c, 1), 0); /* closed by its exec */
	close(p[0]);
	return pid;
}

static void end_sleeper(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &(int){0}, 0), pid);
}

static void place_in(struct bed *b, const char *path, struct selector_exe_key *ret)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);

	memset(ret, 0xaa, sizeof(*ret));
	assert_int_equal(source_place(b->source, fd, ret), 0);
}

static const struct event_exec *exec_of(struct bed *b, uint16_t type, pid_t pid)
{
	bed_drain(b);
	return bed_find(b, type, pid, 0);
}

/* Whatever file has the name, by whatever path; not another name of the same file. */
static void an_executable_is_matched_by_its_place(void **state)
{
	struct bed *b = bed_get(state);
	const struct selector selector = {.id = SELECTED};
	char dir[] = "/tmp/affiant-test-place-XXXXXX", other[64], command[200];
	struct selector_exe_key key, second;
	const struct event_exec *e;
	pid_t pid;
	char *path;

	assert_non_null(mkdtemp(dir));
	path = sleeper_in(dir, "agent");
	place_in(b, path, &key);
	assert_string_equal(key.name, "agent");
	assert_int_equal(source_exe_told(b->source, &key, SELECTED), -ENOENT);
	assert_int_equal(source_select_exe(b->source, &key, &selector), 0);
	assert_int_equal(source_exe_told(b->source, &key, SELECTED), 1);
	second = key;
	second.name[0] = 'b';
	assert_int_equal(source_exe_told(b->source, &second, SELECTED), 0);
	assert_int_equal(source_exe_told(b->source, &key, SELECTED + 1), -ENOENT);

	for (int i = 0; i < 3; i++) { /* another file each time */
		sleeper_in(dir, "agent");
		pid = run_sleeper(path);
		e = exec_of(b, EVENT_EXEC, pid);
		assert_non_null(e);
		assert_int_equal(e->selector, SELECTED);
		assert_int_equal(e->flags & (EXEC_SELECTED | EXEC_BY_EXE),
				 EXEC_SELECTED | EXEC_BY_EXE);
		end_sleeper(pid);
	}
	snprintf(other, sizeof(other), "%s/other", dir);
	assert_int_equal(link(path, other), 0);
	pid = run_sleeper(other);
	assert_null(exec_of(b, EVENT_EXEC, pid));
	end_sleeper(pid);

	assert_int_equal(source_select_exe(b->source, &key, NULL), 0);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

/* Also one whose file was replaced since; and it is known that the word for it is the process's. */
static void what_runs_is_adopted_or_left_alone(void **state)
{
	struct bed *b = bed_get(state);
	struct selector selector = {.id = SELECTED, .flags = SELECTOR_EXEC_ONLY};
	char dir[] = "/tmp/affiant-test-place-XXXXXX", command[200];
	struct selector_exe_key key;
	const struct event_exec *e;
	uint32_t left_alone = 77;
	char *path;
	pid_t pid;

	assert_non_null(mkdtemp(dir));
	path = sleeper_in(dir, "agent");
	pid = run_sleeper(path);
	sleeper_in(dir, "agent");
	place_in(b, path, &key);

	assert_int_equal(source_select_exe(b->source, &key, &selector), 0);
	assert_int_equal(source_select_running(b->source, &left_alone), 0);
	assert_int_equal(left_alone, 1);
	assert_null(exec_of(b, EVENT_ADOPT, pid));

	selector.flags = 0;
	assert_int_equal(source_select_exe(b->source, &key, &selector), 0);
	assert_int_equal(source_select_running(b->source, &left_alone), 0);
	assert_int_equal(left_alone, 0);
	e = exec_of(b, EVENT_ADOPT, pid);
	assert_non_null(e);
	assert_int_equal(e->selector, SELECTED);
	assert_true(e->flags & EXEC_BY_EXE);
	end_sleeper(pid);

	assert_int_equal(source_select_exe(b->source, &key, NULL), 0);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_has_a_beginning_and_an_end),
		cmocka_unit_test(children_inherit_and_exec_is_told),
		cmocka_unit_test(tasks_leave_an_eighth_of_the_ring),
		cmocka_unit_test(events_go_on_at_the_rings_beginning),
		cmocka_unit_test(pins_are_nobody_elses),
		cmocka_unit_test(selectors_come_and_go),
		cmocka_unit_test(every_event_tells_the_selector),
		cmocka_unit_test(an_empty_slot_is_counted),
		cmocka_unit_test(an_executable_is_matched_by_its_place),
		cmocka_unit_test(what_runs_is_adopted_or_left_alone),
	};

	return cmocka_run_group_tests(tests, bed_setup, bed_teardown);
}
