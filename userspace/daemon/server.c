/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/server.h"

#include "base/cleanup.h"
#include "base/limit.h"
#include "daemon/channel.h"
#include "daemon/turn.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <utlist.h>

#define TIMEOUT_US (10 * 1000000ULL)
#define RESUME_US 100000 /* before descriptors are asked for again when there were none */
#define ACCEPT_BATCH 16
#define READY_AT_ONCE 4
#define ROOT_RESERVE 32 /* of connections_max */

const struct server_caller *server_call_caller(const struct server_call *call)
{
	return &call->caller;
}

void server_answer(struct server_call *call, Affiant__V1__Response *response)
{
	channel_answer(call->connection, response, NULL, 0);
}

void server_answer_fd(struct server_call *call, Affiant__V1__Response *response, int fd)
{
	channel_answer(call->connection, response, &fd, 1);
}

void server_refuse(struct server_call *call, const char *code, const char *format, ...)
{
	Affiant__V1__Response response = AFFIANT__V1__RESPONSE__INIT;
	Affiant__V1__Error error = AFFIANT__V1__ERROR__INIT;
	char text[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	error.code = (char *)code;
	error.text = text;
	response.error = &error;
	channel_answer(call->connection, &response, NULL, 0);
}

void server_appended(struct server *s, uint64_t index, uint64_t sequence)
{
	struct channel *c, *next;

	if (!s->followers)
		return;
	DL_FOREACH_SAFE (s->connections, c, next)
		channel_appended(c, index, sequence);
}

/* An agent is not root here, whoever it runs as. */
static bool is_root(const struct channel *c)
{
	return c->peer.uid == 0 && !c->tagged;
}

/* Of @b's kind: of its session, or, of those of none, of its user. */
static bool is_own(const struct channel *a, const struct channel *b)
{
	if (a->tagged != b->tagged)
		return false;
	return a->tagged ? a->tag.session == b->tag.session : a->peer.uid == b->peer.uid;
}

/* What is connected, as it looks to somebody who comes. */
struct crowd {
	size_t all, users, others; /* others: of the users, who is neither launcher nor reader */
	size_t own, agents;        /* agents: of all sessions, those that run as that user */
	struct channel *silent; /* the oldest that has made no request, of those that make room */
};

static struct crowd count(struct server *s, const struct channel *newcomer)
{
	struct crowd found = {0};
	struct channel *c;

	DL_FOREACH (s->connections, c) {
		bool other = !is_root(c) && !c->staff;

		found.all++;
		found.users += !is_root(c);
		found.others += other;
		found.own += is_own(c, newcomer);
		found.agents += c->tagged && c->peer.uid == newcomer->peer.uid;
		if (!found.silent && !c->believed &&
		    (other || (!is_root(c) && (newcomer->staff || is_root(newcomer)))))
			found.silent = c;
	}
	return found;
}

/* How many of the whole nobody but these may use. */
static size_t staff_reserve(const struct server *s)
{
	return s->config.connections_max / 16;
}

/*
 * Room for one more. Of one user only so many, of one session, and of all sessions of a user; of
 * all users only so many, and of those who neither launch agents nor read records fewer. Then who
 * has not yet made a request makes room, the oldest first: a flood of connections, silent or not,
 * keeps nobody out for good who is not like those that flood.
 */
static bool admit(struct server *s, const struct channel *newcomer)
{
	const struct crowd found = count(s, newcomer);
	size_t max = s->config.connections_max;
	bool full;

	if (is_root(newcomer)) {
		full = found.all >= max;
	} else {
		if (found.own >= (newcomer->tagged ? SERVER_CONNECTIONS_SESSION_MAX
						   : SERVER_CONNECTIONS_UID_MAX))
			return false;
		if (newcomer->tagged && found.agents >= SERVER_CONNECTIONS_AGENTS_MAX)
			return false;
		max -= ROOT_RESERVE;
		full = found.users >= max || found.all >= s->config.connections_max ||
		       (!newcomer->staff && found.others >= max - staff_reserve(s));
	}
	if (!full)
		return true;
	if (!found.silent)
		return false;
	channel_free(found.silent);
	return true;
}

static int on_resume(sd_event_source *source, uint64_t usec, void *data)
{
	struct server *s = data;

	(void)source;
	(void)usec;
	return sd_event_source_set_enabled(s->listening, SD_EVENT_ON);
}

/* Without descriptors the socket stays readable: looking at once again would spin. */
static int pause_accepting(struct server *s)
{
	int err = sd_event_source_set_enabled(s->listening, SD_EVENT_OFF);

	if (err >= 0)
		err = sd_event_source_set_time_relative(s->resume, RESUME_US);
	if (err >= 0)
		err = sd_event_source_set_enabled(s->resume, SD_EVENT_ONESHOT);
	return err;
}

static int on_connect(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct server *s = data;

	(void)source;
	(void)events;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (client < 0) {
			(void)limit_of(-errno);
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			    errno == ENOBUFS)
				return pause_accepting(s);
			return 0;
		}
		/*
		 * Who cannot be pinned, or has no room, is gone already; there is nobody to tell.
		 */
		channel_new(s, client, admit);
	}
	return 0;
}

static int on_ready(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct server *s = data;

	(void)source;
	(void)events;
	/*
	 * Some at a time: those that a turn has no time for stay ready, before those that were
	 * heard.
	 */
	for (int all = 0; all < SERVER_READY_MAX && effort_goes_on(); all += READY_AT_ONCE) {
		s->ready_count = epoll_wait(fd, s->ready, READY_AT_ONCE, 0);
		/* Who is freed meanwhile is taken out. */
		for (int i = 0; i < s->ready_count; i++)
			if (s->ready[i].data.ptr)
				channel_ready(s->ready[i].data.ptr, s->ready[i].events);
		if (s->ready_count < READY_AT_ONCE)
			break;
	}
	s->ready_count = 0;
	return 0;
}

/* A socket that a daemon left behind refuses; one that a daemon listens at accepts. */
static int remove_stale(const struct sockaddr_un *address)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
		return -EADDRINUSE;
	if (errno != ECONNREFUSED)
		return -errno;
	return unlink(address->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int start(struct server *s)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int on = 1;
	struct stat st;
	int err;

	if (strlen(s->config.socket) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, s->config.socket);
	err = remove_stale(&address);
	if (err)
		return err;

	s->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Inherited by what is accepted: no message comes before credentials are asked for. */
	if (s->fd < 0 || setsockopt(s->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    bind(s->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	/* Everybody may connect: what they may do is decided by who they are. */
	if (stat(s->config.socket, &st) < 0)
		return -errno;
	s->socket_device = st.st_dev;
	s->socket_inode = st.st_ino;
	if (chmod(s->config.socket, 0666) < 0 || listen(s->fd, SOMAXCONN) < 0)
		return -errno;

	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0)
		return -errno;
	err = sd_event_add_io(s->event, &s->io, s->epoll, EPOLLIN, on_ready, s);
	if (err >= 0)
		err = sd_event_add_io(s->event, &s->listening, s->fd, EPOLLIN, on_connect, s);
	if (err >= 0)
		err = sd_event_add_time_relative(s->event, &s->resume, CLOCK_MONOTONIC, RESUME_US,
						 0, on_resume, s);
	if (err >= 0)
		err = sd_event_source_set_enabled(s->resume, SD_EVENT_OFF);
	return err < 0 ? err : 0;
}

int server_new(sd_event *event, const struct server_config *config, const struct server_ops *ops,
	       void *context, struct server **ret)
{
	struct server *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->fd = s->epoll = -1;
	s->event = sd_event_ref(event);
	s->config = *config;
	s->config.timeout_us = config->timeout_us ?: TIMEOUT_US;
	s->config.connections_max = config->connections_max ?: SERVER_CONNECTIONS_MAX;
	s->ops = ops;
	s->context = context;
	s->buffer = malloc(SERVER_MESSAGE_MAX);
	err = s->buffer ? interrupt_new(&s->interrupt) ?: start(s) : -ENOMEM;
	if (err) {
		server_free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void server_free(struct server *s)
{
	struct channel *c, *next;
	struct stat st;

	if (!s)
		return;
	DL_FOREACH_SAFE (s->connections, c, next)
		channel_free(c);
	/* Not a socket that somebody else has put there since. */
	if (s->socket_inode && lstat(s->config.socket, &st) == 0 && st.st_ino == s->socket_inode &&
	    st.st_dev == s->socket_device)
		unlink(s->config.socket);
	sd_event_source_disable_unref(s->io);
	sd_event_source_disable_unref(s->listening);
	sd_event_source_disable_unref(s->resume);
	closep(&s->epoll);
	closep(&s->fd);
	sd_event_unref(s->event);
	interrupt_free(s->interrupt);
	free(s->buffer);
	free(s);
}
