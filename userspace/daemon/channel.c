/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/channel.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <utlist.h>

static void call_clear(struct server_call *call)
{
	const struct channel *c = call->connection; /* NULL: no call yet */

	if (call->request)
		affiant__v1__request__free_unpacked(call->request, NULL);
	call->request = NULL;
	if (call->message.fds_count) {
		interrupt_begin(c->server->interrupt);
		peer_message_close(&call->message);
		interrupt_end(c->server->interrupt);
	}
	call->active = call->opens_self = false;
}

void channel_follow(struct channel *c, bool follows)
{
	c->server->followers += follows - c->follows;
	c->follows = follows;
}

static void hang_up(struct channel *c)
{
	struct server *s = c->server;

	/* What was ready is nobody's any more. Closing alone does not take it out of the epoll
	 * while a copy of the descriptor is open anywhere. */
	if (c->added)
		(void)epoll_ctl(s->epoll, EPOLL_CTL_DEL, c->fd, NULL);
	c->added = false;
	for (int i = 0; i < s->ready_count; i++)
		if (s->ready[i].data.ptr == c)
			s->ready[i].data.ptr = NULL;
	channel_follow(c, false);
	c->timer = sd_event_source_disable_unref(c->timer);
	packet_clear(&c->packet);
	/* What it passed and nobody read goes with it. */
	interrupt_begin(c->server->interrupt);
	closep(&c->fd);
	interrupt_end(c->server->interrupt);
	c->fd = -1;
}

void channel_free(struct channel *c)
{
	hang_up(c);
	call_clear(&c->call);
	peer_unpin(&c->peer);
	DL_DELETE(c->server->connections, c);
	free(c);
}

/* Frees it, or, while the core has its call, leaves an empty shell that goes with the call. */
static void close_channel(struct channel *c)
{
	if (c->call.active)
		hang_up(c);
	else
		channel_free(c);
}

static int wait_for(struct channel *c, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = c};

	if (events == c->waits_for)
		return 0;
	if (epoll_ctl(c->server->epoll, EPOLL_CTL_MOD, c->fd, &e) < 0)
		return -errno;
	c->waits_for = events;
	return 0;
}

/* What is waited for, and whether for ever. */
static int update(struct channel *c)
{
	bool sends = c->waits || c->appended;
	bool reads = !c->call.active && !c->waits;
	int err;

	/*
	 * A client that says nothing, or doesn't take its answer, goes. One that has spoken may
	 * keep its connection.
	 */
	err = sd_event_source_set_enabled(c->timer, c->waits || !c->believed ? SD_EVENT_ONESHOT
									     : SD_EVENT_OFF);
	return err < 0 ? err : wait_for(c, (reads ? EPOLLIN : 0) | (sends ? EPOLLOUT : 0));
}

static int restart_timer(struct channel *c)
{
	int err = sd_event_source_set_time_relative(c->timer, c->server->config.timeout_us);

	return err < 0 ? err : 0;
}

/* Appended has no queue: one that waits is replaced by the next, which says all that it said. */
static int send_appended(struct channel *c)
{
	Affiant__V1__Appended appended = AFFIANT__V1__APPENDED__INIT;
	Affiant__V1__Response response = AFFIANT__V1__RESPONSE__INIT;
	uint8_t data[64];
	struct packet p = {.data = data};
	int err;

	appended.has_index = appended.has_sequence = true;
	appended.index = c->appended_index;
	appended.sequence = c->appended_sequence;
	response.answer_case = AFFIANT__V1__RESPONSE__ANSWER_APPENDED;
	response.appended = &appended;
	p.len = affiant__v1__response__pack(&response, data);
	err = packet_send(c->fd, &p);
	c->appended = err == -EAGAIN;
	return err == -EAGAIN ? 0 : err;
}

/* Sends what waits, as far as there is room. */
static int flush(struct channel *c)
{
	int err;

	if (c->packet.data) {
		err = packet_send(c->fd, &c->packet);
		if (err == -EAGAIN && !c->waits) {
			c->waits = true;
			err = restart_timer(c);
		} else if (err != -EAGAIN) {
			c->waits = false;
			packet_clear(&c->packet);
		} else {
			err = 0;
		}
		if (err)
			return err;
		if (!c->waits && c->closing)
			return -ESHUTDOWN;
	}
	if (c->appended && !c->waits) {
		err = send_appended(c);
		if (err)
			return err;
	}
	return update(c);
}

void channel_appended(struct channel *c, uint64_t index, uint64_t sequence)
{
	if (!c->follows || c->fd < 0)
		return;
	c->appended_index = index;
	c->appended_sequence = sequence;
	/* While one waits for room, the loop says when there is some. */
	if (c->appended || c->waits) {
		c->appended = true;
		return;
	}
	c->appended = true;
	if (flush(c))
		close_channel(c);
}

static int pack_answer(struct channel *c, Affiant__V1__Response *response, struct packet *p)
{
	if (getrandom(c->challenge, sizeof(c->challenge), 0) != sizeof(c->challenge))
		return -EIO;
	response->has_challenge = true;
	response->challenge = (ProtobufCBinaryData){sizeof(c->challenge), c->challenge};
	return packet_fill(p, response);
}

static int read_tag(const struct channel *c, bool *ret_tagged, struct tag *ret)
{
	int err = c->server->ops->tag_of(c->server->context, c->peer.pid, ret);

	*ret_tagged = !err;
	return err == -ENOENT ? 0 : err;
}

static bool tag_unchanged(const struct channel *c)
{
	struct tag now = {};
	bool tagged;

	return !read_tag(c, &tagged, &now) && tagged == c->tagged &&
	       (!tagged || (now.session == c->tag.session && now.exec_seq == c->tag.exec_seq &&
			    now.start_boottime == c->tag.start_boottime));
}

/*
 * Section 5, step 5, as far as it is known here; the pidfd last, since it vouches for what was read
 * by number.
 */
static bool still_the_caller(struct channel *c)
{
	bool same = c->call.opens_self ? !read_tag(c, &c->tagged, &c->tag) : tag_unchanged(c);

	return same && peer_alive(&c->peer);
}

void channel_answer(struct channel *c, Affiant__V1__Response *response, const int *fds,
		    size_t fds_count)
{
	struct packet p = {.fds_count = fds_count};
	int err;

	if (fds_count)
		memcpy(p.fds, fds, fds_count * sizeof(*fds));
	if (c->fd < 0) {
		packet_clear(&p);
		channel_free(c);
		return;
	}
	/* A last word before the connection ends tells nothing that is not told to anybody. */
	err = c->closing || still_the_caller(c) ? pack_answer(c, response, &p) : -ESTALE;
	call_clear(&c->call);
	if (err) {
		packet_clear(&p);
		close_channel(c);
		return;
	}
	c->packet = p;
	if (flush(c))
		close_channel(c);
}

/*
 * Real, effective, saved and filesystem ids all those at connect(2): no setuid program speaks for
 * its caller.
 */
static bool same_ids(const struct peer *p, const struct peer_status *s)
{
	for (int i = 0; i < 4; i++)
		if (s->uid[i] != p->uid || s->gid[i] != p->gid)
			return false;
	return s->tgid == p->pid;
}

static bool has_role(const struct peer_status *s, const uid_t *users, size_t users_count,
		     const gid_t *groups, size_t groups_count)
{
	for (size_t i = 0; i < users_count; i++)
		if (users[i] == s->uid[0])
			return true;
	for (size_t i = 0; i < groups_count; i++) {
		if (groups[i] == s->gid[0])
			return true;
		for (size_t k = 0; k < s->groups_count; k++)
			if (groups[i] == s->groups[k])
				return true;
	}
	return false;
}

static unsigned int roles_of(const struct channel *c, const struct peer_status *s)
{
	const struct server_config *config = &c->server->config;
	unsigned int roles = 0;

	/* An agent is never a launcher nor a reader of records, whoever it runs as. */
	if (c->tagged)
		return SERVER_ROLE_AGENT;
	if (s->uid[0] == 0)
		return SERVER_ROLE_ROOT | SERVER_ROLE_LAUNCHER | SERVER_ROLE_READER;
	if (has_role(s, config->launcher_users, config->launcher_users_count,
		     config->launcher_groups, config->launcher_groups_count))
		roles |= SERVER_ROLE_LAUNCHER;
	if (has_role(s, config->reader_users, config->reader_users_count, config->reader_groups,
		     config->reader_groups_count))
		roles |= SERVER_ROLE_READER;
	return roles;
}

/*
 * Section 5, step 2: NULL when the message was sent by the pinned process. Before a byte of it is
 * looked at.
 */
static const char *doubt_sender(const struct channel *c, const struct peer_message *m)
{
	if (!m->has_credentials || m->pid <= 0)
		return "the message carries no credentials of a process that is seen from here";
	if (m->pid != c->peer.pid || m->uid != c->peer.uid || m->gid != c->peer.gid)
		return "the message is not from the process that connected: each process connects "
		       "for itself";
	return NULL;
}

/*
 * Steps 2 and 3: NULL when it was made for this moment, by what the process was when it connected
 * and still is.
 */
static const char *doubt_request(struct channel *c, unsigned int *ret_roles)
{
	const ProtobufCBinaryData *challenge = &c->call.request->challenge;
	struct peer_status status = {};
	bool same;

	if (memcmp(challenge->data, c->challenge, sizeof(c->challenge)))
		return "the challenge is not the one that was sent last";
	if (peer_status(c->peer.pid, &status))
		return "the process that connected is gone";
	same = same_ids(&c->peer, &status);
	*ret_roles = roles_of(c, &status);
	peer_status_clear(&status);
	if (!same)
		return "the process changed its user or group, or is set-user-ID: run it as the "
		       "user that asks";
	if (!tag_unchanged(c))
		return "the process executed something or changed its session since it connected";
	if (!peer_alive(&c->peer))
		return "the process that connected is gone";
	return NULL;
}

/* An agent is no launcher, also when it was one before it opened its own session. */
static bool passes(const struct channel *c)
{
	return c->launcher && !c->tagged;
}

static void refuse_for_good(struct channel *c, const char *code, const char *why)
{
	c->closing = true;
	server_refuse(&c->call, code, "%s", why);
}

static void accept_request(struct channel *c, struct peer_message *m)
{
	struct server_call *call = &c->call;
	unsigned int roles = 0;
	const char *why;

	*call = (struct server_call){.connection = c, .active = true, .message = *m};
	why = doubt_sender(c, m);
	if (why) {
		refuse_for_good(c, "denied", why);
		return;
	}
	if (m->fds_cut && !passes(c)) {
		refuse_for_good(
			c, "denied",
			c->tagged ? "a process of a session may not pass descriptors"
				  : "only root and who is named by 'launchers' in affiant.yaml "
				    "may pass descriptors");
		return;
	}
	if (m->fds_cut) {
		refuse_for_good(c, "busy",
				"not as many descriptors as the daemon can hold now: try later");
		return;
	}
	if (m->cut) {
		refuse_for_good(c, "bad_request", "longer than 65536 bytes");
		return;
	}
	if (request_decode(c->server->buffer, m->len, m->fds_count, &call->request, &why)) {
		server_refuse(call, "bad_request", "%s", why);
		return;
	}
	why = doubt_request(c, &roles);
	if (why) {
		refuse_for_good(c, "denied", why);
		return;
	}
	c->believed = true;
	call->caller = (struct server_caller){
		.pid = c->peer.pid,
		.pidfd = c->peer.pidfd,
		.uid = c->peer.uid,
		.gid = c->peer.gid,
		.roles = roles,
		.tag = c->tag,
		.challenge = c->challenge,
	};
	if (update(c)) { /* nothing more is read until it is answered */
		call_clear(call);
		close_channel(c);
		return;
	}
	dispatch(c, roles);
}

void channel_ready(struct channel *c, uint32_t events)
{
	struct peer_message m;
	int err = 0;

	if (events & EPOLLOUT)
		err = flush(c);
	if (!err && (events & EPOLLIN) && !c->call.active && !c->waits) {
		interrupt_begin(c->server->interrupt);
		err = peer_receive(c->fd, c->server->buffer, SERVER_MESSAGE_MAX, passes(c), &m);
		interrupt_end(c->server->interrupt);
		if (!err) {
			accept_request(c, &m); /* the connection may be gone now */
			return;
		}
		if (err == -EAGAIN)
			err = 0;
	} else if (!err && (events & (EPOLLHUP | EPOLLERR))) {
		err = -ECONNRESET;
	}
	if (err)
		close_channel(c);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	struct channel *c = data;

	(void)source;
	(void)usec;
	close_channel(c);
	return 0;
}

static int greet(struct channel *c, bool admitted)
{
	Affiant__V1__Hello hello = AFFIANT__V1__HELLO__INIT;
	uint8_t data[256];
	struct packet p = {.data = data};

	hello.version = (char *)AFFIANT_VERSION;
	if (admitted) {
		if (getrandom(c->challenge, sizeof(c->challenge), 0) != sizeof(c->challenge))
			return -EIO;
		hello.has_challenge = true;
		hello.challenge = (ProtobufCBinaryData){sizeof(c->challenge), c->challenge};
		hello.has_max_message = true;
		hello.max_message = SERVER_MESSAGE_MAX;
	}
	p.len = affiant__v1__hello__pack(&hello, data);
	return packet_send(c->fd, &p);
}

/* By what it is now; each request is looked at again. */
static int find_roles(struct channel *c)
{
	struct peer_status status;
	unsigned int roles;
	int err = c->tagged ? 0 : peer_status(c->peer.pid, &status);

	if (err || c->tagged)
		return err;
	roles = same_ids(&c->peer, &status) ? roles_of(c, &status) : 0;
	c->launcher = roles & SERVER_ROLE_LAUNCHER;
	c->staff = roles & (SERVER_ROLE_LAUNCHER | SERVER_ROLE_READER);
	peer_status_clear(&status);
	return 0;
}

static int start(struct channel *c, bool (*admit)(struct server *s, const struct channel *newcomer))
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
	struct server *s = c->server;
	int err;

	err = peer_pin(c->fd, &c->peer);
	if (err)
		return err;
	err = read_tag(c, &c->tagged, &c->tag) ?: find_roles(c);
	if (err)
		return err;
	if (!peer_alive(&c->peer))
		return -ESRCH;
	if (!admit(s, c)) {
		greet(c, false);
		return -EBUSY;
	}
	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, c->fd, &e) < 0)
		return -errno;
	c->added = true;
	c->waits_for = EPOLLIN;
	err = sd_event_add_time_relative(s->event, &c->timer, CLOCK_MONOTONIC, s->config.timeout_us,
					 0, on_timer, c);
	if (err < 0)
		return err;
	return greet(c, true);
}

int channel_new(struct server *s, int fd,
		bool (*admit)(struct server *s, const struct channel *newcomer))
{
	struct channel *c = calloc(1, sizeof(*c));
	int err;

	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	c->server = s;
	c->fd = fd;
	c->peer.pidfd = -1;
	err = start(c, admit);
	DL_APPEND(s->connections, c);
	if (err)
		channel_free(c);
	return err;
}
