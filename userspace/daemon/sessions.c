/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/core.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/pb.h"
#include "collect/decode.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>

#define TEXT_MAX 1024		/* bytes of a task's id, purpose, scope, or of a principal */
#define SCOPES_MAX 64

/* ---- opening ---- */

static bool text_fits(const char *text)
{
	return !text || strlen(text) <= TEXT_MAX;
}

static bool request_fits(const Affiant__V1__OpenSession *r)
{
	if (!text_fits(r->principal))
		return false;
	if (!r->task)
		return true;
	if (!text_fits(r->task->id) || !text_fits(r->task->purpose) || r->task->n_scope > SCOPES_MAX)
		return false;
	for (size_t i = 0; i < r->task->n_scope; i++)
		if (!text_fits(r->task->scope[i]))
			return false;
	return true;
}

/* Refuses the call and returns false, or says yes. */
static bool may_open(struct core *c, struct server_call *call, const struct server_open *open)
{
	const struct server_caller *caller = server_call_caller(call);
	const char *name = open->request->agent;
	struct tag tag;

	if (!name || !config_name_valid(name)) {
		server_refuse(call, "bad_request",
			      "an agent's name is letters, digits, '.', '-' and '_', at most %d", CONFIG_NAME_MAX);
		return false;
	}
	if (!request_fits(open->request)) {
		server_refuse(call, "bad_request", "task and principal: at most %d bytes each, %d scopes", TEXT_MAX,
			      SCOPES_MAX);
		return false;
	}
	if (!config_agent(c->config, name) &&
	    !(c->config->any_agent && caller->roles & SERVER_ROLE_ROOT)) {
		server_refuse(call, "denied", "no agent '%s' is configured: add it to 'agents' in %s", name,
			      CONFIG_PATH);
		return false;
	}
	if (HASH_COUNT(c->attribute->table.sessions) >= c->config->limits.sessions) {
		server_refuse(call, "limit", "%zu sessions live, which is the configured limit (limits.sessions)",
			      c->config->limits.sessions);
		return false;
	}
	if (source_tag_of(c->source, open->target, &tag) == 0) {
		server_refuse(call, "denied", "process %d is of a session already", open->target);
		return false;
	}
	return true;
}

static Affiant__V1__Isolation isolation_of(struct core *c, const struct server_open *open, uid_t uid)
{
	const struct config_agent *agent = config_agent(c->config, open->request->agent);

	if (agent && agent->own_user && agent->uid == uid)
		return AFFIANT__V1__ISOLATION__ISOLATION_UID;
	return open->request->has_isolation ? open->request->isolation :
					      AFFIANT__V1__ISOLATION__ISOLATION_UNKNOWN;
}

/* What opening needs until it is answered. */
struct opening {
	struct core *core;
	struct server_call *call;
	const struct server_open *open;
	uint64_t key;
	struct uuid id;
	char spiffe_id[512];
};

static int write_note(struct opening *o, Affiant__V1__Manifest *manifest)
{
	const Affiant__V1__OpenSession *request = o->open->request;
	const struct server_caller *caller = server_call_caller(o->call);
	Affiant__V1__StateSession note = AFFIANT__V1__STATE_SESSION__INIT;
	Affiant__V1__Record head = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__SessionStarted started = AFFIANT__V1__SESSION_STARTED__INIT;
	Affiant__V1__Agent agent = AFFIANT__V1__AGENT__INIT;
	Affiant__V1__Session session = AFFIANT__V1__SESSION__INIT;
	Affiant__V1__Principal principal = AFFIANT__V1__PRINCIPAL__INIT;
	Affiant__V1__ProcessId launcher = AFFIANT__V1__PROCESS_ID__INIT;

	agent.name = request->agent;
	agent.spiffe_id = o->spiffe_id;
	SET(&session, id, pb_bytes(o->id.bytes, UUID_SIZE));
	SET(&session, isolation, isolation_of(o->core, o->open, caller->uid));
	head.agent = &agent;
	head.session = &session;
	head.task = request->task;
	if (request->principal) {
		principal.subject = request->principal;
		SET(&principal, assurance, AFFIANT__V1__ASSURANCE__ASSURANCE_ASSERTED);
		head.principal = &principal;
	}
	SET(&started, origin,
	    request->target_is_pidfd ? AFFIANT__V1__SESSION_ORIGIN__ORIGIN_API :
				       AFFIANT__V1__SESSION_ORIGIN__ORIGIN_RUN);
	if (request->target_is_pidfd)
		SET(&started, late, true);
	SET(&started, launcher_uid, caller->uid);
	SET(&launcher, tgid, caller->pid);
	started.launcher = &launcher;
	started.manifest = manifest;
	head.body_case = AFFIANT__V1__RECORD__BODY_SESSION_STARTED;
	head.session_started = &started;
	SET(&note, key, o->key);
	note.head = &head;
	return core_note(o->core, NOTE_SESSION, &note.base);
}

static int end_by_note(struct core *c, uint64_t key)
{
	Affiant__V1__NoteEnd m = AFFIANT__V1__NOTE_END__INIT;

	SET(&m, key, key);
	return core_note(c, NOTE_END, &m.base);
}

static void answer_opened(struct opening *o)
{
	Affiant__V1__Response r = AFFIANT__V1__RESPONSE__INIT;
	Affiant__V1__SessionOpened opened = AFFIANT__V1__SESSION_OPENED__INIT;

	SET(&opened, session, pb_bytes(o->id.bytes, UUID_SIZE));
	opened.spiffe_id = o->spiffe_id;
	r.answer_case = AFFIANT__V1__RESPONSE__ANSWER_SESSION_OPENED;
	r.session_opened = &opened;
	server_answer(o->call, &r);
}

/* The note comes first: a tag whose session nobody knows would be an agent without a name. */
static void finish_opening(struct opening *o, Affiant__V1__Manifest *manifest)
{
	struct core *c = o->core;
	struct tag tag = { .session = o->key };
	int err = write_note(o, manifest);

	if (err) {
		server_refuse(o->call, "unavailable", "the session can't be recorded: %s", strerror(-err));
		return;
	}
	if (c->chain)
		chain_watch(c->chain, o->open->target);
	err = source_tag(c->source, o->open->target_pidfd, &tag);
	if (err) {
		(void)end_by_note(c, o->key);
		if (err == -ENOSPC)
			server_refuse(o->call, "limit", "%u processes are tracked, which is the configured limit "
				      "(max_tags)", source_tags_max(c->source));
		else
			server_refuse(o->call, err == -ESRCH ? "not_found" : "denied", "process %d: %s",
				      o->open->target, err == -EEXIST ? "is of a session already" : strerror(-err));
		return;
	}
	core_drain(c);
	core_flush(c);
	answer_opened(o);
}

static void open_session(void *core, struct server_call *call, const struct server_open *open)
{
	struct core *c = core;
	struct opening o = { .core = c, .call = call, .open = open };

	if (!may_open(c, call, open))
		return;
	if (getrandom(&o.key, sizeof(o.key), 0) != (ssize_t)sizeof(o.key) ||
	    uuid7_new(core_boottime_ns() + c->clock.offset_ns, &o.id) < 0) {
		server_refuse(call, "unavailable", "no random numbers");
		return;
	}
	snprintf(o.spiffe_id, sizeof(o.spiffe_id), "spiffe://%s/agent/%s", c->config->trust_domain,
		 open->request->agent);
	finish_opening(&o, NULL);
}

/* ---- ending ---- */

static void kill_processes(struct core *c, const struct session *s)
{
	struct process *p, *next;

	HASH_ITER (hh, c->attribute->table.processes, p, next) {
		_cleanup_close_ int pidfd = -1;
		struct tag tag;

		if (p->actor->session != s)
			continue;
		/* The tag is read behind the pidfd: a pid that was given again has another start, or none. */
		pidfd = syscall(SYS_pidfd_open, p->key.tgid, 0);
		if (pidfd >= 0 && source_tag_of(c->source, p->key.tgid, &tag) == 0 &&
		    tag.start_boottime == p->key.start)
			syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	}
}

static void end_session(void *core, struct server_call *call, const uint8_t id[static 16], bool kill)
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
	err = s->ending ? 0 : end_by_note(c, s->key);
	if (!err && kill)
		kill_processes(c, s);
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

/* What is shared with the session is borrowed: only the SessionInfo itself is the caller's to free. */
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

static int segment(void *core, uint64_t index, uint64_t *ret_index, uint64_t *ret_first_sequence, bool *ret_sealed)
{
	struct core *c = core;

	return ledger_segment_fd(c->ledger, index, ret_index, ret_first_sequence, ret_sealed);
}

const struct server_ops core_server_ops = {
	.tag_of = tag_of,
	.open_session = open_session,
	.end_session = end_session,
	.list_sessions = list_sessions,
	.get_status = core_get_status,
	.match = core_match,
	.segment = segment,
};
