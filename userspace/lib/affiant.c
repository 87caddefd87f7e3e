/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/affiant.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "lib/handle.h"

/* 8-4-4-4-12 (RFC 9562, section 4). The library has no dependency but protobuf-c. */
static void format_id(const ProtobufCBinaryData *id, char ret[static AFFIANT_UUID_TEXT])
{
	size_t at = 0;

	ret[0] = '\0';
	for (size_t i = 0; id->len == 16 && i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			ret[at++] = '-';
		at += snprintf(ret + at, AFFIANT_UUID_TEXT - at, "%02x", id->data[i]);
	}
}

static int parse_id(const char *text, uint8_t ret[static 16])
{
	if (strlen(text) != AFFIANT_UUID_TEXT - 1)
		return -EINVAL;
	for (size_t i = 0, at = 0; i < 16; i++, at += 2) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			if (text[at++] != '-')
				return -EINVAL;
		if (strspn(text + at, "0123456789abcdefABCDEF") < 2 ||
		    sscanf(text + at, "%2hhx", &ret[i]) != 1)
			return -EINVAL;
	}
	return 0;
}

int affiant_connect(const char *socket, struct affiant **ret)
{
	struct affiant *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return -ENOMEM;
	err = client_open(socket, &a->client);
	if (err) {
		free(a);
		return err;
	}
	*ret = a;
	return 0;
}

void affiant_disconnect(struct affiant *a)
{
	if (!a)
		return;
	client_close(a->client);
	free(a);
}

const char *affiant_error(const struct affiant *a)
{
	return *a->error ? a->error : client_error(a->client);
}

int handle_fail(struct affiant *a, int err, const char *text)
{
	snprintf(a->error, sizeof(a->error), "%s", text);
	return err;
}

int handle_call(struct affiant *a, Affiant__V1__Request *request, const int *fds, size_t fds_count,
		Affiant__V1__Response **ret)
{
	*a->error = '\0';
	return client_call(a->client, request, fds, fds_count, ret, NULL, NULL);
}

const char *affiant_error_code(const struct affiant *a)
{
	return *a->error ? "" : client_error_code(a->client);
}

static size_t list_size(const char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

/* Opened here, so that the daemon reads nothing that this process could not. */
static int open_measures(struct affiant *a, const char *const *paths, int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		fds[i] = open(paths[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fds[i] >= 0)
			continue;
		int err = -errno;

		snprintf(a->error, sizeof(a->error), "%s: %s", paths[i], strerror(-err));
		while (i)
			close(fds[--i]);
		return err;
	}
	return 0;
}

static int send_open(struct affiant *a, const struct affiant_open *open, const int *fds,
		     size_t fds_count, size_t measures, Affiant__V1__Response **ret)
{
	Affiant__V1__Request request = AFFIANT__V1__REQUEST__INIT;
	Affiant__V1__OpenSession body = AFFIANT__V1__OPEN_SESSION__INIT;
	Affiant__V1__Task task = AFFIANT__V1__TASK__INIT;
	ProtobufCBinaryData paths[CLIENT_FDS_MAX];

	body.agent = (char *)open->agent;
	body.principal = (char *)open->principal;
	body.has_isolation = open->isolation != AFFIANT_ISOLATION_UNKNOWN;
	body.isolation = (Affiant__V1__Isolation)open->isolation;
	body.has_target_is_pidfd = body.target_is_pidfd = open->pidfd >= 0;
	body.has_held = body.held = open->pidfd >= 0 && open->held;
	for (size_t i = 0; i < measures; i++)
		paths[i] = (ProtobufCBinaryData){strlen(open->measures[i]),
						 (uint8_t *)open->measures[i]};
	body.measure = paths;
	body.n_measure = measures;
	if (open->task || open->purpose || open->expires_ns || open->scopes) {
		task.id = (char *)open->task;
		task.purpose = (char *)open->purpose;
		task.has_expires_wall_ns = open->expires_ns != 0;
		task.expires_wall_ns = open->expires_ns;
		task.scope = (char **)open->scopes;
		task.n_scope = list_size(open->scopes);
		body.task = &task;
	}
	request.call_case = AFFIANT__V1__REQUEST__CALL_OPEN_SESSION;
	request.open_session = &body;
	return handle_call(a, &request, fds, fds_count, ret);
}

int affiant_open_session(struct affiant *a, const struct affiant_open *open,
			 struct affiant_session *ret)
{
	size_t measures = list_size(open->measures), first = open->pidfd >= 0;
	int fds[CLIENT_FDS_MAX + 1] = {open->pidfd};
	Affiant__V1__Response *r;
	int err;

	if (measures > CLIENT_FDS_MAX) {
		snprintf(a->error, sizeof(a->error), "%zu paths to measure: at most %d", measures,
			 CLIENT_FDS_MAX);
		return -E2BIG;
	}
	err = open_measures(a, open->measures, fds + first, measures);
	if (err)
		return err;
	err = send_open(a, open, fds, first + measures, measures, &r);
	for (size_t i = 0; i < measures; i++)
		close(fds[first + i]);
	if (err)
		return err;
	if (r->answer_case != AFFIANT__V1__RESPONSE__ANSWER_SESSION_OPENED) {
		affiant__v1__response__free_unpacked(r, NULL);
		return -EPROTO;
	}
	if (ret) {
		format_id(&r->session_opened->session, ret->id);
		snprintf(ret->spiffe_id, sizeof(ret->spiffe_id), "%s",
			 r->session_opened->spiffe_id ?: "");
	}
	affiant__v1__response__free_unpacked(r, NULL);
	return 0;
}

int affiant_end_session(struct affiant *a, const char *id, bool kill, uint32_t *ret_processes)
{
	Affiant__V1__Request request = AFFIANT__V1__REQUEST__INIT;
	Affiant__V1__EndSession body = AFFIANT__V1__END_SESSION__INIT;
	Affiant__V1__Response *r;
	uint8_t bytes[16];
	int err = parse_id(id, bytes);

	if (err) {
		snprintf(a->error, sizeof(a->error), "'%s' is not the id of a session", id);
		return err;
	}
	body.has_session = true;
	body.session = (ProtobufCBinaryData){sizeof(bytes), bytes};
	body.has_kill = true;
	body.kill = kill;
	request.call_case = AFFIANT__V1__REQUEST__CALL_END_SESSION;
	request.end_session = &body;
	err = handle_call(a, &request, NULL, 0, &r);
	if (err)
		return err;
	if (r->answer_case == AFFIANT__V1__RESPONSE__ANSWER_SESSION_ENDING && ret_processes)
		*ret_processes = r->session_ending->processes;
	err = r->answer_case == AFFIANT__V1__RESPONSE__ANSWER_SESSION_ENDING ? 0 : -EPROTO;
	affiant__v1__response__free_unpacked(r, NULL);
	return err;
}

static void fill_info(const Affiant__V1__SessionInfo *from, struct affiant_session_info *to)
{
	memset(to, 0, sizeof(*to));
	if (from->session)
		format_id(&from->session->id, to->id);
	if (from->agent) {
		snprintf(to->agent, sizeof(to->agent), "%s", from->agent->name ?: "");
		snprintf(to->spiffe_id, sizeof(to->spiffe_id), "%s", from->agent->spiffe_id ?: "");
	}
	if (from->task)
		snprintf(to->task, sizeof(to->task), "%s", from->task->id ?: "");
	if (from->principal)
		snprintf(to->principal, sizeof(to->principal), "%s",
			 from->principal->subject ?: "");
	to->started_ns = from->started_wall_ns;
	to->ended_ns = from->ended_wall_ns;
	to->processes = from->processes;
	to->connections = from->connections;
	to->execs = from->execs;
}

int affiant_list_sessions(struct affiant *a, bool ended,
			  int (*each)(void *data, const struct affiant_session_info *info),
			  void *data)
{
	Affiant__V1__Request request = AFFIANT__V1__REQUEST__INIT;
	Affiant__V1__ListSessions body = AFFIANT__V1__LIST_SESSIONS__INIT;
	struct affiant_session_info info;
	Affiant__V1__Response *r;
	int err;

	body.has_ended = true;
	body.ended = ended;
	request.call_case = AFFIANT__V1__REQUEST__CALL_LIST_SESSIONS;
	request.list_sessions = &body;
	err = handle_call(a, &request, NULL, 0, &r);
	if (err)
		return err;
	if (r->answer_case != AFFIANT__V1__RESPONSE__ANSWER_SESSIONS)
		err = -EPROTO;
	for (size_t i = 0; !err && i < r->sessions->n_sessions; i++) {
		fill_info(r->sessions->sessions[i], &info);
		err = each(data, &info);
	}
	affiant__v1__response__free_unpacked(r, NULL);
	return err;
}
