/* SPDX-License-Identifier: Apache-2.0 */
/* What a client takes from a server that is no affiantd. */
#include "lib/client.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"

#define MANY 253 /* SCM_MAX_FD: what one message can carry */

static time_t step; /* how fast time goes by: seconds from one look to the next */

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	static time_t now;

	(void)clock;
	now += step;
	*ret = (struct timespec){.tv_sec = now};
	return 0;
}

struct server {
	char directory[32], path[64];
	pid_t pid;
};

static void pass(int to, const void *data, size_t len, int fd, size_t count)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(MANY * sizeof(int))];
	} control = {};
	struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (count) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header = (struct cmsghdr){
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(count * sizeof(int)),
		};
		for (size_t i = 0; i < count; i++)
			memcpy(CMSG_DATA(&control.header) + i * sizeof(fd), &fd, sizeof(fd));
	}
	if (sendmsg(to, &m, MSG_NOSIGNAL) < 0)
		_exit(0); /* it hung up */
}

static void greet(int to, int fd, size_t fds)
{
	uint8_t challenge[CLIENT_CHALLENGE_SIZE] = {1}, data[128];
	Affiant__V1__Hello hello = AFFIANT__V1__HELLO__INIT;

	hello.has_challenge = true;
	hello.challenge = (ProtobufCBinaryData){sizeof(challenge), challenge};
	pass(to, data, affiant__v1__hello__pack(&hello, data), fd, fds);
}

static void answer(int to, Affiant__V1__Response__AnswerCase what, int fd, size_t fds)
{
	Affiant__V1__Response response = AFFIANT__V1__RESPONSE__INIT;
	Affiant__V1__InMemfd in_memfd = AFFIANT__V1__IN_MEMFD__INIT;
	Affiant__V1__Appended appended = AFFIANT__V1__APPENDED__INIT;
	Affiant__V1__Sessions sessions = AFFIANT__V1__SESSIONS__INIT;
	uint8_t data[256];

	response.answer_case = what;
	if (what == AFFIANT__V1__RESPONSE__ANSWER_IN_MEMFD)
		response.in_memfd = &in_memfd;
	else if (what == AFFIANT__V1__RESPONSE__ANSWER_APPENDED)
		response.appended = &appended;
	else
		response.sessions = &sessions;
	pass(to, data, affiant__v1__response__pack(&response, data), fd, fds);
}

/* What a process of its own does with whoever connects. */
static void serve(struct server *s, void (*talk)(int client))
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strcpy(s->directory, "/tmp/affiant-client-XXXXXX");
	assert_non_null(mkdtemp(s->directory));
	snprintf(s->path, sizeof(s->path), "%s/sock", s->directory);
	strcpy(address.sun_path, s->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (!s->pid) {
		talk(accept(fd, NULL, NULL));
		pause();
	}
	close(fd);
}

static void finish(struct server *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	assert_int_equal(scratch_remove(s->directory), 0);
}

/* The lowest descriptor that is free: the same before and after where none is left open. */
static int lowest(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

static int ask(struct client *c)
{
	Affiant__V1__Request request = AFFIANT__V1__REQUEST__INIT;
	Affiant__V1__ListSessions body = AFFIANT__V1__LIST_SESSIONS__INIT;
	Affiant__V1__Response *r = NULL;
	int err;

	request.call_case = AFFIANT__V1__REQUEST__CALL_LIST_SESSIONS;
	request.list_sessions = &body;
	err = client_call(c, &request, NULL, 0, &r, NULL, NULL);
	if (!err)
		affiant__v1__response__free_unpacked(r, NULL);
	return err;
}

/* What it says of one call to @talk; every descriptor that came is closed again. */
static int call(void (*talk)(int client))
{
	struct client *c = NULL;
	struct server s;
	int err, free_fd;

	serve(&s, talk);
	free_fd = lowest();
	err = client_open(s.path, &c);
	if (!err) {
		int before = lowest();

		err = ask(c);
		assert_int_equal(lowest(), before);
		client_close(c);
	}
	assert_int_equal(lowest(), free_fd);
	finish(&s);
	return err;
}

static void greets_with_65(int client)
{
	greet(client, client, CLIENT_FDS_MAX + 1);
}

static void greets_with_128(int client)
{
	greet(client, client, 2 * CLIENT_FDS_MAX);
}

static void greets_with_all(int client)
{
	greet(client, client, MANY);
}

static void greets_with_64(int client)
{
	greet(client, client, CLIENT_FDS_MAX);
	answer(client, AFFIANT__V1__RESPONSE__ANSWER_SESSIONS, client, CLIENT_FDS_MAX);
}

static void more_descriptors_than_asked_for(void **state)
{
	(void)state;
	assert_int_equal(call(greets_with_64), 0);
	assert_int_equal(call(greets_with_65), -EMSGSIZE);
	assert_int_equal(call(greets_with_128), -EMSGSIZE);
	assert_int_equal(call(greets_with_all), -EMSGSIZE);
}

static void appends_with_descriptors(int client)
{
	greet(client, -1, 0);
	answer(client, AFFIANT__V1__RESPONSE__ANSWER_APPENDED, client, CLIENT_FDS_MAX);
	answer(client, AFFIANT__V1__RESPONSE__ANSWER_SESSIONS, -1, 0);
}

static void descriptors_with_no_answer(void **state)
{
	(void)state;
	assert_int_equal(call(appends_with_descriptors), 0);
}

static void answers_in(int client, int seals)
{
	static const uint8_t empty_sessions[] = {AFFIANT__V1__RESPONSE__ANSWER_SESSIONS << 3 | 2,
						 0};
	int fd = memfd_create("answer", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	greet(client, -1, 0);
	if (write(fd, empty_sessions, sizeof(empty_sessions)) < 0 ||
	    fcntl(fd, F_ADD_SEALS, seals) < 0)
		_exit(1);
	answer(client, AFFIANT__V1__RESPONSE__ANSWER_IN_MEMFD, fd, 1);
}

static void answers_sealed(int client)
{
	answers_in(client, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
}

static void answers_that_shrink(int client)
{
	answers_in(client, F_SEAL_GROW | F_SEAL_WRITE);
}

static void answers_that_change(int client)
{
	answers_in(client, F_SEAL_GROW | F_SEAL_SHRINK);
}

static void answers_in_no_memfd(int client)
{
	greet(client, -1, 0);
	answer(client, AFFIANT__V1__RESPONSE__ANSWER_IN_MEMFD, client, 1);
}

static void large_answers_are_sealed(void **state)
{
	(void)state;
	assert_int_equal(call(answers_sealed), 0);
	assert_int_equal(call(answers_that_shrink), -EPROTO);
	assert_int_equal(call(answers_that_change), -EPROTO);
	assert_int_equal(call(answers_in_no_memfd), -EPROTO);
}

static void appends_for_ever(int client)
{
	greet(client, -1, 0);
	for (;;)
		answer(client, AFFIANT__V1__RESPONSE__ANSWER_APPENDED, -1, 0);
}

static void no_answer_in_time(void **state)
{
	(void)state;
	step = 1;
	assert_int_equal(call(appends_for_ever), -ETIMEDOUT);
	step = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_descriptors_than_asked_for),
		cmocka_unit_test(descriptors_with_no_answer),
		cmocka_unit_test(large_answers_are_sealed),
		cmocka_unit_test(no_answer_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
