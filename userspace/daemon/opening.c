/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <utlist.h>

#include "base/cleanup.h"
#include "base/effort.h"
#include "base/limit.h"
#include "base/pb.h"
#include "collect/decode.h"
#include "collect/manifest.h"
#include "daemon/admission.h"
#include "daemon/core.h"
#include "daemon/manifestmessage.h"
#include "daemon/opensockets.h"
#include "daemon/pace.h"

#define ENDS_SIZE 1024    /* bytes of what else a session's own records say, about */
#define STARTED_MAX 32768 /* bytes of SessionStarted, which has to fit into a record with them */

static Affiant__V1__Isolation isolation_of(struct core *c, const struct server_open *open,
					   uid_t uid)
{
	const struct config_agent *agent = config_agent(c->config, open->request->agent);

	if (agent && agent->own_user && agent->uid == uid)
		return AFFIANT__V1__ISOLATION__ISOLATION_UID;
	return open->request->has_isolation ? open->request->isolation
					    : AFFIANT__V1__ISOLATION__ISOLATION_UNKNOWN;
}

/* What opening needs until it is answered. */
struct opening {
	struct opening *prev, *next; /* core.openings */
	struct core *core;
	struct server_call *call;
	struct server_open open;
	uint64_t key; /* of the session; also the manifest's token */
	struct uuid id;
	char spiffe_id[512];
	Affiant__V1__SessionStarted given; /* its open_connections; they alone */
	struct credentials *credentials;   /* of whoever asks, where something is measured */
};

/* Of one that runs already more is looked for when it is tagged. */
static bool is_late(const struct opening *o)
{
	return o->open.request->target_is_pidfd && !o->open.request->held;
}

static int set_given(struct opening *o, Affiant__V1__SessionStarted *m)
{
	m->open_connections = o->given.open_connections;
	m->n_open_connections = o->given.n_open_connections;
	o->given.open_connections = NULL;
	o->given.n_open_connections = 0;
	if (o->given.open_connections_cut)
		SET(m, open_connections_cut, true);
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
	late = is_late(o);
	SET(&started, origin,
	    late ? AFFIANT__V1__SESSION_ORIGIN__ORIGIN_API
		 : AFFIANT__V1__SESSION_ORIGIN__ORIGIN_RUN);
	if (late)
		SET(&started, late, true);
	SET(&started, launcher_uid, caller->uid);
	SET(&launcher, tgid, caller->pid);
	started.launcher = &launcher;
	started.manifest = manifest;
	err = set_given(o, &started);
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

static void opening_free(struct opening *o)
{
	opensockets_clear(&o->given);
	free(o->credentials);
	free(o);
}

/* NULL: it is over, as the daemon is. */
static struct opening *opening_find(struct core *c, uint64_t key)
{
	struct opening *o;

	DL_SEARCH_SCALAR(c->openings, o, key, key);
	return o;
}

static void opening_end(struct opening *o)
{
	DL_DELETE(o->core->openings, o);
	o->core->openings_count--;
	opening_free(o);
}

/* ---- the tag, whose setting goes over all tasks of the host: beside the loop ---- */

struct tagged {
	struct core *core;
	uint64_t key; /* of the opening */
	int pidfd;
	int err;
};

static void tag(void *tagged)
{
	struct tagged *t = tagged;
	const struct tag tag = {.session = t->key};

	t->err = source_tag(t->core->source, t->pidfd, &tag);
}

static void tagged_free(void *tagged)
{
	struct tagged *t = tagged;

	closep(&t->pidfd);
	free(t);
}

static void refuse_untagged(struct opening *o, int err)
{
	(void)session_end_note(o->core, o->key);
	if (limit_as(err, -ENOSPC, LIMIT_TAGS) == -ENOSPC)
		server_refuse(o->call, "limit",
			      "%u processes are tracked, which is the configured limit (max_tags)",
			      source_tags_max(o->core->source));
	else
		server_refuse(o->call, err == -ESRCH ? "not_found" : "denied", "process %d: %s",
			      o->open.target,
			      err == -EEXIST ? "is of a session already" : strerror(-err));
}

static void on_tagged(void *tagged, int err)
{
	const struct tagged *t = tagged;
	struct opening *o = opening_find(t->core, t->key);

	if (!o)
		return;
	err = err ?: t->err;
	if (err) {
		refuse_untagged(o, err);
	} else {
		core_drain(o->core);
		core_flush(o->core);
		answer_opened(o);
	}
	opening_end(o);
}

/* The note comes first: a tag whose session nobody knows would be an agent without a name. */
static void finish(struct opening *o, Affiant__V1__Manifest *manifest)
{
	struct core *c = o->core;
	struct tagged *t = calloc(1, sizeof(*t));
	const struct aside_work work = {.wait_ns = ASIDE_ENDS,
					.run = tag,
					.done = on_tagged,
					.free = tagged_free,
					.data = t};
	int err = t ? write_note(o, manifest) : -ENOMEM;

	if (err) {
		free(t);
		server_refuse(o->call, "unavailable", "the session can't be recorded: %s",
			      strerror(-err));
		opening_end(o);
		return;
	}
	/* Whoever asks may hang up meanwhile, with the descriptor. */
	*t = (struct tagged){.core = c,
			     .key = o->key,
			     .pidfd = fcntl(o->open.target_pidfd, F_DUPFD_CLOEXEC, 3)};
	err = aside_submit(c->aside, &work);
	if (!err)
		return;
	tagged_free(t);
	refuse_untagged(o, err);
	opening_end(o);
}

/* ---- what the first process is given, beside the loop, too ---- */

/* So long it may take to read it, and to get it where somebody holds the process's tables. */
#define GIVEN_NS CORE_SECOND_NS

struct given {
	struct core *core;
	uint64_t key; /* of the opening */
	pid_t caller, target;
	bool sockets, measures; /* what is asked for */
	int err, credentials_err;
	Affiant__V1__SessionStarted found;
	struct credentials *credentials;
};

static int find_credentials(struct given *g)
{
	_cleanup_close_ int proc = -1;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", g->caller);
	proc = effort_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return proc < 0 ? -ESRCH : credentials_read(proc, g->credentials);
}

/* It waits for its answer, and then executes the agent. */
static void find_given(void *given)
{
	struct given *g = given;

	if (g->measures)
		g->credentials_err = find_credentials(g);
	if (g->sockets)
		g->err = opensockets_add(g->target, OPENSOCKETS_KEPT, GIVEN_NS, &g->found);
}

static void given_free(void *given)
{
	struct given *g = given;

	opensockets_clear(&g->found);
	free(g->credentials);
	free(g);
}

static void begin(struct opening *o);

/* Looks at mounts are the user's who opens, however many sessions: it is for him that they are done. */
static uint64_t looks_key(const struct server_call *call)
{
	return aside_key(ASIDE_FOR_MOUNTS, server_call_caller(call)->uid);
}

/* The first thing that it executes can be a script: its filesystem is marked before. */
static void watch(struct opening *o)
{
	if (!core_watch(o->core, o->open.target, 0, looks_key(o->call), o->key))
		begin(o);
}

void opening_watched(struct core *c, uint64_t key)
{
	struct opening *o = opening_find(c, key);

	if (o)
		begin(o);
}

static void refuse_measure(struct opening *o, int err)
{
	server_refuse(o->call, "bad_request", "--measure: %s",
		      err == -EINVAL ? "a path is named twice" : strerror(-err));
	opening_end(o);
}

static void on_given(void *given, int err)
{
	struct given *g = given;
	struct opening *o = opening_find(g->core, g->key);

	if (!o)
		return;
	if (!err && g->err) {
		server_refuse(o->call, "unavailable", "the session can't be recorded: %s",
			      strerror(-g->err));
		opening_end(o);
		return;
	}
	if (g->measures && (err || g->credentials_err)) {
		refuse_measure(o, err ?: g->credentials_err);
		return;
	}
	if (!err) {
		o->given = g->found;
		o->credentials = TAKE_PTR(g->credentials);
		affiant__v1__session_started__init(&g->found);
	} else {
		SET(&o->given, open_connections_cut, true);
	}
	watch(o);
}

/* Tells what it is given, and goes on in begin(). */
static void look_at_given(struct opening *o)
{
	struct given *g = calloc(1, sizeof(*g));
	const uint32_t uid = server_call_caller(o->call)->uid;
	const struct aside_work work = {.key = aside_key(ASIDE_FOR_OPENING, uid),
					.wait_ns = 2 * GIVEN_NS,
					.run = find_given,
					.done = on_given,
					.free = given_free,
					.data = g};

	if (g) {
		*g = (struct given){.core = o->core,
				    .key = o->key,
				    .caller = server_call_caller(o->call)->pid,
				    .target = o->open.target,
				    .sockets = !is_late(o),
				    .measures = o->open.request->n_measure,
				    .credentials = calloc(1, sizeof(*g->credentials))};
		affiant__v1__session_started__init(&g->found);
		if (g->credentials && !aside_submit(o->core->aside, &work))
			return;
		given_free(g);
	}
	server_refuse(o->call, "busy", "too much is under way: try again later");
	opening_end(o);
}

/* ---- the manifest ---- */

static void measured(void *core, uint64_t token, const struct manifest *manifest)
{
	struct manifestmessage x = {0};
	struct core *c = core;
	struct opening *o;

	o = opening_find(c, token);
	if (!o)
		return;
	if (manifestmessage_fill(&x, manifest)) {
		server_refuse(o->call, "unavailable", "out of memory");
		opening_end(o);
	} else {
		finish(o, &x.m);
	}
	manifestmessage_clear(&x);
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

	if (!job || !names || !fds)
		return -ENOMEM;
	job->credentials = *o->credentials;
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

static void begin(struct opening *o)
{
	int err;

	if (!o->open.request->n_measure) {
		finish(o, NULL);
		return;
	}
	err = measure(o);
	if (err)
		refuse_measure(o, err);
}

/* ---- */

void opening_begin(void *core, struct server_call *call, const struct server_open *open)
{
	struct core *c = core;
	struct opening *o;

	if (!admission_ask(c, call, open))
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
	affiant__v1__session_started__init(&o->given);
	snprintf(o->spiffe_id, sizeof(o->spiffe_id), "spiffe://%s/agent/%s",
		 c->config->trust_domain, open->request->agent);
	DL_APPEND(c->openings, o);
	c->openings_count++;
	if (is_late(o) && !open->request->n_measure)
		begin(o);
	else
		look_at_given(o);
}

void opening_free_all(struct core *c)
{
	struct opening *o, *next;

	DL_FOREACH_SAFE (c->openings, o, next)
		opening_end(o);
	pace_clear(&c->paces);
}
