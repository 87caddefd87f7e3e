/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "base/pb.h"
#include "collect/aside.h"
#include "collect/decode.h"
#include "collect/power.h"
#include "daemon/core.h"
#include "daemon/enrolment.h"
#include "daemon/evidence.h"
#include "daemon/turn.h"

uint32_t session_user(void *core, uint64_t key)
{
	struct core *c = core;
	const struct session *s;
	uint32_t user;

	if (aside_key_user(key, &user))
		return user;
	s = c->attribute ? session_find(&c->attribute->table, key) : NULL;
	if (s && s->head->session_started && s->head->session_started->has_launcher_uid)
		return s->head->session_started->launcher_uid;
	return s && s->has_user ? s->user : ASIDE_NOBODY;
}

/* ---- ending ---- */

int session_end_note(struct core *c, uint64_t key)
{
	Affiant__V1__NoteEnd m = AFFIANT__V1__NOTE_END__INIT;

	SET(&m, key, key);
	return core_note(c, NOTE_END, &m.base);
}

/* The tag is read behind the pidfd: a pid that was given again has another start, or none. */
static void kill_process(const struct core *c, pid_t tgid, uint64_t start)
{
	_cleanup_close_ int pidfd = syscall(SYS_pidfd_open, tgid, 0);
	struct tag tag;

	effort.files++;
	if (pidfd >= 0 && source_tag_of(c->source, tgid, &tag) == 0 && tag.start_boottime == start)
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

/* Whoever has the tag, heard of or not. */
static int kill_doomed(pid_t tgid, const struct tag *tag, void *core)
{
	struct core *c = core;
	const struct session *s = session_find(&c->attribute->table, tag->session);

	if (!s || !s->doomed)
		return 0;
	kill_process(c, tgid, tag->start_boottime);
	return 0;
}

static bool any_doomed(const struct core *c)
{
	struct session *s, *next;

	effort_walk(HASH_COUNT(c->attribute->table.sessions)); /* limits.sessions */
	HASH_ITER (hh, c->attribute->table.sessions, s, next)
		if (s->doomed)
			return true;
	return false;
}

void sessions_kill(struct core *c)
{
	int more = c->dooming;

	while (more == 1 && effort_goes_on())
		more = source_walk_tags(c->source, &c->dooming_walk, kill_doomed, c);
	/* Who has no tag yet may get one: as long as there is such a session it begins anew. */
	if (c->dooming && !more)
		c->dooming = any_doomed(c);
}

static void end_session(void *core, struct server_call *call, const uint8_t id[static 16],
			bool kill)
{
	const struct server_caller *caller = server_call_caller(call);
	Affiant__V1__Response r = AFFIANT__V1__RESPONSE__INIT;
	Affiant__V1__SessionEnding ending = AFFIANT__V1__SESSION_ENDING__INIT;
	struct core *c = core;
	struct session *s;
	int err;

	core_drain(c);
	s = session_find_id(&c->attribute->table, id);
	/* Not to be told from one that is not theirs: what sessions there are is for readers. */
	if (!s || (!(caller->roles & SERVER_ROLE_ROOT) &&
		   s->head->session_started->launcher_uid != caller->uid)) {
		server_refuse(call, "not_found", "no such session lives");
		return;
	}
	session_ref(s);
	err = s->ending ? 0 : session_end_note(c, s->key);
	if (!err && kill) {
		s->doomed = c->dooming = true;
		sessions_kill(c);
	}
	SET(&ending, processes, s->live);
	session_unref(s);
	if (err) {
		server_refuse(call, "unavailable", "the end can't be recorded: %s", strerror(-err));
		return;
	}
	core_flush(c);
	r.answer_case = AFFIANT__V1__RESPONSE__ANSWER_SESSION_ENDING;
	r.session_ending = &ending;
	server_answer(call, &r);
}

/* ---- listing ---- */

/*
 * What is shared with the session is borrowed: only the SessionInfo itself is the caller's to free.
 */
Affiant__V1__SessionInfo *session_info(const struct core *c, const struct session *s)
{
	Affiant__V1__SessionInfo *m = malloc(sizeof(*m));

	if (!m)
		return NULL;
	affiant__v1__session_info__init(m);
	m->agent = s->head->agent;
	m->session = s->head->session;
	m->task = s->head->task;
	m->principal = s->head->principal;
	if (s->head->session_started->has_origin)
		SET(m, origin, s->head->session_started->origin);
	m->selector = s->head->session_started->selector;
	SET(m, started_wall_ns, s->started_ns + c->clock.offset_ns);
	if (s->ended_wall_ns)
		SET(m, ended_wall_ns, s->ended_wall_ns);
	SET(m, processes, s->live);
	SET(m, processes_total, s->processes);
	SET(m, connections, s->connections);
	SET(m, execs, s->execs);
	SET(m, late, s->head->session_started->late);
	SET(m, ending, s->ending);
	SET(m, unproven, power_had(c->attribute, s));
	return m;
}

static void list_sessions(void *core, struct server_call *call, bool ended)
{
	Affiant__V1__Response r = AFFIANT__V1__RESPONSE__INIT;
	Affiant__V1__Sessions list = AFFIANT__V1__SESSIONS__INIT;
	struct core *c = core;
	const struct table *t = &c->attribute->table;
	size_t slots = sizeof(t->ended) / sizeof(t->ended[0]);
	struct session *s, *next;

	core_drain(c);
	list.sessions = calloc(HASH_COUNT(t->sessions) + slots + 1, sizeof(*list.sessions));
	if (!list.sessions) {
		server_refuse(call, "unavailable", "out of memory");
		return;
	}
	for (size_t i = 0; ended && i < slots; i++) {
		s = t->ended[(t->ended_next + i) % slots];
		if (s && (list.sessions[list.n_sessions] = session_info(c, s)))
			list.n_sessions++;
	}
	effort_walk(HASH_COUNT(t->sessions)); /* limits.sessions */
	HASH_ITER (hh, t->sessions, s, next)
		if ((list.sessions[list.n_sessions] = session_info(c, s)))
			list.n_sessions++;

	r.answer_case = AFFIANT__V1__RESPONSE__ANSWER_SESSIONS;
	r.sessions = &list;
	server_answer(call, &r);
	for (size_t i = 0; i < list.n_sessions; i++)
		free(list.sessions[i]);
	free(list.sessions);
}

static int tag_of(void *core, pid_t pid, struct tag *ret)
{
	return source_tag_of(((struct core *)core)->source, pid, ret);
}

static int segment(void *core, uint64_t index, uint64_t *ret_index, uint64_t *ret_first_sequence,
		   bool *ret_sealed)
{
	struct core *c = core;

	return ledger_segment_fd(c->ledger, index, ret_index, ret_first_sequence, ret_sealed);
}

const struct server_ops core_server_ops = {
	.tag_of = tag_of,
	.open_session = opening_begin,
	.end_session = end_session,
	.list_sessions = list_sessions,
	.get_status = core_get_status,
	.match = core_match,
	.get_evidence = evidence_get,
	.sign_proof = evidence_sign,
	.untagged = evidence_untagged,
	.get_enrolment = enrolment_get,
	.activate_credential = enrolment_activate,
	.install_certificate = enrolment_install,
	.segment = segment,
};
