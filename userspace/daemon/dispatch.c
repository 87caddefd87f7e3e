/* SPDX-License-Identifier: Apache-2.0 */
/* Which role may ask for what, and what the server answers itself. */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/cleanup.h"
#include "daemon/channel.h"

static void open_session(struct channel *c)
{
	const struct server *s = c->server;
	struct server_call *call = &c->call;
	const Affiant__V1__OpenSession *request = call->request->open_session;
	struct server_open open = {
		.request = request,
		.target = c->peer.pid,
		.target_pidfd = c->peer.pidfd,
		.measures = call->message.fds,
	};
	struct peer_status status = {};
	struct pollfd alive;
	bool allowed = call->caller.roles & SERVER_ROLE_ROOT;
	int err;

	if (request->has_target_is_pidfd && request->target_is_pidfd) {
		open.target_pidfd = call->message.fds[0];
		open.measures++;
		err = peer_pid_of_pidfd(open.target_pidfd, &open.target);
		if (err == -EBADF) {
			server_refuse(call, "bad_request",
				      "the first descriptor is not the pidfd of a process");
			return;
		}
		if (!err)
			err = peer_status(open.target, &status);
		for (int i = 0; !err && !allowed && i < 4; i++)
			if (status.uid[i] != call->caller.uid) {
				server_refuse(call, "denied",
					      "process %d is another user's: only root opens "
					      "sessions for "
					      "those",
					      open.target);
				peer_status_clear(&status);
				return;
			}
		peer_status_clear(&status);
		alive = (struct pollfd){.fd = open.target_pidfd, .events = POLLIN};
		if (err || poll(&alive, 1, 0)) {
			server_refuse(call, "not_found", "the process is gone");
			return;
		}
		if (open.target == getpid()) {
			server_refuse(call, "denied", "the daemon is no agent");
			return;
		}
	}
	call->opens_self = open.target == c->peer.pid;
	s->ops->open_session(s->context, call, &open);
}

static void end_session(struct channel *c)
{
	const Affiant__V1__EndSession *request = c->call.request->end_session;

	c->server->ops->end_session(c->server->context, &c->call, request->session.data,
				    request->has_kill && request->kill);
}

static void list_sessions(struct channel *c)
{
	const Affiant__V1__ListSessions *request = c->call.request->list_sessions;

	c->server->ops->list_sessions(c->server->context, &c->call,
				      request->has_ended && request->ended);
}

static void get_status(struct channel *c)
{
	c->server->ops->get_status(c->server->context, &c->call);
}

static void match(struct channel *c)
{
	c->server->ops->match(c->server->context, &c->call, c->call.request->match->pid);
}

static void read_segments(struct channel *c)
{
	const Affiant__V1__ReadSegments *request = c->call.request->read_segments;
	const struct server *s = c->server;
	Affiant__V1__Response response = AFFIANT__V1__RESPONSE__INIT;
	Affiant__V1__Segments segments = AFFIANT__V1__SEGMENTS__INIT;
	Affiant__V1__SegmentInfo infos[SERVER_SEGMENTS_MAX], *list[SERVER_SEGMENTS_MAX];
	uint64_t index = request->has_from_index ? request->from_index : 0, first;
	int fds[SERVER_SEGMENTS_MAX], fd = -ENOENT;
	bool sealed;

	while ((fd = s->ops->segment(s->context, index, &index, &first, &sealed)) >= 0) {
		size_t n = segments.n_segments;

		if (n == SERVER_SEGMENTS_MAX) {
			close(fd);
			segments.has_more = segments.more = true;
			fd = -ENOENT;
			break;
		}
		affiant__v1__segment_info__init(&infos[n]);
		infos[n].has_index = infos[n].has_first_sequence = infos[n].has_sealed = true;
		infos[n].index = index++;
		infos[n].first_sequence = first;
		infos[n].sealed = sealed;
		list[n] = &infos[n];
		fds[n] = fd;
		segments.n_segments++;
	}
	if (fd != -ENOENT) {
		while (segments.n_segments)
			close(fds[--segments.n_segments]);
		server_refuse(&c->call, "unavailable", "the records cannot be read: %s",
			      strerror(-fd));
		return;
	}
	segments.segments = list;
	response.answer_case = AFFIANT__V1__RESPONSE__ANSWER_SEGMENTS;
	response.segments = &segments;
	channel_follow(c, request->has_follow && request->follow);
	channel_answer(c, &response, fds, segments.n_segments);
}

static void get_evidence(struct channel *c)
{
	c->server->ops->get_evidence(c->server->context, &c->call, c->call.request->get_evidence);
}

static void sign_proof(struct channel *c)
{
	c->server->ops->sign_proof(c->server->context, &c->call, c->call.request->sign_proof);
}

static void get_enrolment(struct channel *c)
{
	c->server->ops->get_enrolment(c->server->context, &c->call);
}

static void activate_credential(struct channel *c)
{
	c->server->ops->activate_credential(c->server->context, &c->call,
					    c->call.request->activate_credential);
}

static void install_certificate(struct channel *c)
{
	c->server->ops->install_certificate(c->server->context, &c->call,
					    c->call.request->install_certificate);
}

/* What is not here is refused. */
static const struct {
	Affiant__V1__Request__CallCase call;
	unsigned int roles; /* one of them */
	void (*handle)(struct channel *c);
	const char *what;
} calls[] = {
	{AFFIANT__V1__REQUEST__CALL_OPEN_SESSION, SERVER_ROLE_LAUNCHER, open_session,
	 "open sessions"},
	{AFFIANT__V1__REQUEST__CALL_END_SESSION, SERVER_ROLE_LAUNCHER, end_session, "end sessions"},
	{AFFIANT__V1__REQUEST__CALL_LIST_SESSIONS, SERVER_ROLE_READER, list_sessions,
	 "list sessions"},
	{AFFIANT__V1__REQUEST__CALL_GET_STATUS, SERVER_ROLE_READER, get_status, "see the status"},
	{AFFIANT__V1__REQUEST__CALL_READ_SEGMENTS, SERVER_ROLE_READER, read_segments,
	 "read records"},
	{AFFIANT__V1__REQUEST__CALL_MATCH, SERVER_ROLE_READER | SERVER_ROLE_LAUNCHER, match,
	 "match processes"},
	{AFFIANT__V1__REQUEST__CALL_GET_EVIDENCE, SERVER_ROLE_AGENT, get_evidence,
	 "ask for evidence"},
	{AFFIANT__V1__REQUEST__CALL_SIGN_PROOF, SERVER_ROLE_AGENT, sign_proof, "ask for proofs"},
	{AFFIANT__V1__REQUEST__CALL_GET_ENROLMENT, SERVER_ROLE_ROOT, get_enrolment,
	 "enrol the host"},
	{AFFIANT__V1__REQUEST__CALL_ACTIVATE_CREDENTIAL, SERVER_ROLE_ROOT, activate_credential,
	 "enrol the host"},
	{AFFIANT__V1__REQUEST__CALL_INSTALL_CERTIFICATE, SERVER_ROLE_ROOT, install_certificate,
	 "enrol the host"},
};

static void refuse(struct channel *c, unsigned int roles, const char *what)
{
	if (roles == SERVER_ROLE_AGENT && !c->tagged)
		c->server->ops->untagged(c->server->context);
	if (roles == SERVER_ROLE_AGENT)
		server_refuse(&c->call, "untagged",
			      "process %d is of no session, and only those may %s: start it with "
			      "'affiant run'",
			      c->peer.pid, what);
	else if (c->tagged)
		server_refuse(&c->call, "denied", "a process of a session may not %s", what);
	else if (roles == SERVER_ROLE_ROOT)
		server_refuse(&c->call, "denied", "user %u may not %s: root may", c->peer.uid,
			      what);
	else
		server_refuse(
			&c->call, "denied",
			"user %u may not %s: root and those named by '%s' in affiant.yaml may",
			c->peer.uid, what, roles & SERVER_ROLE_READER ? "readers" : "launchers");
}

void dispatch(struct channel *c, unsigned int roles)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		if (calls[i].call != c->call.request->call_case)
			continue;
		if (calls[i].roles & roles)
			calls[i].handle(c);
		else
			refuse(c, calls[i].roles, calls[i].what);
		return;
	}
	server_refuse(&c->call, "bad_request", "no call that this version knows");
}
