/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "base/cleanup.h"

#define MESSAGE_MAX 65536
#define MEMFD_MAX (256u << 20)
#define TIMEOUT_S 60 /* opening a session may hash a large manifest */

struct client {
	int fd;
	char *version;
	char *error, *code;
	bool has_challenge;
	uint8_t challenge[CLIENT_CHALLENGE_SIZE];
	bool appended; /* told, and not yet asked for */
	uint8_t buffer[MESSAGE_MAX];
};

struct answer {
	size_t len;
	int fds[CLIENT_FDS_MAX];
	size_t fds_count;
};

static void answer_clear(struct answer *a)
{
	for (size_t i = 0; i < a->fds_count; i++)
		close(a->fds[i]);
	a->fds_count = 0;
}

const char *client_path(const char *path)
{
	if (path)
		return path;
	path = getenv("AFFIANT_SOCKET");
	return path && *path ? path : CLIENT_SOCKET;
}

/* The kernel passes as many descriptors as there is room for: no more than a->fds has. */
static int receive(struct client *c, struct answer *a)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_LEN(CLIENT_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = c->buffer, .iov_len = sizeof(c->buffer)};
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.bytes),
	};
	const struct cmsghdr *h;
	ssize_t n;

	/*
	 * With a timeout also SIGSTOP and SIGCONT end it, and the answer would be the next one's.
	 */
	do
		n = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	a->fds_count = 0;
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	h = CMSG_FIRSTHDR(&m);
	if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS) {
		a->fds_count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(a->fds, CMSG_DATA(h), a->fds_count * sizeof(int));
	}
	a->len = n;
	if (n && !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return 0;
	answer_clear(a);
	return n ? -EMSGSIZE : -EPIPE;
}

static int keep_challenge(struct client *c, const ProtobufCBinaryData *challenge)
{
	if (challenge->len != CLIENT_CHALLENGE_SIZE)
		return -EPROTO;
	memcpy(c->challenge, challenge->data, CLIENT_CHALLENGE_SIZE);
	c->has_challenge = true;
	return 0;
}

static int greet(struct client *c)
{
	Affiant__V1__Hello *hello;
	struct answer a;
	int err = receive(c, &a);

	if (err)
		return err;
	answer_clear(&a);
	hello = affiant__v1__hello__unpack(NULL, a.len, c->buffer);
	if (!hello)
		return -EPROTO;
	err = keep_challenge(c, &hello->challenge);
	c->version = strdup(hello->version ?: "");
	affiant__v1__hello__free_unpacked(hello, NULL);
	return c->version ? err : -ENOMEM;
}

int client_open(const char *path, struct client **ret)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = TIMEOUT_S};
	struct client *c;
	int err = 0;

	path = client_path(path);
	if (strlen(path) >= sizeof(to.sun_path))
		return -ENAMETOOLONG;
	strcpy(to.sun_path, path);
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (c->fd < 0 ||
	    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		err = -errno;
	err = err ?: greet(c);
	if (err) {
		client_close(c);
		return err;
	}
	*ret = c;
	return 0;
}

void client_close(struct client *c)
{
	if (!c)
		return;
	closep(&c->fd);
	free(c->version);
	free(c->error);
	free(c->code);
	free(c);
}

const char *client_version(const struct client *c)
{
	return c->version;
}

const char *client_error(const struct client *c)
{
	return c->error ?: "";
}

const char *client_error_code(const struct client *c)
{
	return c->code ?: "";
}

const uint8_t *client_challenge(const struct client *c)
{
	return c->has_challenge ? c->challenge : NULL;
}

static int send_request(struct client *c, Affiant__V1__Request *request, const int *fds,
			size_t fds_count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE((CLIENT_FDS_MAX + 1) * sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = c->buffer};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fds_count > CLIENT_FDS_MAX + 1)
		return -E2BIG;
	if (!c->has_challenge)
		return -EPROTO;
	request->has_challenge = true;
	request->challenge = (ProtobufCBinaryData){CLIENT_CHALLENGE_SIZE, c->challenge};
	c->has_challenge = false;
	if (affiant__v1__request__get_packed_size(request) > sizeof(c->buffer))
		return -EMSGSIZE;
	iov.iov_len = affiant__v1__request__pack(request, c->buffer);
	if (fds_count) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(fds_count * sizeof(int));
		CMSG_FIRSTHDR(&m)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&m)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(fds_count * sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), fds, fds_count * sizeof(int));
	}
	return sendmsg(c->fd, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/*
 * An answer that was too large for a packet lies in a sealed memfd. What is not sealed could shrink
 * while it is read (SIGBUS), or be a file of a filesystem that does not answer.
 */
static Affiant__V1__Response *from_memfd(int fd)
{
	const int wanted = F_SEAL_SHRINK | F_SEAL_WRITE, seals = fcntl(fd, F_GET_SEALS);
	Affiant__V1__Response *r;
	struct stat st;
	void *data;

	if (seals < 0 || (seals & wanted) != wanted)
		return NULL;
	if (fstat(fd, &st) < 0 || !st.st_size || st.st_size > MEMFD_MAX)
		return NULL;
	data = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return NULL;
	r = affiant__v1__response__unpack(NULL, st.st_size, data);
	munmap(data, st.st_size);
	return r;
}

static int refusal(struct client *c, const Affiant__V1__Error *e)
{
	static const struct {
		const char *code;
		int err;
	} codes[] = {
		{"denied", -EACCES},
		{"not_found", -ESRCH},
		{"bad_request", -EINVAL},
		{"unavailable", -EAGAIN},
		{"busy", -EBUSY},
		{"limit", -ENOSPC},
		{"untagged", -EPERM},
		{"session_ended", -EPERM},
		{"task_expired", -EPERM},
		{"traced", -EPERM},
		{"executable_changed", -EPERM},
		{"untagged_children", -EPERM},
		{"no_tpm", -ENODEV},
	};

	free(c->error);
	c->error = strdup(e->text ?: "");
	c->code = e->code ? strdup(e->code) : NULL;
	for (size_t i = 0; e->code && i < sizeof(codes) / sizeof(codes[0]); i++)
		if (!strcmp(e->code, codes[i].code))
			return codes[i].err;
	return -EREMOTEIO;
}

/* What one packet says: *@ret is NULL when it was no answer but word of more to read. */
static int read_response(struct client *c, struct answer *a, Affiant__V1__Response **ret)
{
	Affiant__V1__Response *r = affiant__v1__response__unpack(NULL, a->len, c->buffer), *inner;
	int err;

	if (!r)
		return -EPROTO;
	if (r->answer_case == AFFIANT__V1__RESPONSE__ANSWER_APPENDED) {
		c->appended = true;
		affiant__v1__response__free_unpacked(r, NULL);
		return 0;
	}
	err = r->has_challenge ? keep_challenge(c, &r->challenge) : 0;
	if (!err && r->answer_case == AFFIANT__V1__RESPONSE__ANSWER_IN_MEMFD) {
		inner = a->fds_count == 1 ? from_memfd(a->fds[0]) : NULL;
		answer_clear(a);
		affiant__v1__response__free_unpacked(r, NULL);
		r = inner;
		if (!r)
			return -EPROTO;
	}
	if (!err && r->error)
		err = refusal(c, r->error);
	if (err)
		affiant__v1__response__free_unpacked(r, NULL);
	else
		*ret = r;
	return err;
}

/* @a holds descriptors only with an answer. */
static int receive_response(struct client *c, struct answer *a, Affiant__V1__Response **ret)
{
	int err = receive(c, a);

	*ret = NULL;
	err = err ?: read_response(c, a, ret);
	if (!*ret)
		answer_clear(a);
	return err;
}

static time_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static int say(struct client *c, int err)
{
	if (err && !*client_error(c)) {
		free(c->error);
		c->error = strdup(strerror(-err));
	}
	return err;
}

int client_call(struct client *c, Affiant__V1__Request *request, const int *fds, size_t fds_count,
		Affiant__V1__Response **ret, int *ret_fds, size_t *ret_fds_count)
{
	Affiant__V1__Response *r = NULL;
	const time_t end = seconds() + TIMEOUT_S;
	struct answer a = {0};
	int err;

	free(c->error);
	free(c->code);
	c->error = c->code = NULL;
	err = send_request(c, request, fds, fds_count);
	while (!err && !r) /* word of more to read is no answer, however often it comes */
		err = seconds() > end ? -ETIMEDOUT : receive_response(c, &a, &r);
	if (err)
		return say(c, err);
	if (ret_fds) {
		memcpy(ret_fds, a.fds, a.fds_count * sizeof(int));
		*ret_fds_count = a.fds_count;
	} else {
		answer_clear(&a);
	}
	*ret = r;
	return 0;
}

int client_appended(struct client *c, int timeout_ms)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	Affiant__V1__Response *r;
	struct answer a;
	int n;

	while (!c->appended) {
		n = poll(&p, 1, timeout_ms);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		n = receive_response(c, &a, &r);
		if (n)
			return n;
		if (!r)
			continue;
		/* Nobody asked for anything. */
		answer_clear(&a);
		affiant__v1__response__free_unpacked(r, NULL);
		return -EPROTO;
	}
	c->appended = false;
	return 1;
}
