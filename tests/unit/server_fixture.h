/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server_fixture: a server with a core that only writes down what it is asked, and a client made by
 * hand.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "daemon/peer.h"
#include "daemon/server.h"

#define NOBODY 65534

#define SKIP(reason)                                                                               \
	do {                                                                                       \
		print_message("[  REASON  ] %s\n", reason);                                        \
		skip();                                                                            \
	} while (0)

/* What the fake core holds and has seen. */
struct core {
	struct server *server;
	sd_event *event;
	struct server_config config;
	char path[64];

	bool tagged;
	struct tag tag;
	bool defer; /* keep the call instead of answering it */
	struct server_call *deferred;
	size_t answer_bytes; /* of a session's name in the answer to list_sessions */
	uint64_t segments;   /* indices 0 .. segments - 1 */

	int opened, ended, listed, asked, matched, attested, untagged, enrolled;
	uint8_t challenge[32];       /* as the caller of the last call echoed it */
	struct server_caller caller; /* of the last call; its pidfd is stale */
	pid_t target;
	bool target_lives;
	size_t measures;
	bool kill;
	uint8_t session[16];
	pid_t match_pid;
};

static int core_tag_of(void *context, pid_t pid, struct tag *ret)
{
	struct core *core = context;

	(void)pid;
	if (!core->tagged)
		return -ENOENT;
	*ret = core->tag;
	return 0;
}

static void core_answer(struct core *core, struct server_call *call)
{
	Affiant__V1__Response response = AFFIANT__V1__RESPONSE__INIT;
	Affiant__V1__Status status = AFFIANT__V1__STATUS__INIT;

	core->caller = *server_call_caller(call);
	memcpy(core->challenge, core->caller.challenge, sizeof(core->challenge));
	if (core->defer) {
		core->deferred = call;
		return;
	}
	status.has_last_sequence = true;
	status.last_sequence = 4711;
	response.answer_case = AFFIANT__V1__RESPONSE__ANSWER_STATUS;
	response.status = &status;
	server_answer(call, &response);
}

static void core_open(void *context, struct server_call *call, const struct server_open *open)
{
	struct core *core = context;
	struct pollfd f = {.fd = open->target_pidfd, .events = POLLIN};

	core->opened++;
	core->target = open->target;
	core->target_lives = poll(&f, 1, 0) == 0;
	core->measures = open->request->n_measure;
	for (size_t i = 0; i < core->measures; i++)
		assert_true(fcntl(open->measures[i], F_GETFD) == FD_CLOEXEC);
	core_answer(core, call);
}

static void core_end(void *context, struct server_call *call, const uint8_t session[static 16],
		     bool kill)
{
	struct core *core = context;

	core->ended++;
	core->kill = kill;
	memcpy(core->session, session, 16);
	core_answer(core, call);
}

static void core_list(void *context, struct server_call *call, bool ended)
{
	Affiant__V1__Response response = AFFIANT__V1__RESPONSE__INIT;
	Affiant__V1__Sessions sessions = AFFIANT__V1__SESSIONS__INIT;
	Affiant__V1__SessionInfo info = AFFIANT__V1__SESSION_INFO__INIT, *list[] = {&info};
	struct core *core = context;
	_cleanup_free_ char *name = malloc(core->answer_bytes + 1);

	(void)ended;
	core->listed++;
	memset(name, 'x', core->answer_bytes);
	name[core->answer_bytes] = '\0';
	info.selector = name;
	sessions.n_sessions = 1;
	sessions.sessions = list;
	response.answer_case = AFFIANT__V1__RESPONSE__ANSWER_SESSIONS;
	response.sessions = &sessions;
	server_answer(call, &response);
}

static void core_status(void *context, struct server_call *call)
{
	struct core *core = context;

	core->asked++;
	core_answer(core, call);
}

/* As the daemon's does, which looks the number up beside its loop. */
static void core_match(void *context, struct server_call *call, pid_t asked)
{
	const struct peer caller = {.pid = server_call_caller(call)->pid};
	struct core *core = context;
	pid_t pid;

	if (peer_resolve(&caller, asked, &pid)) {
		server_refuse(call, "not_found", "there is no process %d here", asked);
		return;
	}
	core->matched++;
	core->match_pid = pid;
	core_answer(core, call);
}

static void core_evidence(void *context, struct server_call *call,
			  const Affiant__V1__GetEvidence *request)
{
	struct core *core = context;

	assert_string_equal(request->nonce, "nonce-nonce");
	core->attested++;
	core_answer(core, call);
}

static void core_enrolment(void *context, struct server_call *call)
{
	struct core *core = context;

	core->enrolled++;
	core_answer(core, call);
}

static void core_untagged(void *context)
{
	((struct core *)context)->untagged++;
}

static int core_segment(void *context, uint64_t index, uint64_t *ret_index,
			uint64_t *ret_first_sequence, bool *ret_sealed)
{
	struct core *core = context;
	int fd;

	if (index >= core->segments)
		return -ENOENT;
	fd = memfd_create("segment", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, &index, sizeof(index)) != sizeof(index))
		return -EIO;
	*ret_index = index;
	*ret_first_sequence = 100 * index;
	*ret_sealed = index + 1 < core->segments;
	return fd;
}

static const struct server_ops core_ops = {
	.tag_of = core_tag_of,
	.open_session = core_open,
	.end_session = core_end,
	.list_sessions = core_list,
	.get_status = core_status,
	.match = core_match,
	.get_evidence = core_evidence,
	.untagged = core_untagged,
	.get_enrolment = core_enrolment,
	.segment = core_segment,
};

static uid_t everybody[2];

static int core_setup(void **state)
{
	static char path[64];
	struct core *core = calloc(1, sizeof(*core));

	snprintf(core->path, sizeof(core->path), "/tmp/affiant-server-%d.sock", getpid());
	memcpy(path, core->path, sizeof(path));
	everybody[0] = getuid();
	core->config = (struct server_config){
		.connections_max = 256,
		.socket = path,
		.launcher_users = everybody,
		.launcher_users_count = 1,
		.reader_users = everybody,
		.reader_users_count = 1,
		.timeout_us = 5000000,
	};
	if (sd_event_new(&core->event) < 0 ||
	    server_new(core->event, &core->config, &core_ops, core, &core->server))
		return -1;
	*state = core;
	return 0;
}

static int core_teardown(void **state)
{
	struct core *core = *state;

	server_free(core->server);
	sd_event_unref(core->event);
	free(core);
	return 0;
}

/* Does what there is to do. */
static void turn(struct core *core)
{
	while (sd_event_run(core->event, 0) > 0)
		;
}

/* ---- client ---- */

static int client_connect(const struct core *core)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, core->path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return fd;
}

struct answer {
	ssize_t len; /* 0: the server closed; -1: nothing came */
	uint8_t bytes[SERVER_MESSAGE_MAX + 1];
	int fds[32];
	size_t fds_count;
	Affiant__V1__Response *response;
};

static void answer_clear(struct answer *a)
{
	while (a->fds_count)
		close(a->fds[--a->fds_count]);
	if (a->response)
		affiant__v1__response__free_unpacked(a->response, NULL);
	a->response = NULL;
}

static ssize_t client_receive(int fd, struct answer *a, int timeout_ms)
{
	struct pollfd f = {.fd = fd, .events = POLLIN};
	struct iovec iov = {a->bytes, sizeof(a->bytes)};
	char control[CMSG_SPACE(32 * sizeof(int))];
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *c;

	*a = (struct answer){.len = -1};
	if (poll(&f, 1, timeout_ms) != 1)
		return -1;
	a->len = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	if (a->len < 0 && errno == ECONNRESET)
		a->len = 0;
	for (c = CMSG_FIRSTHDR(&msg); a->len > 0 && c; c = CMSG_NXTHDR(&msg, c)) {
		a->fds_count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(a->fds, CMSG_DATA(c), a->fds_count * sizeof(int));
	}
	return a->len;
}

static ssize_t client_response(int fd, struct answer *a, int timeout_ms)
{
	if (client_receive(fd, a, timeout_ms) > 0)
		a->response = affiant__v1__response__unpack(NULL, a->len, a->bytes);
	return a->len;
}

/* The challenge of the Hello; false when there was none. */
static bool client_hello(int fd, uint8_t challenge[static 32], int timeout_ms)
{
	struct answer a;
	Affiant__V1__Hello *hello;
	bool good;

	if (client_receive(fd, &a, timeout_ms) <= 0)
		return false;
	hello = affiant__v1__hello__unpack(NULL, a.len, a.bytes);
	good = hello && hello->has_challenge && hello->challenge.len == 32;
	if (good)
		memcpy(challenge, hello->challenge.data, 32);
	affiant__v1__hello__free_unpacked(hello, NULL);
	return good;
}

static int client_send_bytes(int fd, const void *data, size_t len, const int *fds, size_t fds_count,
			     const struct ucred *cred)
{
	struct iovec iov = {(void *)data, len};
	char control[CMSG_SPACE(253 * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))] = {};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	size_t used = 0;

	if (fds_count) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fds_count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, fds_count * sizeof(int));
		used += CMSG_SPACE(fds_count * sizeof(int));
		c = CMSG_NXTHDR(&msg, c);
	}
	if (cred) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_CREDENTIALS;
		c->cmsg_len = CMSG_LEN(sizeof(*cred));
		memcpy(CMSG_DATA(c), cred, sizeof(*cred));
		used += CMSG_SPACE(sizeof(*cred));
	}
	msg.msg_controllen = used;
	if (!used)
		msg.msg_control = NULL;
	return sendmsg(fd, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int client_send(int fd, Affiant__V1__Request *r, const uint8_t challenge[static 32],
		       const int *fds, size_t fds_count)
{
	uint8_t data[SERVER_MESSAGE_MAX];

	r->has_challenge = true;
	r->challenge = (ProtobufCBinaryData){32, (uint8_t *)challenge};
	assert_true(affiant__v1__request__get_packed_size(r) <= sizeof(data));
	return client_send_bytes(fd, data, affiant__v1__request__pack(r, data), fds, fds_count,
				 NULL);
}

#define REQUEST_STATUS(name)                                                                       \
	Affiant__V1__GetStatus name##_call = AFFIANT__V1__GET_STATUS__INIT;                        \
	Affiant__V1__Request name = {                                                              \
		PROTOBUF_C_MESSAGE_INIT(&affiant__v1__request__descriptor),                        \
		.call_case = AFFIANT__V1__REQUEST__CALL_GET_STATUS,                                \
		.get_status = &name##_call,                                                        \
	}

#define REQUEST_OPEN(name)                                                                         \
	Affiant__V1__OpenSession name##_call = AFFIANT__V1__OPEN_SESSION__INIT;                    \
	Affiant__V1__Request name = {                                                              \
		PROTOBUF_C_MESSAGE_INIT(&affiant__v1__request__descriptor),                        \
		.call_case = AFFIANT__V1__REQUEST__CALL_OPEN_SESSION,                              \
		.open_session = &name##_call,                                                      \
	};                                                                                         \
	name##_call.agent = (char *)"a"

/* Connects to, and is greeted by, a server that this very process turns. */
static int greeted(struct core *core, uint8_t challenge[static 32])
{
	int fd = client_connect(core);

	assert_true(fd >= 0);
	turn(core);
	assert_true(client_hello(fd, challenge, 1000));
	return fd;
}

/* Sends @r and takes the answer, whose challenge is the next. */
static void ask(struct core *core, int fd, Affiant__V1__Request *r, uint8_t challenge[static 32],
		struct answer *ret)
{
	assert_int_equal(client_send(fd, r, challenge, NULL, 0), 0);
	turn(core);
	assert_true(client_response(fd, ret, 1000) > 0);
	assert_non_null(ret->response);
	assert_true(ret->response->has_challenge && ret->response->challenge.len == 32);
	memcpy(challenge, ret->response->challenge.data, 32);
}

static void assert_error(const struct answer *a, const char *code, const char *part)
{
	assert_true(a->len > 0);
	assert_non_null(a->response);
	assert_non_null(a->response->error);
	assert_string_equal(a->response->error->code, code);
	if (!strstr(a->response->error->text, part))
		fail_msg("'%s' is not in: %s", part, a->response->error->text);
}

static void assert_closed(int fd)
{
	struct answer a;

	assert_int_equal(client_receive(fd, &a, 1000), 0);
}

/*
 * Runs @client in a process of its own, as @uid, while the server turns; it says 0 when all was
 * well.
 */
static int in_child(struct core *core, uid_t uid, int (*client)(struct core *core))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (uid != getuid() &&
		    (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid)))
			_exit(99);
		_exit(client(core));
	}
	while (waitpid(pid, &status, WNOHANG) == 0)
		sd_event_run(core->event, 10000);
	turn(core);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static size_t count_fds(void)
{
	_cleanup_closedir_ DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(d))
		n++;
	return n;
}
