/* SPDX-License-Identifier: Apache-2.0 */
/* The local socket: who is believed, who may what, and what a client cannot make it do. */
#include "server_fixture.h"

#include <netinet/in.h>

/* In a child there is no cmocka: the line number tells what went wrong. */
#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "child: line %d: %s\n", __LINE__, #x);                     \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

static int child_ask(int fd, Affiant__V1__Request *r, const uint8_t challenge[static 32],
		     const int *fds, size_t fds_count, struct answer *a)
{
	if (client_send(fd, r, challenge, fds, fds_count))
		return -1;
	return client_response(fd, a, 5000);
}

static bool is_error(const struct answer *a, const char *code, const char *part)
{
	return a->response && a->response->error && !strcmp(a->response->error->code, code) &&
	       strstr(a->response->error->text, part);
}

static void test_asks_and_answers(void **state)
{
	struct core *core = *state;
	uint8_t challenge[32], first[32];
	REQUEST_STATUS(r);
	struct answer a;
	_cleanup_close_ int fd = greeted(core, challenge);

	memcpy(first, challenge, 32);
	for (int i = 1; i <= 3; i++) {
		ask(core, fd, &r, challenge, &a);
		assert_null(a.response->error);
		assert_int_equal(a.response->answer_case, AFFIANT__V1__RESPONSE__ANSWER_STATUS);
		assert_int_equal(a.response->status->last_sequence, 4711);
		assert_int_equal(core->asked, i);
		assert_true(memcmp(challenge, first, 32));
		answer_clear(&a);
	}
	assert_int_equal(core->caller.pid, getpid());
	assert_int_equal(core->caller.uid, getuid());
	assert_true(core->caller.roles & SERVER_ROLE_READER);
}

static void test_wrong_challenge(void **state)
{
	struct core *core = *state;
	uint8_t challenge[32], old[32];
	REQUEST_STATUS(r);
	struct answer a;

	for (int replay = 0; replay < 2; replay++) {
		_cleanup_close_ int fd = greeted(core, challenge);

		memcpy(old, challenge, 32);
		if (replay) {
			ask(core, fd, &r, challenge, &a);
			answer_clear(&a);
		} else {
			old[31] ^= 1;
		}
		assert_int_equal(client_send(fd, &r, old, NULL, 0), 0);
		turn(core);
		client_response(fd, &a, 1000);
		assert_error(&a, "denied", "challenge");
		answer_clear(&a);
		assert_closed(fd);
	}
	assert_int_equal(core->asked, 1);
}

/* Root may write what it likes into SCM_CREDENTIALS, and is not believed even so. */
static void test_forged_credentials(void **state)
{
	struct core *core = *state;
	struct ucred creds[] = {
		{.pid = 1, .uid = getuid(), .gid = getgid()},
		{.pid = getpid(), .uid = getuid() + 1, .gid = getgid()},
		{.pid = getpid(), .uid = getuid(), .gid = getgid() + 1},
	};
	uint8_t challenge[32], data[256];
	REQUEST_STATUS(r);
	struct answer a;

	if (geteuid() != 0)
		SKIP("only root can send credentials that are not its own");
	for (size_t i = 0; i < sizeof(creds) / sizeof(*creds); i++) {
		_cleanup_close_ int fd = greeted(core, challenge);

		r.has_challenge = true;
		r.challenge = (ProtobufCBinaryData){32, challenge};
		assert_int_equal(client_send_bytes(fd, data, affiant__v1__request__pack(&r, data),
						   NULL, 0, &creds[i]),
				 0);
		turn(core);
		client_response(fd, &a, 1000);
		assert_error(&a, "denied", "not from the process that connected");
		answer_clear(&a);
		assert_closed(fd);
	}
	assert_int_equal(core->asked, 0);
}

/*
 * The connection of one process, used by another that got the descriptor, with the challenge and
 * all.
 */
static void test_passed_descriptor(void **state)
{
	struct core *core = *state;
	uint8_t challenge[32];
	REQUEST_STATUS(r);
	struct answer a;
	_cleanup_close_ int fd = greeted(core, challenge);
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(client_send(fd, &r, challenge, NULL, 0) ? 1 : 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	turn(core);
	client_response(fd, &a, 1000);
	assert_error(&a, "denied", "not from the process that connected");
	answer_clear(&a);
	assert_closed(fd);
	assert_int_equal(core->asked, 0);
}

/* Who connected is gone; its child goes on with the descriptor. */
static int orphan(struct core *core)
{
	uint8_t challenge[32];
	REQUEST_STATUS(r);
	struct answer a;
	int parent[2], result[2], fd;
	char good = 0;

	CHECK(pipe(parent) == 0 && pipe(result) == 0);
	if (!fork()) {
		fd = client_connect(core);
		CHECK(client_hello(fd, challenge, 5000));
		if (fork())
			_exit(0);
		close(parent[1]);
		CHECK(read(parent[0], &good, 1) ==
		      0); /* nobody else holds its other end: the parent is gone */
		good = child_ask(fd, &r, challenge, NULL, 0, &a) > 0 &&
		       is_error(&a, "denied", "not from the process");
		_exit(write(result[1], &good, 1) == 1 ? 0 : 1);
	}
	close(parent[1]);
	close(result[1]);
	CHECK(read(result[0], &good, 1) == 1 && good);
	return 0;
}

static void test_orphaned_descriptor(void **state)
{
	assert_int_equal(in_child(*state, getuid(), orphan), 0);
}

/*
 * exec, another session, another process of that number: each between the greeting and the request.
 */
static void test_tag_changes(void **state)
{
	struct core *core = *state;
	static const struct tag before = {.start_boottime = 5, .session = 7, .exec_seq = 3};
	const struct tag after[] = {
		{.start_boottime = 5, .session = 7, .exec_seq = 4},
		{.start_boottime = 5, .session = 8, .exec_seq = 3},
		{.start_boottime = 6, .session = 7, .exec_seq = 3},
	};
	uint8_t challenge[32];
	REQUEST_STATUS(r);
	struct answer a;

	for (size_t i = 0; i < 5; i++) {
		int fd;

		core->tagged = i < 4;
		core->tag = before;
		fd = greeted(core, challenge);
		if (i < 3)
			core->tag = after[i];
		else
			core->tagged = !core->tagged; /* left a session; entered one */
		assert_int_equal(client_send(fd, &r, challenge, NULL, 0), 0);
		turn(core);
		client_response(fd, &a, 1000);
		assert_error(&a, "denied", "executed something");
		answer_clear(&a);
		assert_closed(fd);
		close(fd);
	}
	assert_int_equal(core->asked, 0);
}

/* The same while the core works on the answer: nobody gets it. */
static void test_tag_changes_late(void **state)
{
	struct core *core = *state;
	Affiant__V1__Response response = AFFIANT__V1__RESPONSE__INIT;
	uint8_t challenge[32];
	REQUEST_STATUS(r);
	_cleanup_close_ int fd = greeted(core, challenge);

	core->defer = true;
	assert_int_equal(client_send(fd, &r, challenge, NULL, 0), 0);
	turn(core);
	assert_non_null(core->deferred);
	core->tagged = true;
	server_answer(core->deferred, &response);
	assert_closed(fd);
}

/*
 * But who asked for a session of its own is told, although its tag is another now; and is a
 * launcher no more.
 */
static void test_opens_for_itself(void **state)
{
	struct core *core = *state;
	Affiant__V1__Response response = AFFIANT__V1__RESPONSE__INIT;
	uint8_t challenge[32];
	REQUEST_OPEN(r);
	struct answer a;
	_cleanup_close_ int fd = greeted(core, challenge);

	core->defer = true;
	assert_int_equal(client_send(fd, &r, challenge, NULL, 0), 0);
	turn(core);
	assert_int_equal(core->target, getpid());
	assert_true(core->target_lives);
	core->tagged = true;
	core->tag = (struct tag){.session = 9, .exec_seq = 1};
	server_answer(core->deferred, &response);
	assert_true(client_response(fd, &a, 1000) > 0);
	assert_null(a.response->error);
	memcpy(challenge, a.response->challenge.data, 32);
	answer_clear(&a);

	ask(core, fd, &r, challenge, &a);
	assert_error(&a, "denied", "a process of a session may not open sessions");
	answer_clear(&a);
	assert_int_equal(core->opened, 1);
}

/* Evidence is for a process of a session alone, and enrolment for root alone. */
static void test_evidence(void **state)
{
	struct core *core = *state;
	Affiant__V1__GetEvidence evidence = AFFIANT__V1__GET_EVIDENCE__INIT;
	Affiant__V1__GetEnrolment enrolment = AFFIANT__V1__GET_ENROLMENT__INIT;
	Affiant__V1__Request r = AFFIANT__V1__REQUEST__INIT;
	uint8_t challenge[32], echoed[32];
	struct answer a;
	int fd;

	evidence.nonce = (char *)"nonce-nonce";
	evidence.audience = (char *)"https://sts.example";
	r.call_case = AFFIANT__V1__REQUEST__CALL_GET_EVIDENCE;
	r.get_evidence = &evidence;
	fd = greeted(core, challenge);
	ask(core, fd, &r, challenge, &a);
	assert_error(&a, "untagged", "is of no session, and only those may ask for evidence");
	answer_clear(&a);
	assert_int_equal(core->untagged, 1);
	close(fd);
	assert_int_equal(core->attested, 0);

	core->tagged = true;
	core->tag = (struct tag){.start_boottime = 5, .session = 7, .exec_seq = 3};
	fd = greeted(core, challenge);
	memcpy(echoed, challenge, 32);
	ask(core, fd, &r, challenge, &a);
	assert_null(a.response->error);
	answer_clear(&a);
	assert_int_equal(core->attested, 1);
	assert_int_equal(core->caller.roles, SERVER_ROLE_AGENT);
	assert_memory_equal(&core->caller.tag, &core->tag, sizeof(core->tag));
	assert_memory_equal(core->challenge, echoed, 32);

	r.call_case = AFFIANT__V1__REQUEST__CALL_GET_ENROLMENT;
	r.get_enrolment = &enrolment;
	ask(core, fd, &r, challenge, &a);
	assert_error(&a, "denied", "a process of a session may not enrol the host");
	answer_clear(&a);
	close(fd);
	core->tagged = false;
	fd = greeted(core, challenge);
	ask(core, fd, &r, challenge, &a);
	if (getuid()) {
		assert_error(&a, "denied", "may not enrol the host: root may");
	} else {
		assert_null(a.response->error);
	}
	answer_clear(&a);
	close(fd);
	assert_int_equal(core->enrolled, getuid() == 0);
}

static void test_agents_have_no_role(void **state)
{
	struct core *core = *state;
	Affiant__V1__EndSession end = AFFIANT__V1__END_SESSION__INIT;
	Affiant__V1__ListSessions list = AFFIANT__V1__LIST_SESSIONS__INIT;
	Affiant__V1__ReadSegments segments = AFFIANT__V1__READ_SEGMENTS__INIT;
	Affiant__V1__Match match = AFFIANT__V1__MATCH__INIT;
	Affiant__V1__Request r = AFFIANT__V1__REQUEST__INIT;
	uint8_t challenge[32], session[16] = {};
	REQUEST_STATUS(status);
	REQUEST_OPEN(opens);
	struct answer a;
	int fd;

	core->tagged = true;
	fd = greeted(core, challenge);
	ask(core, fd, &status, challenge, &a);
	assert_error(&a, "denied", "a process of a session may not see the status");
	answer_clear(&a);
	ask(core, fd, &opens, challenge, &a);
	assert_error(&a, "denied", "a process of a session may not open sessions");
	answer_clear(&a);

	end.has_session = true;
	end.session = (ProtobufCBinaryData){16, session};
	r.call_case = AFFIANT__V1__REQUEST__CALL_END_SESSION;
	r.end_session = &end;
	ask(core, fd, &r, challenge, &a);
	assert_error(&a, "denied", "end sessions");
	answer_clear(&a);
	r.call_case = AFFIANT__V1__REQUEST__CALL_LIST_SESSIONS;
	r.list_sessions = &list;
	ask(core, fd, &r, challenge, &a);
	assert_error(&a, "denied", "list sessions");
	answer_clear(&a);
	r.call_case = AFFIANT__V1__REQUEST__CALL_READ_SEGMENTS;
	r.read_segments = &segments;
	ask(core, fd, &r, challenge, &a);
	assert_error(&a, "denied", "read records");
	assert_int_equal(a.fds_count, 0);
	answer_clear(&a);
	match.has_pid = true;
	match.pid = 1;
	r.call_case = AFFIANT__V1__REQUEST__CALL_MATCH;
	r.match = &match;
	ask(core, fd, &r, challenge, &a);
	assert_error(&a, "denied", "match processes");
	answer_clear(&a);
	close(fd);
	assert_int_equal(core->opened + core->ended + core->listed + core->asked + core->matched,
			 0);
}

/* ---- roles, as another user ---- */

static int nobody_asks(struct core *core, bool launcher, bool reader)
{
	uint8_t challenge[32];
	REQUEST_STATUS(status);
	REQUEST_OPEN(opens);
	struct answer a;
	int fd = client_connect(core);

	CHECK(client_hello(fd, challenge, 5000));
	CHECK(child_ask(fd, &status, challenge, NULL, 0, &a) > 0);
	CHECK(reader ? !a.response->error
		     : is_error(&a, "denied",
				"user 65534 may not see the status: root and those "
				"named by 'readers' in affiant.yaml may"));
	memcpy(challenge, a.response->challenge.data, 32);
	CHECK(child_ask(fd, &opens, challenge, NULL, 0, &a) > 0);
	CHECK(launcher ? !a.response->error : is_error(&a, "denied", "'launchers'"));
	return 0;
}

static int nobody_is_nothing(struct core *core)
{
	return nobody_asks(core, false, false);
}

static int nobody_launches(struct core *core)
{
	return nobody_asks(core, true, false);
}

static int nobody_reads(struct core *core)
{
	return nobody_asks(core, false, true);
}

static void restart(struct core *core)
{
	server_free(core->server);
	core->server = NULL;
	assert_int_equal(server_new(core->event, &core->config, &core_ops, core, &core->server), 0);
}

static void test_roles(void **state)
{
	struct core *core = *state;
	static const uid_t users[] = {NOBODY};
	static const gid_t groups[] = {12345, NOBODY};

	if (geteuid() != 0)
		SKIP("needs root to become another user");
	assert_int_equal(in_child(core, NOBODY, nobody_is_nothing), 0);
	core->config.launcher_users = users;
	restart(core);
	assert_int_equal(in_child(core, NOBODY, nobody_launches), 0);
	core->config.launcher_users_count = 0;
	core->config.reader_groups = groups;
	core->config.reader_groups_count = 1;
	restart(core);
	assert_int_equal(in_child(core, NOBODY, nobody_is_nothing), 0);
	core->config.reader_groups_count = 2;
	restart(core);
	assert_int_equal(in_child(core, NOBODY, nobody_reads), 0);
}

static int supplementary(struct core *core)
{
	const gid_t groups[] = {1, 12345};

	CHECK(setgroups(2, groups) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
	      setresuid(NOBODY, NOBODY, NOBODY) == 0);
	return nobody_reads(core);
}

static void test_supplementary_group(void **state)
{
	struct core *core = *state;
	static const gid_t groups[] = {12345};

	if (geteuid() != 0)
		SKIP("needs root to become another user");
	core->config.reader_groups = groups;
	core->config.reader_groups_count = 1;
	restart(core);
	assert_int_equal(in_child(core, 0, supplementary), 0);
}

/* As a set-user-ID program would ask: real and effective user differ, or came to differ. */
static int mixed(struct core *core)
{
	uint8_t challenge[32];
	REQUEST_STATUS(status);
	struct answer a;
	int fd;

	CHECK(setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, 0, 0) == 0);
	fd = client_connect(core);
	CHECK(client_hello(fd, challenge, 5000));
	CHECK(child_ask(fd, &status, challenge, NULL, 0, &a) > 0 &&
	      is_error(&a, "denied", "not from the process"));

	CHECK(setresuid(0, 0, 0) == 0);
	fd = client_connect(core);
	CHECK(client_hello(fd, challenge, 5000));
	CHECK(setresuid(0, NOBODY, 0) == 0);
	CHECK(child_ask(fd, &status, challenge, NULL, 0, &a) > 0 &&
	      is_error(&a, "denied", "changed its user or group"));
	return 0;
}

static void test_mixed_users(void **state)
{
	struct core *core = *state;

	if (geteuid() != 0)
		SKIP("needs root to become another user");
	assert_int_equal(in_child(core, 0, mixed), 0);
	assert_int_equal(core->asked, 0);
}

/* ---- pidfds and descriptors ---- */

static int open_others(struct core *core)
{
	uint8_t challenge[32];
	REQUEST_OPEN(opens);
	struct answer a;
	pid_t child = fork();
	int fd = client_connect(core), target;

	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	opens_call.has_target_is_pidfd = opens_call.target_is_pidfd = true;
	CHECK(client_hello(fd, challenge, 5000));

	target = open("/dev/null", O_RDONLY);
	CHECK(child_ask(fd, &opens, challenge, &target, 1, &a) > 0);
	CHECK(is_error(&a, "bad_request", "not the pidfd of a process"));
	memcpy(challenge, a.response->challenge.data, 32);

	target = syscall(SYS_pidfd_open, getppid(), 0);
	CHECK(child_ask(fd, &opens, challenge, &target, 1, &a) > 0);
	CHECK(is_error(&a, "denied",
		       getuid() == everybody[0] ? "the daemon is no agent" : "is another user's"));
	memcpy(challenge, a.response->challenge.data, 32);

	target = syscall(SYS_pidfd_open, child, 0);
	CHECK(child_ask(fd, &opens, challenge, &target, 1, &a) > 0);
	CHECK(!a.response->error);
	memcpy(challenge, a.response->challenge.data, 32);

	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	CHECK(child_ask(fd, &opens, challenge, &target, 1, &a) > 0);
	CHECK(is_error(&a, "not_found", "the process is gone"));
	memcpy(challenge, a.response->challenge.data, 32);

	CHECK(child_ask(fd, &opens, challenge, NULL, 0, &a) > 0);
	CHECK(is_error(&a, "bad_request", "not as many descriptors"));
	return 0;
}

static void test_opens_for_others(void **state)
{
	struct core *core = *state;
	static const uid_t users[] = {NOBODY};
	size_t before = count_fds();

	assert_int_equal(in_child(core, getuid(), open_others), 0);
	assert_int_equal(core->opened, 1);
	assert_true(core->target_lives);
	assert_int_equal(count_fds(), before);
	if (geteuid() != 0)
		return;
	core->config.launcher_users = users;
	restart(core);
	assert_int_equal(in_child(core, NOBODY, open_others), 0);
	assert_int_equal(core->opened, 2);
	assert_int_equal(core->caller.roles, SERVER_ROLE_LAUNCHER);
	assert_int_equal(count_fds(), before);
}

static int send_descriptors(struct core *core)
{
	ProtobufCBinaryData paths[65];
	uint8_t challenge[32];
	REQUEST_OPEN(opens);
	REQUEST_STATUS(status);
	struct answer a;
	int fd = client_connect(core), fds[253];

	for (int i = 0; i < 253; i++)
		fds[i] = open("/dev/null", O_RDONLY);
	for (int i = 0; i < 65; i++)
		paths[i] = (ProtobufCBinaryData){1, (uint8_t *)"x"};
	opens_call.measure = paths;
	opens_call.n_measure = 64;
	CHECK(client_hello(fd, challenge, 5000));
	CHECK(child_ask(fd, &opens, challenge, fds, 64, &a) > 0 && !a.response->error);
	memcpy(challenge, a.response->challenge.data, 32);
	opens_call.n_measure = 65;
	CHECK(child_ask(fd, &opens, challenge, fds, 65, &a) > 0 &&
	      is_error(&a, "bad_request", "more than 64 paths"));
	memcpy(challenge, a.response->challenge.data, 32);
	opens_call.n_measure = 3;
	CHECK(child_ask(fd, &opens, challenge, fds, 253, &a) > 0 &&
	      is_error(&a, "bad_request", "not as many"));
	memcpy(challenge, a.response->challenge.data, 32);
	CHECK(child_ask(fd, &status, challenge, fds, 1, &a) > 0 &&
	      is_error(&a, "bad_request", "descriptors come with"));
	memcpy(challenge, a.response->challenge.data, 32);
	challenge[0] ^= 1;
	CHECK(child_ask(fd, &opens, challenge, fds, 3, &a) > 0 &&
	      is_error(&a, "denied", "challenge"));
	return 0;
}

static void test_descriptors(void **state)
{
	struct core *core = *state;
	size_t before = count_fds();

	assert_int_equal(in_child(core, getuid(), send_descriptors), 0);
	assert_int_equal(core->opened, 1);
	assert_int_equal(core->measures, 64);
	assert_int_equal(count_fds(), before);
}

/* Its last close waits for an hour: what it has to send, the other end, *@ret_peer, never takes. */
static int lingering(int *ret_peer)
{
	const struct linger hour = {.l_onoff = 1, .l_linger = 3600};
	static const char data[65536];
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	_cleanup_close_ int listening = socket(AF_INET, SOCK_STREAM, 0);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(listening, (struct sockaddr *)&address, len), 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &len), 0);
	assert_int_equal(listen(listening, 1), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
	*ret_peer = accept(listening, NULL, NULL);
	while (send(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hour, sizeof(hour)), 0);
	return fd;
}

/* The last reference to what somebody passed is put here, in messages that are read and in one that
 * never is. */
static void test_passed_descriptor_lingers(void **state)
{
	struct core *core = *state;
	uint8_t challenge[32];
	REQUEST_STATUS(r);
	_cleanup_close_ int fd = greeted(core, challenge);
	int fds[2], peers[2];

	challenge[0] ^= 1;
	for (int i = 0; i < 2; i++) {
		fds[i] = lingering(&peers[i]);
		assert_int_equal(client_send(fd, &r, challenge, &fds[i], 1), 0);
		close(fds[i]);
	}
	turn(core);
	for (int i = 0; i < 2; i++)
		close(peers[i]);
	assert_int_equal(core->asked, 0);
}

static void test_oversize(void **state)
{
	struct core *core = *state;
	_cleanup_free_ uint8_t *data = calloc(1, SERVER_MESSAGE_MAX + 1);
	uint8_t challenge[32];
	struct answer a;
	int fd = greeted(core, challenge);

	assert_int_equal(client_send_bytes(fd, data, SERVER_MESSAGE_MAX, NULL, 0, NULL), 0);
	turn(core);
	client_response(fd, &a, 1000);
	assert_error(&a, "bad_request", "not a request of affiant.v1");
	answer_clear(&a);
	assert_int_equal(client_send_bytes(fd, data, SERVER_MESSAGE_MAX + 1, NULL, 0, NULL), 0);
	turn(core);
	client_response(fd, &a, 1000);
	assert_error(&a, "bad_request", "longer than 65536 bytes");
	answer_clear(&a);
	assert_closed(fd);
	close(fd);
}

/* ---- answers ---- */

static void test_large_answer(void **state)
{
	struct core *core = *state;
	Affiant__V1__ListSessions list = AFFIANT__V1__LIST_SESSIONS__INIT;
	Affiant__V1__Request r = AFFIANT__V1__REQUEST__INIT;
	Affiant__V1__Response *inner;
	uint8_t challenge[32];
	struct answer a;
	int fd = greeted(core, challenge);
	void *map;

	core->answer_bytes = 1000000;
	r.call_case = AFFIANT__V1__REQUEST__CALL_LIST_SESSIONS;
	r.list_sessions = &list;
	ask(core, fd, &r, challenge, &a);
	assert_int_equal(a.response->answer_case, AFFIANT__V1__RESPONSE__ANSWER_IN_MEMFD);
	assert_int_equal(a.fds_count, 1);
	assert_int_equal(fcntl(a.fds[0], F_GET_SEALS),
			 F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	map = mmap(NULL, a.response->in_memfd->size, PROT_READ, MAP_PRIVATE, a.fds[0], 0);
	assert_true(map != MAP_FAILED);
	inner = affiant__v1__response__unpack(NULL, a.response->in_memfd->size, map);
	munmap(map, a.response->in_memfd->size);
	assert_non_null(inner);
	assert_int_equal(strlen(inner->sessions->sessions[0]->selector), 1000000);
	affiant__v1__response__free_unpacked(inner, NULL);
	answer_clear(&a);
	close(fd);
}

static void test_segments(void **state)
{
	struct core *core = *state;
	Affiant__V1__ReadSegments read_segments = AFFIANT__V1__READ_SEGMENTS__INIT;
	Affiant__V1__Request r = AFFIANT__V1__REQUEST__INIT;
	uint8_t challenge[32];
	struct answer a;
	size_t before = count_fds();
	uint64_t index;
	int fd = greeted(core, challenge);

	core->segments = 20;
	r.call_case = AFFIANT__V1__REQUEST__CALL_READ_SEGMENTS;
	r.read_segments = &read_segments;
	ask(core, fd, &r, challenge, &a);
	assert_int_equal(a.response->segments->n_segments, 16);
	assert_int_equal(a.fds_count, 16);
	assert_true(a.response->segments->more);
	for (uint64_t i = 0; i < 16; i++) {
		assert_int_equal(a.response->segments->segments[i]->index, i);
		assert_int_equal(a.response->segments->segments[i]->first_sequence, 100 * i);
		assert_int_equal(pread(a.fds[i], &index, sizeof(index), 0), sizeof(index));
		assert_int_equal(index, i);
	}
	answer_clear(&a);

	read_segments.has_from_index = true;
	read_segments.from_index = 16;
	ask(core, fd, &r, challenge, &a);
	assert_int_equal(a.fds_count, 4);
	assert_false(a.response->segments->more);
	assert_true(a.response->segments->segments[2]->sealed);
	assert_false(a.response->segments->segments[3]->sealed);
	answer_clear(&a);
	read_segments.from_index = 20;
	ask(core, fd, &r, challenge, &a);
	assert_int_equal(a.fds_count, 0);
	assert_int_equal(a.response->segments->n_segments, 0);
	answer_clear(&a);
	close(fd);
	turn(core);
	assert_int_equal(count_fds(), before);
}

static int follow(struct core *core, uint8_t challenge[static 32])
{
	Affiant__V1__ReadSegments read_segments = AFFIANT__V1__READ_SEGMENTS__INIT;
	Affiant__V1__Request r = AFFIANT__V1__REQUEST__INIT;
	struct answer a;
	int fd = greeted(core, challenge);

	read_segments.has_follow = read_segments.follow = true;
	r.call_case = AFFIANT__V1__REQUEST__CALL_READ_SEGMENTS;
	r.read_segments = &read_segments;
	ask(core, fd, &r, challenge, &a);
	answer_clear(&a);
	return fd;
}

/*
 * A follower that does not read costs nothing, holds nobody up, and misses nothing when it reads
 * again.
 */
static void test_slow_follower(void **state)
{
	struct core *core = *state;
	uint8_t challenge[32];
	uint64_t last = 0, got = 0;
	struct answer a;
	int fd = follow(core, challenge);

	for (uint64_t i = 1; i <= 20000; i++)
		server_appended(core->server, 1, i);
	turn(core);
	while (client_response(fd, &a, 0) > 0) {
		assert_int_equal(a.response->answer_case, AFFIANT__V1__RESPONSE__ANSWER_APPENDED);
		assert_true(a.response->appended->sequence > last);
		last = a.response->appended->sequence;
		got++;
		answer_clear(&a);
		turn(core);
	}
	assert_int_equal(a.len, -1);
	assert_int_equal(last, 20000);
	assert_true(got < 20000);
	close(fd);
}

/* Who does not take its answer in time is let go. */
static void test_slow_reader(void **state)
{
	struct core *core = *state;
	uint8_t challenge[32];
	REQUEST_STATUS(r);
	struct answer a;
	int fd;

	core->config.timeout_us = 50000;
	restart(core);
	fd = follow(core, challenge);
	for (uint64_t i = 1; i <= 20000; i++)
		server_appended(core->server, 1, i);
	assert_int_equal(client_send(fd, &r, challenge, NULL, 0), 0);
	turn(core);
	assert_int_equal(core->asked, 1);
	while (sd_event_run(core->event, 1000000) > 0) /* ends when nothing more happens */
		;
	while (client_response(fd, &a, 0) > 0) {
		assert_int_equal(a.response->answer_case, AFFIANT__V1__RESPONSE__ANSWER_APPENDED);
		answer_clear(&a);
	}
	assert_int_equal(a.len, 0);
	close(fd);
}

static void test_silent_client(void **state)
{
	struct core *core = *state;
	uint8_t challenge[32];
	REQUEST_STATUS(r);
	struct answer a;
	int silent, speaker;

	core->config.timeout_us = 100000;
	restart(core);
	silent = greeted(core, challenge);
	speaker = greeted(core, challenge);
	ask(core, speaker, &r, challenge, &a);
	answer_clear(&a);
	while (sd_event_run(core->event, 500000) > 0)
		;
	assert_closed(silent);
	ask(core, speaker, &r, challenge, &a); /* one that has spoken may stay */
	answer_clear(&a);
	close(silent);
	close(speaker);
}

/* A request sent while another is worked on is not read; and the caller may vanish meanwhile. */
static void test_caller_vanishes(void **state)
{
	struct core *core = *state;
	Affiant__V1__Response response = AFFIANT__V1__RESPONSE__INIT;
	uint8_t challenge[32];
	REQUEST_STATUS(r);
	size_t before = count_fds();
	int fd = greeted(core, challenge);

	core->defer = true;
	assert_int_equal(client_send(fd, &r, challenge, NULL, 0), 0);
	assert_int_equal(client_send(fd, &r, challenge, NULL, 0), 0);
	turn(core);
	assert_int_equal(core->asked, 1);
	close(fd);
	turn(core);
	server_answer(core->deferred, &response);
	turn(core);
	assert_int_equal(core->asked, 1);
	assert_int_equal(count_fds(), before);

	/* and the server, with a call still open */
	fd = greeted(core, challenge);
	assert_int_equal(client_send(fd, &r, challenge, NULL, 0), 0);
	turn(core);
	restart(core);
	close(fd);
}

/* ---- bounds ---- */

static int crowd(struct core *core)
{
	int fds[SERVER_CONNECTIONS_UID_MAX];
	uint8_t challenge[32];

	for (int i = 0; i < SERVER_CONNECTIONS_UID_MAX; i++) {
		fds[i] = client_connect(core);
		CHECK(client_hello(fds[i], challenge, 5000));
	}
	CHECK(!client_hello(client_connect(core), challenge, 5000));
	close(fds[3]);
	CHECK(poll(NULL, 0, 50) == 0);
	CHECK(client_hello(client_connect(core), challenge, 5000));
	return 0;
}

/* Of one session too, also where its processes are root's; another session has room of its own. */
static void test_crowd_of_a_session(void **state)
{
	struct core *core = *state;
	int fds[SERVER_CONNECTIONS_SESSION_MAX + 2];
	uint8_t challenge[32];
	size_t n = 0;

	core->config.connections_max = SERVER_CONNECTIONS_SESSION_MAX + 64;
	restart(core);
	core->tagged = true;
	core->tag = (struct tag){.session = 7};
	while (n < SERVER_CONNECTIONS_SESSION_MAX) {
		fds[n] = client_connect(core);
		turn(core);
		assert_true(client_hello(fds[n++], challenge, 5000));
	}
	fds[n] = client_connect(core);
	turn(core);
	assert_false(client_hello(fds[n++], challenge, 5000));
	core->tag.session = 8;
	fds[n] = client_connect(core);
	turn(core);
	assert_true(client_hello(fds[n++], challenge, 5000));
	while (n)
		close(fds[--n]);
}

static void test_crowd_of_one_user(void **state)
{
	if (geteuid() != 0)
		SKIP("needs root to become another user");
	assert_int_equal(in_child(*state, NOBODY, crowd), 0);
}

/* Users that fill the room with silent connections: each newcomer takes the place of the oldest. */
static int crowds(struct core *core)
{
	const int users = core->config.connections_max / SERVER_CONNECTIONS_UID_MAX + 2;
	uint8_t challenge[32];
	int first = -1, last = -1;
	struct answer a;

	for (int u = 0; u < users; u++) {
		CHECK(setresuid(-1, 2000 + u, 0) == 0);
		for (int i = 0; i < SERVER_CONNECTIONS_UID_MAX; i++) {
			last = client_connect(core);
			first = first < 0 ? last : first;
			CHECK(client_hello(last, challenge, 5000));
		}
		CHECK(setresuid(-1, 0, 0) == 0);
	}
	CHECK(client_receive(first, &a, 5000) == 0);
	CHECK(client_hello(client_connect(core), challenge, 5000)); /* root */
	CHECK(client_receive(last, &a, 0) == -1);
	return 0;
}

static void test_crowd_of_users(void **state)
{
	if (geteuid() != 0)
		SKIP("needs root to become other users");
	assert_int_equal(in_child(*state, 0, crowds), 0);
}

/* A connection of a process of @session, refused for what it asks, but believed. False: no room. */
static bool agent_comes_in(struct core *core, uint64_t session, int *ret_fd)
{
	uint8_t challenge[32];
	REQUEST_STATUS(r);
	struct answer a;

	core->tagged = true;
	core->tag = (struct tag){.session = session};
	*ret_fd = client_connect(core);
	turn(core);
	if (!client_hello(*ret_fd, challenge, 5000))
		return false;
	ask(core, *ret_fd, &r, challenge, &a);
	assert_error(&a, "denied", "may not see the status");
	answer_clear(&a);
	return true;
}

/* Agents that keep what they got fill all but what is kept for those who launch and read, and root. */
static void test_crowd_of_agents(void **state)
{
	static const uid_t users[] = {NOBODY};
	struct core *core = *state;
	int fds[640], fd;
	size_t n = 0;

	if (geteuid() != 0)
		SKIP("needs root to become another user");
	core->config.connections_max = 640;
	core->config.launcher_users = users;
	core->config.launcher_users_count = 1;
	restart(core);
	while (n < 640 && agent_comes_in(core, n / SERVER_CONNECTIONS_SESSION_MAX, &fds[n]))
		n++;
	assert_int_equal(n, 640 - 32 - 640 / 16);
	close(fds[n]);
	core->tagged = false;
	assert_int_equal(in_child(core, NOBODY, nobody_launches), 0);
	fd = client_connect(core);
	turn(core);
	assert_true(client_hello(fd, (uint8_t[32]){0}, 5000)); /* root */
	close(fd);
	while (n)
		close(fds[--n]);
}

/* Of all sessions of one user, so many: other users' agents have room. */
static void test_agents_of_one_user(void **state)
{
	struct core *core = *state;
	struct rlimit files, more;
	static int fds[SERVER_CONNECTIONS_AGENTS_MAX + 2];
	size_t n = 0;

	if (geteuid() != 0)
		SKIP("needs root to become another user");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	more = (struct rlimit){files.rlim_max, files.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &more), 0);
	if (more.rlim_cur < 3 * SERVER_CONNECTIONS_AGENTS_MAX + 64)
		SKIP("needs more descriptors: ulimit -n 8192");
	core->config.connections_max = SERVER_CONNECTIONS_MAX;
	restart(core);
	while (n <= SERVER_CONNECTIONS_AGENTS_MAX &&
	       agent_comes_in(core, n / SERVER_CONNECTIONS_SESSION_MAX, &fds[n]))
		n++;
	assert_int_equal(n, SERVER_CONNECTIONS_AGENTS_MAX);
	close(fds[n]);
	assert_int_equal(seteuid(2000), 0);
	fds[n] = client_connect(core);
	assert_int_equal(seteuid(0), 0);
	turn(core);
	assert_true(client_hello(fds[n], (uint8_t[32]){0}, 5000));
	for (size_t i = 0; i <= n; i++)
		close(fds[i]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
}

/* ---- match ---- */

static int match_inside(struct core *core)
{
	Affiant__V1__Match match = AFFIANT__V1__MATCH__INIT;
	Affiant__V1__Request r = AFFIANT__V1__REQUEST__INIT;
	uint8_t challenge[32];
	struct answer a;
	pid_t child;
	int fd, status;

	CHECK(unshare(CLONE_NEWPID) == 0);
	child = fork();
	if (child) {
		CHECK(waitpid(child, &status, 0) == child);
		return WEXITSTATUS(status);
	}
	CHECK(getpid() == 1);
	r.call_case = AFFIANT__V1__REQUEST__CALL_MATCH;
	r.match = &match;
	match.has_pid = true;
	match.pid = 1;
	fd = client_connect(core);
	CHECK(client_hello(fd, challenge, 5000));
	CHECK(child_ask(fd, &r, challenge, NULL, 0, &a) > 0 && !a.response->error);
	memcpy(challenge, a.response->challenge.data, 32);
	match.pid = 77;
	CHECK(child_ask(fd, &r, challenge, NULL, 0, &a) > 0 &&
	      is_error(&a, "not_found", "no process 77"));
	return 0;
}

static void test_match(void **state)
{
	struct core *core = *state;
	Affiant__V1__Match match = AFFIANT__V1__MATCH__INIT;
	Affiant__V1__Request r = AFFIANT__V1__REQUEST__INIT;
	uint8_t challenge[32];
	struct answer a;
	int fd = greeted(core, challenge);

	r.call_case = AFFIANT__V1__REQUEST__CALL_MATCH;
	r.match = &match;
	match.has_pid = true;
	match.pid = getpid();
	ask(core, fd, &r, challenge, &a);
	assert_null(a.response->error);
	assert_int_equal(core->match_pid, getpid());
	answer_clear(&a);
	close(fd);
	if (geteuid() != 0)
		SKIP("needs root to make a pid namespace");
	assert_int_equal(in_child(core, 0, match_inside), 0);
	assert_int_equal(core->matched, 2);
	assert_int_equal(core->match_pid, core->caller.pid);
	assert_int_not_equal(core->match_pid, 1);
}

/* ---- the socket itself ---- */

static void test_socket(void **state)
{
	struct core *core = *state;
	struct server *second = NULL;
	struct stat st;
	int fd;

	assert_int_equal(stat(core->path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0666);
	assert_int_equal(server_new(core->event, &core->config, &core_ops, core, &second),
			 -EADDRINUSE);
	assert_null(second);
	assert_int_equal(stat(core->path, &st), 0); /* the first one's is still there */
	restart(core);

	server_free(core->server);
	core->server = NULL;
	assert_int_equal(stat(core->path, &st), -1);

	/* left behind by one that was killed */
	fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	{
		struct sockaddr_un address = {.sun_family = AF_UNIX};

		strcpy(address.sun_path, core->path);
		assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	}
	close(fd);
	assert_int_equal(server_new(core->event, &core->config, &core_ops, core, &core->server), 0);
	server_free(core->server);
	core->server = NULL;

	fd = open(core->path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_int_equal(server_new(core->event, &core->config, &core_ops, core, &second), -EEXIST);
	assert_int_equal(unlink(core->path), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, core_setup, core_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_asks_and_answers),
		TEST(test_wrong_challenge),
		TEST(test_forged_credentials),
		TEST(test_passed_descriptor),
		TEST(test_orphaned_descriptor),
		TEST(test_tag_changes),
		TEST(test_tag_changes_late),
		TEST(test_opens_for_itself),
		TEST(test_agents_have_no_role),
		TEST(test_evidence),
		TEST(test_roles),
		TEST(test_supplementary_group),
		TEST(test_mixed_users),
		TEST(test_opens_for_others),
		TEST(test_descriptors),
		TEST(test_passed_descriptor_lingers),
		TEST(test_oversize),
		TEST(test_large_answer),
		TEST(test_segments),
		TEST(test_slow_follower),
		TEST(test_slow_reader),
		TEST(test_silent_client),
		TEST(test_caller_vanishes),
		TEST(test_crowd_of_a_session),
		TEST(test_crowd_of_one_user),
		TEST(test_crowd_of_users),
		TEST(test_crowd_of_agents),
		TEST(test_agents_of_one_user),
		TEST(test_match),
		TEST(test_socket),
	};

	return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
