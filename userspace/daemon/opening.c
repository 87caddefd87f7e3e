/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <utlist.h>

#include "base/cleanup.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/pb.h"
#include "collect/decode.h"
#include "collect/manifest.h"
#include "daemon/core.h"
#include "daemon/opensockets.h"
#include "daemon/pace.h"

#define TEXT_MAX 1024 /* bytes of a task's id, purpose, scope, or of a principal */
#define SCOPES_MAX 64
#define TEXTS_MAX 8192    /* of them all: every record of the session carries them */
#define ENDS_SIZE 1024    /* bytes of what else a session's own records say, about */
#define STARTED_MAX 32768 /* bytes of SessionStarted, which has to fit into a record with them */

static bool text_fits(const char *text, size_t *sum)
{
	size_t len = text ? strlen(text) : 0;

	*sum += len;
	return len <= TEXT_MAX && *sum <= TEXTS_MAX;
}

static bool request_fits(const Affiant__V1__OpenSession *r)
{
	size_t sum = 0;

	if (!text_fits(r->principal, &sum))
		return false;
	if (!r->task)
		return true;
	if (!text_fits(r->task->id, &sum) || !text_fits(r->task->purpose, &sum) ||
	    r->task->n_scope > SCOPES_MAX)
		return false;
	for (size_t i = 0; i < r->task->n_scope; i++)
		if (!text_fits(r->task->scope[i], &sum))
			return false;
	return true;
}

/* Half of what runs into its budget, for records that are told whatever it owes. */
static bool may_open_another(struct core *c, struct server_call *call, const char *agent)
{
	const struct budgets *budgets = &c->attribute->budgets;
	uint64_t now = core_boottime_ns();
	bool said;

	if (!budget_agent_deep(budgets, agent, now, false) ||
	    pace_take(&c->paces, agent, bucket_size_of_agent(budgets->state_bytes).per_day / 2,
		      now, &said))
		return true;
	c->opens_refused++;
	if (!said)
		log_warning("sessions of agent '%s' are refused: it is far past its budget, and "
			    "then at most %d begin in a minute (a larger state_bytes helps)",
			    agent, PACE_PER_MINUTE);
	server_refuse(call, "limit",
		      "agent '%s' is far past its budget, and then at most %d sessions begin in a "
		      "minute: try again later, or let one session do more; a larger state_bytes "
		      "helps",
		      agent, PACE_PER_MINUTE);
	return false;
}

/* What opening needs until it is answered. */
struct opening {
	struct opening *prev, *next; /* core.openings, while something is waited for */
	struct core *core;
	struct server_call *call;
	struct server_open open;
	uint64_t key; /* of the session; also the manifest's token, and that of its marks */
	struct uuid id;
	char spiffe_id[512];
};

/* Refuses the call and returns false, or says yes. */
static bool may_open(struct core *c, struct server_call *call, const struct server_open *open)
{
	const struct server_caller *caller = server_call_caller(call);
	const char *name = open->request->agent;
	const struct opening *o;
	size_t waiting;
	struct tag tag;

	if (!name || !config_name_valid(name)) {
		server_refuse(call, "bad_request",
			      "an agent's name is letters, digits, '.', '-' and '_', at most %d, "
			      "and not '" CONFIG_NAME_UNKNOWN "'",
			      CONFIG_NAME_MAX);
		return false;
	}
	if (!request_fits(open->request)) {
		server_refuse(call, "bad_request",
			      "task and principal: at most %d bytes each, %d in all, %d scopes",
			      TEXT_MAX, TEXTS_MAX, SCOPES_MAX);
		return false;
	}
	if (!config_agent(c->config, name) &&
	    !(c->config->any_agent && caller->roles & SERVER_ROLE_ROOT)) {
		server_refuse(call, "denied",
			      "no agent '%s' is configured: add it to 'agents' in %s", name,
			      CONFIG_PATH);
		return false;
	}
	DL_COUNT(c->openings, o, waiting);
	if (HASH_COUNT(c->attribute->table.sessions) + waiting >= c->config->limits.sessions) {
		limit_met(LIMIT_SESSIONS);
		server_refuse(call, "limit",
			      "%zu sessions live, which is the configured limit (limits.sessions)",
			      c->config->limits.sessions);
		return false;
	}
	if (source_tag_of(c->source, open->target, &tag) == 0) {
		server_refuse(call, "denied", "process %d is of a session already", open->target);
		return false;
	}
	return may_open_another(c, call, name);
}

static Affiant__V1__Isolation isolation_of(struct core *c, const struct server_open *open,
					   uid_t uid)
{
	const struct config_agent *agent = config_agent(c->config, open->request->agent);

	if (agent && agent->own_user && agent->uid == uid)
		return AFFIANT__V1__ISOLATION__ISOLATION_UID;
	return open->request->has_isolation ? open->request->isolation
					    : AFFIANT__V1__ISOLATION__ISOLATION_UNKNOWN;
}

/*
 * What the first process is given that reaches out already: it waits for its answer, and then
 * executes the agent. Of one that runs already more is looked for when it is tagged.
 */
static int set_given(struct opening *o, bool late, Affiant__V1__SessionStarted *m)
{
	int err = late ? 0 : opensockets_add(o->open.target, OPENSOCKETS_KEPT, m);

	if (err)
		return err;
	/* They are under the root all the same. */
	if (m->manifest && affiant__v1__session_started__get_packed_size(m) > STARTED_MAX)
		m->manifest->n_files = 0;
	opensockets_cut(m, STARTED_MAX);
	return affiant__v1__session_started__get_packed_size(m) > STARTED_MAX ? -EMSGSIZE : 0;
}

static int write_note(struct opening *o, Affiant__V1__Manifest *manifest)
{
	const Affiant__V1__OpenSession *request = o->open.request;
	const struct server_caller *caller = server_call_caller(o->call);
	Affiant__V1__StateSession note = AFFIANT__V1__STATE_SESSION__INIT;
	Affiant__V1__Record head = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__SessionStarted started = AFFIANT__V1__SESSION_STARTED__INIT;
	Affiant__V1__Agent agent = AFFIANT__V1__AGENT__INIT;
	Affiant__V1__Session session = AFFIANT__V1__SESSION__INIT;
	Affiant__V1__Principal principal = AFFIANT__V1__PRINCIPAL__INIT;
	Affiant__V1__ProcessId launcher = AFFIANT__V1__PROCESS_ID__INIT;
	bool late;
	int err;

	agent.name = request->agent;
	agent.spiffe_id = o->spiffe_id;
	SET(&session, id, pb_bytes(o->id.bytes, UUID_SIZE));
	SET(&session, isolation, isolation_of(o->core, &o->open, caller->uid));
	head.agent = &agent;
	head.session = &session;
	head.task = request->task;
	if (request->principal) {
		principal.subject = request->principal;
		SET(&principal, assurance, AFFIANT__V1__ASSURANCE__ASSURANCE_ASSERTED);
		head.principal = &principal;
	}
	late = request->target_is_pidfd && !request->held;
	SET(&started, origin,
	    late ? AFFIANT__V1__SESSION_ORIGIN__ORIGIN_API
		 : AFFIANT__V1__SESSION_ORIGIN__ORIGIN_RUN);
	if (late)
		SET(&started, late, true);
	SET(&started, launcher_uid, caller->uid);
	SET(&launcher, tgid, caller->pid);
	started.launcher = &launcher;
	started.manifest = manifest;
	err = set_given(o, late, &started);
	head.body_case = AFFIANT__V1__RECORD__BODY_SESSION_STARTED;
	head.session_started = &started;
	SET(&note, key, o->key);
	note.head = &head;
	err = err ?: core_note(o->core, NOTE_SESSION, &note.base);
	/* Both its records have the head. */
	pace_spend(o->core->paces, request->agent,
		   2 * affiant__v1__record__get_packed_size(&head) + ENDS_SIZE);
	opensockets_clear(&started);
	return err;
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
static void finish(struct opening *o, Affiant__V1__Manifest *manifest)
{
	struct core *c = o->core;
	struct tag tag = {.session = o->key};
	int err = write_note(o, manifest);

	if (err) {
		server_refuse(o->call, "unavailable", "the session can't be recorded: %s",
			      strerror(-err));
		return;
	}
	err = source_tag(c->source, o->open.target_pidfd, &tag);
	if (err) {
		(void)session_end_note(c, o->key);
		if (limit_as(err, -ENOSPC, LIMIT_TAGS) == -ENOSPC)
			server_refuse(o->call, "limit",
				      "%u processes are tracked, which is the configured limit "
				      "(max_tags)",
				      source_tags_max(c->source));
		else
			server_refuse(o->call, err == -ESRCH ? "not_found" : "denied",
				      "process %d: %s", o->open.target,
				      err == -EEXIST ? "is of a session already" : strerror(-err));
		return;
	}
	core_drain(c);
	core_flush(c);
	answer_opened(o);
}

static void opening_free(struct opening *o)
{
	free(o);
}

/* ---- the manifest ---- */

struct manifest_message {
	Affiant__V1__Manifest m;
	Affiant__V1__ManifestPath *paths, **path_list;
	Affiant__V1__ManifestFile *files, **file_list;
};

static void message_clear(struct manifest_message *x)
{
	free(x->paths);
	free(x->path_list);
	free(x->files);
	free(x->file_list);
}

/* Borrows from @from. */
static int message_fill(struct manifest_message *x, const struct manifest *from)
{
	affiant__v1__manifest__init(&x->m);
	x->paths = calloc(from->paths_count + 1, sizeof(*x->paths));
	x->path_list = calloc(from->paths_count + 1, sizeof(*x->path_list));
	x->files = calloc(from->files_count + 1, sizeof(*x->files));
	x->file_list = calloc(from->files_count + 1, sizeof(*x->file_list));
	if (!x->paths || !x->path_list || !x->files || !x->file_list)
		return -ENOMEM;

	SET(&x->m, state, (Affiant__V1__HashState)from->state);
	SET(&x->m, entries, from->entries);
	if (from->state == HASH_STATE_OBSERVED)
		SET(&x->m, root, pb_bytes(from->root.bytes, SHA256_SIZE));
	for (size_t i = 0; i < from->paths_count; i++) {
		const struct manifest_path *p = &from->paths[i];

		x->path_list[i] = &x->paths[i];
		affiant__v1__manifest_path__init(&x->paths[i]);
		SET(&x->paths[i], path, pb_bytes(p->name, strlen(p->name)));
		SET(&x->paths[i], entries, p->entries);
		if (p->state == HASH_STATE_OBSERVED)
			SET(&x->paths[i], root, pb_bytes(p->root.bytes, SHA256_SIZE));
	}
	for (size_t i = 0; i < from->files_count; i++) {
		const struct manifest_file *f = &from->files[i];

		x->file_list[i] = &x->files[i];
		affiant__v1__manifest_file__init(&x->files[i]);
		SET(&x->files[i], path, pb_bytes(f->path, strlen(f->path)));
		SET(&x->files[i], mode, f->mode);
		if (f->has_digest)
			SET(&x->files[i], sha256, pb_bytes(f->digest.bytes, SHA256_SIZE));
	}
	x->m.paths = x->path_list;
	x->m.n_paths = from->paths_count;
	x->m.files = x->file_list;
	x->m.n_files = from->files_count;
	return 0;
}

static void measured(void *core, uint64_t token, const struct manifest *manifest)
{
	struct manifest_message x = {0};
	struct core *c = core;
	struct opening *o;

	DL_SEARCH_SCALAR(c->openings, o, key, token);
	if (!o)
		return;
	DL_DELETE(c->openings, o);
	if (message_fill(&x, manifest))
		server_refuse(o->call, "unavailable", "out of memory");
	else
		finish(o, &x.m);
	message_clear(&x);
	opening_free(o);
}

void opening_collect(struct core *c)
{
	manifests_collect(c->manifests, measured, c);
}

static void free_names(char ***names)
{
	for (char **n = *names; n && *n; n++)
		free(*n);
	free(*names);
}
#define _cleanup_names_ _cleanup_(free_names)

/* With the rights of whoever asks: he who can open a directory can't read all that is in it. */
static int measure(struct opening *o)
{
	const Affiant__V1__OpenSession *request = o->open.request;
	_cleanup_free_ struct manifest_job *job = calloc(1, sizeof(*job));
	_cleanup_names_ char **names = calloc(request->n_measure + 1, sizeof(*names));
	_cleanup_free_ int *fds = calloc(request->n_measure, sizeof(*fds));
	_cleanup_close_ int proc = -1;
	char path[32];
	int err;

	if (!job || !names || !fds)
		return -ENOMEM;
	snprintf(path, sizeof(path), "/proc/%d", server_call_caller(o->call)->pid);
	proc = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = proc < 0 ? -ESRCH : credentials_read(proc, &job->credentials);
	if (err)
		return err;
	for (size_t i = 0; i < request->n_measure; i++) {
		names[i] = strndup((const char *)request->measure[i].data, request->measure[i].len);
		if (!names[i])
			return -ENOMEM;
	}
	for (size_t i = 0; i < request->n_measure; i++) {
		fds[i] = fcntl(o->open.measures[i], F_DUPFD_CLOEXEC, 3);
	}
	job->token = o->key;
	job->count = request->n_measure;
	job->names = (const char *const *)names;
	job->fds = fds;
	return manifests_submit(o->core->manifests, job);
}

/* ---- */

/* When what it executes is seen: its files, if any are to be measured, and then the session. */
static void go_on(struct opening *o)
{
	struct core *c = o->core;
	int err;

	if (!o->open.request->n_measure) {
		DL_DELETE(c->openings, o);
		finish(o, NULL);
		opening_free(o);
		return;
	}
	err = measure(o);
	if (!err)
		return;
	DL_DELETE(c->openings, o);
	server_refuse(o->call, "bad_request", "--measure: %s",
		      err == -EINVAL ? "a path is named twice" : strerror(-err));
	opening_free(o);
}

void opening_watched(struct core *c, uint64_t key)
{
	struct opening *o;

	DL_SEARCH_SCALAR(c->openings, o, key, key);
	if (o)
		go_on(o);
}

/* Looks at mounts are the user's who opens, however many sessions: it is for him that they are done. */
static uint64_t looks_key(const struct server_call *call)
{
	return UINT64_MAX - server_call_caller(call)->uid;
}

void opening_begin(void *core, struct server_call *call, const struct server_open *open)
{
	struct core *c = core;
	struct opening *o;

	if (!may_open(c, call, open))
		return;
	o = calloc(1, sizeof(*o));
	if (!o || getrandom(&o->key, sizeof(o->key), 0) != (ssize_t)sizeof(o->key) ||
	    uuid7_new(core_boottime_ns() + c->clock.offset_ns, &o->id) < 0) {
		server_refuse(call, "unavailable", "out of memory or random numbers");
		opening_free(o);
		return;
	}
	o->core = c;
	o->call = call;
	o->open = *open;
	snprintf(o->spiffe_id, sizeof(o->spiffe_id), "spiffe://%s/agent/%s",
		 c->config->trust_domain, open->request->agent);
	DL_APPEND(c->openings, o);
	/* The first thing that it executes can be a script: its filesystem is marked before. */
	if (!core_watch(c, open->target, 0, looks_key(call), o->key))
		go_on(o);
}

void opening_free_all(struct core *c)
{
	struct opening *o, *next;

	DL_FOREACH_SAFE (c->openings, o, next) {
		DL_DELETE(c->openings, o);
		opening_free(o);
	}
	pace_clear(&c->paces);
}
