/* SPDX-License-Identifier: Apache-2.0 */
#include "record/ocsf.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "base/uuid.h"
#include "record/codec.h"
#include "record/folded.h"
#include "record/ocsf_folded.h"
#include "record/ocsf_object.h"
#include "record/socketname.h"
#include "record/words.h"

#define NS_PER_MS UINT64_C(1000000)

enum class { NETWORK_ACTIVITY = 4001, PROCESS_ACTIVITY = 1007, LIFECYCLE = 6002, ERROR = 6008 };
enum severity { INFORMATIONAL = 1, LOW, MEDIUM, HIGH };
enum status { STATUS_UNKNOWN, SUCCESS, FAILURE };

struct event {
	enum class class;
	int activity;
	const char *activity_name;
	enum severity severity;
};

/* ---- the mapping: which class and activity a record is ---- */

static const struct {
	Affiant__V1__Record__BodyCase body;
	struct event event;
} events[] = {
	{AFFIANT__V1__RECORD__BODY_SESSION_STARTED, {LIFECYCLE, 3, "Start", INFORMATIONAL}},
	{AFFIANT__V1__RECORD__BODY_SESSION_ENDED, {LIFECYCLE, 4, "Stop", INFORMATIONAL}},
	{AFFIANT__V1__RECORD__BODY_EXEC, {PROCESS_ACTIVITY, 1, "Launch", INFORMATIONAL}},
	{AFFIANT__V1__RECORD__BODY_EXIT, {PROCESS_ACTIVITY, 2, "Terminate", INFORMATIONAL}},
	{AFFIANT__V1__RECORD__BODY_CONNECT, {NETWORK_ACTIVITY, 0, "Unknown", INFORMATIONAL}},
	{AFFIANT__V1__RECORD__BODY_CLOSE, {NETWORK_ACTIVITY, 2, "Close", INFORMATIONAL}},
	{AFFIANT__V1__RECORD__BODY_UNTRACKED_SOCKET,
	 {NETWORK_ACTIVITY, 99, "Untracked Socket", MEDIUM}},
	{AFFIANT__V1__RECORD__BODY_LISTENING, {NETWORK_ACTIVITY, 7, "Listen", INFORMATIONAL}},
	{AFFIANT__V1__RECORD__BODY_LOST, {ERROR, 1, "General Error", HIGH}},
	{AFFIANT__V1__RECORD__BODY_GAP, {ERROR, 1, "General Error", MEDIUM}},
	/* or Process Activity, when no connection is among it */
	{AFFIANT__V1__RECORD__BODY_FOLDED, {NETWORK_ACTIVITY, 99, "Folded", MEDIUM}},
	{AFFIANT__V1__RECORD__BODY_DAEMON_STARTED, {LIFECYCLE, 3, "Start", INFORMATIONAL}},
	{AFFIANT__V1__RECORD__BODY_DAEMON_STOPPING, {LIFECYCLE, 4, "Stop", INFORMATIONAL}},
};

/* A connection's activity follows from its outcome. */
static const struct outcome {
	int activity;
	const char *activity_name;
	enum status status;
} outcomes[] = {
	[AFFIANT__V1__OUTCOME__OUTCOME_UNKNOWN] = {0, "Unknown", STATUS_UNKNOWN},
	[AFFIANT__V1__OUTCOME__ESTABLISHED] = {1, "Open", SUCCESS},
	[AFFIANT__V1__OUTCOME__REFUSED] = {5, "Refuse", FAILURE},
	[AFFIANT__V1__OUTCOME__TIMED_OUT] = {4, "Fail", FAILURE},
	[AFFIANT__V1__OUTCOME__UNREACHABLE] = {4, "Fail", FAILURE},
	[AFFIANT__V1__OUTCOME__RESET] = {3, "Reset", FAILURE},
	[AFFIANT__V1__OUTCOME__ABORTED] = {4, "Fail", FAILURE},
	[AFFIANT__V1__OUTCOME__DENIED] = {4, "Fail", FAILURE},
	[AFFIANT__V1__OUTCOME__NOT_SENT] = {4, "Fail", FAILURE},
	[AFFIANT__V1__OUTCOME__ATTEMPTED] = {1, "Open", STATUS_UNKNOWN},
	[AFFIANT__V1__OUTCOME__PENDING] = {99, "Pending", STATUS_UNKNOWN},
};

/* Of a later version: unknown. */
static const struct outcome *outcome_of(const Affiant__V1__Connect *c)
{
	return &outcomes[(size_t)c->outcome < sizeof(outcomes) / sizeof(*outcomes) ? c->outcome
										   : 0];
}

static const struct {
	enum class class;
	int category;
	const char *name, *category_name;
} classes[] = {
	{PROCESS_ACTIVITY, 1, "Process Activity", "System Activity"},
	{NETWORK_ACTIVITY, 4, "Network Activity", "Network Activity"},
	{LIFECYCLE, 6, "Application Lifecycle", "Application Activity"},
	{ERROR, 6, "Application Error", "Application Activity"},
};

static const char *const severities[] = {"Unknown", "Informational", "Low", "Medium", "High"};
static const char *const statuses[] = {"Unknown", "Success", "Failure"};

/* ---- what every event has ---- */

static int event_of(const Affiant__V1__Record *r, struct event *ret)
{
	for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++)
		if (events[i].body == r->body_case) {
			*ret = events[i].event;
			return 0;
		}
	return -EINVAL;
}

static json_t *metadata_of(struct json_builder *b, const Affiant__V1__Record *r)
{
	json_t *metadata = json_object(), *product = json_object(), *profiles = json_array();

	json_put(b, metadata, "version", json_string(OCSF_VERSION));
	json_put(b, product, "name", json_string("affiant"));
	json_put(b, product, "vendor_name", json_string("affiant"));
	json_put(b, product, "version", json_string(AFFIANT_VERSION));
	json_put(b, metadata, "product", product);
	json_add(b, profiles, json_string("host"));
	if (r->agent)
		json_add(b, profiles, json_string("ai_operation"));
	json_put(b, metadata, "profiles", profiles);
	json_put(b, metadata, "event_code", json_string(word_of_body(r->body_case)));
	if (r->has_id && r->id.len == UUID_SIZE)
		json_put(b, metadata, "uid", json_uuid(r->id.data));
	if (r->has_sequence && r->sequence <= INT64_MAX)
		json_put(b, metadata, "sequence", json_integer(r->sequence));
	return metadata;
}

static void put_event(struct json_builder *b, json_t *root, const Affiant__V1__Record *r,
		      const struct event *e)
{
	for (size_t i = 0; i < sizeof(classes) / sizeof(*classes); i++) {
		if (classes[i].class != e->class)
			continue;
		json_put(b, root, "category_uid", json_integer(classes[i].category));
		json_put(b, root, "category_name", json_string(classes[i].category_name));
		json_put(b, root, "class_uid", json_integer(e->class));
		json_put(b, root, "class_name", json_string(classes[i].name));
	}
	json_put(b, root, "activity_id", json_integer(e->activity));
	json_put(b, root, "activity_name", json_string(e->activity_name));
	json_put(b, root, "type_uid", json_integer(e->class * 100 + e->activity));
	json_put(b, root, "severity_id", json_integer(e->severity));
	json_put(b, root, "severity", json_string(severities[e->severity]));
	json_put(b, root, "time", json_integer(r->wall_ns / NS_PER_MS));
	json_put(b, root, "metadata", metadata_of(b, r));
	json_put(b, root, "device", ocsf_device(b, r));
}

static void put_status(struct json_builder *b, json_t *root, enum status status)
{
	json_put(b, root, "status_id", json_integer(status));
	json_put(b, root, "status", json_string(statuses[status]));
}

static json_t *text_of(struct json_builder *b, const char *text)
{
	return json_text(b, text, strlen(text));
}

/* For whom: the principal. Its account on this host is the process's user. */
static void put_principal(struct json_builder *b, json_t *actor, const Affiant__V1__Principal *p)
{
	json_t *user, *idp;

	if (!p || !p->subject)
		return;
	user = json_object();
	json_put(b, user, "name", text_of(b, p->subject));
	json_put(b, user, "uid", text_of(b, p->subject));
	json_put(b, actor, "user", user);
	if (!p->issuer)
		return;
	idp = json_object();
	json_put(b, idp, "name", text_of(b, p->issuer));
	json_put(b, idp, "issuer", text_of(b, p->issuer));
	json_put(b, actor, "idp", idp);
}

static void put_agent(struct json_builder *b, json_t *root, const Affiant__V1__Record *r)
{
	const Affiant__V1__Agent *a = r->agent;
	json_t *agent;

	if (!a)
		return;
	agent = json_object();
	json_put(b, agent, "name", text_of(b, a->name ?: "unknown"));
	if (a->spiffe_id)
		json_put(b, agent, "uid", text_of(b, a->spiffe_id));
	if (r->session && r->session->has_id && r->session->id.len == UUID_SIZE)
		json_put(b, agent, "instance_uid", json_uuid(r->session->id.data));
	json_put(b, root, "ai_agent", agent);
}

static void put_actor(struct json_builder *b, json_t *root, const Affiant__V1__Record *r,
		      const struct event *e, json_t *unmapped)
{
	json_t *actor = json_object();

	if (e->class == PROCESS_ACTIVITY) {
		/* The process that called execve(2), or exits: itself. */
		json_put(b, root, "process", ocsf_process(b, r, unmapped));
		json_put(b, actor, "process", ocsf_process_brief(b, r));
	} else if (r->process) {
		json_put(b, actor, "process", ocsf_process(b, r, unmapped));
	} else {
		json_put(b, actor, "app_name", json_string("affiantd"));
	}
	put_principal(b, actor, r->principal);
	json_put(b, root, "actor", actor);
}

/*
 * What the record as a whole has and OCSF lacks. A task has an issuer nowhere yet: it is no
 * "delegation".
 */
static json_t *unmapped_of(struct json_builder *b, const Affiant__V1__Record *r)
{
	json_t *unmapped = json_object();

	if (r->has_boottime_ns)
		json_put(b, unmapped, "boottime_ns", json_decimal(r->boottime_ns));
	if (r->has_wall_ns)
		json_put(b, unmapped, "wall_ns", json_decimal(r->wall_ns));
	if (r->has_clock_state)
		json_put(b, unmapped, "clock_state",
			 json_string(
				 word_of(&affiant__v1__clock_state__descriptor, r->clock_state)));
	if (r->session)
		json_put_message(b, unmapped, "session", &r->session->base, MAPPED("id"));
	if (r->task)
		json_put_message(b, unmapped, "task", &r->task->base, NULL);
	if (r->principal)
		json_put_message(b, unmapped, "principal", &r->principal->base,
				 MAPPED("subject", "issuer"));
	return unmapped;
}

/* ---- bodies ---- */

static void put_endpoints(struct json_builder *b, json_t *root, const Affiant__V1__Record *r,
			  const Affiant__V1__Endpoint *local, const Affiant__V1__Endpoint *remote)
{
	json_t *src = ocsf_endpoint(b, local), *dst = ocsf_endpoint(b, remote);

	if (dst)
		json_put(b, root, "dst_endpoint", dst);
	if (!src) {
		src = json_object();
		json_put(b, src, "uid",
			 r->has_host ? json_hex(r->host.data, r->host.len)
				     : json_string("unknown"));
	}
	json_put(b, root, "src_endpoint", src);
}

static void put_errno(struct json_builder *b, json_t *root, int error)
{
	const char *name = error > 0 ? strerrorname_np(error) : NULL;

	if (name)
		json_put(b, root, "status_code", json_string(name));
}

/*
 * The name of the endpoint is for people. Here is what was asked: an abstract name without the NUL
 * that says so, or a path, which is the one on which "abstract" is false.
 */
static void put_unix(struct json_builder *b, json_t *unmapped, const Affiant__V1__Endpoint *e)
{
	bool abstract = socketname_is_abstract(e);
	json_t *at = json_object();

	json_put(b, at, "abstract", json_boolean(abstract));
	json_put(b, at, "path",
		 json_text(b, abstract ? e->path.data + 1 : e->path.data, e->path.len - abstract));
	if (e->has_resolved)
		json_put(b, at, "resolved", json_text(b, e->resolved.data, e->resolved.len));
	json_put(b, unmapped, "unix", at);
}

static void put_connect(struct json_builder *b, json_t *root, const Affiant__V1__Record *r,
			json_t *unmapped)
{
	const Affiant__V1__Connect *c = r->connect;
	const Affiant__V1__Endpoint *remote = c->reached ?: c->asked;

	put_endpoints(b, root, r, c->local, remote);
	json_put(b, root, "connection_info",
		 ocsf_connection(b, r, c->protocol, c->connection, remote));
	put_status(b, root, outcome_of(c)->status);
	json_put(b, root, "status_detail",
		 json_string(word_of(&affiant__v1__outcome__descriptor, c->outcome)));
	if (c->has_errno_)
		put_errno(b, root, c->errno_);
	if (remote && remote->has_path)
		put_unix(b, unmapped, remote);
	/* What was asked is told where it differs: or else the address was rewritten on its way. */
	json_put_message(
		b, unmapped, "connect", &c->base,
		c->asked && c->reached && !endpoint_equal(c->asked, c->reached)
			? MAPPED("protocol", "outcome", "reached", "local", "uid")
			: MAPPED("protocol", "outcome", "reached", "asked", "local", "uid"));
}

static void put_close(struct json_builder *b, json_t *root, const Affiant__V1__Record *r,
		      json_t *unmapped)
{
	const Affiant__V1__Close *c = r->close;
	bool counted;

	put_endpoints(b, root, r, c->local, c->remote);
	json_put(b, root, "connection_info",
		 ocsf_connection(b, r, c->protocol, c->connection, c->remote));
	if (c->has_duration_ns)
		json_put(b, root, "duration", json_integer(c->duration_ns / NS_PER_MS));
	counted = c->has_bytes_sent && c->has_bytes_received && c->bytes_sent <= INT64_MAX / 2 &&
		  c->bytes_received <= INT64_MAX / 2;
	if (counted) {
		json_t *traffic = json_object();

		json_put(b, traffic, "bytes_out", json_integer(c->bytes_sent));
		json_put(b, traffic, "bytes_in", json_integer(c->bytes_received));
		json_put(b, traffic, "bytes", json_integer(c->bytes_sent + c->bytes_received));
		json_put(b, root, "traffic", traffic);
	}
	if (c->has_errno_)
		put_errno(b, root, c->errno_);
	json_put_message(
		b, unmapped, "close", &c->base,
		counted ? MAPPED("protocol", "remote", "local", "bytes_sent", "bytes_received")
			: MAPPED("protocol", "remote", "local"));
}

static void put_untracked(struct json_builder *b, json_t *root, const Affiant__V1__Record *r,
			  json_t *unmapped)
{
	const Affiant__V1__UntrackedSocket *u = r->untracked_socket;

	put_endpoints(b, root, r, NULL, NULL);
	json_put(b, root, "connection_info", ocsf_connection(b, r, u->protocol, NULL, NULL));
	if (u->denied)
		put_status(b, root, FAILURE);
	json_put_message(b, unmapped, "untracked_socket", &u->base, MAPPED("protocol"));
}

static void put_listening(struct json_builder *b, json_t *root, const Affiant__V1__Record *r,
			  json_t *unmapped)
{
	const Affiant__V1__Listening *m = r->listening;
	json_t *info = ocsf_connection(b, r, m->protocol, NULL, m->local);

	put_endpoints(b, root, r, m->local, NULL);
	json_put(b, info, "direction_id", json_integer(1));
	json_put(b, info, "direction", json_string("Inbound"));
	json_put(b, root, "connection_info", info);
	json_put_message(b, unmapped, "listening", &m->base, MAPPED("protocol", "local", "uid"));
}

static void put_exit(struct json_builder *b, json_t *root, const Affiant__V1__Record *r,
		     json_t *unmapped)
{
	const Affiant__V1__Exit *e = r->exit;

	if (e->has_status && WIFEXITED(e->status))
		json_put(b, root, "exit_code", json_integer(WEXITSTATUS(e->status)));
	if (e->has_lifetime_ns)
		json_put(b, root, "duration", json_integer(e->lifetime_ns / NS_PER_MS));
	json_put_message(b, unmapped, "exit", &e->base, NULL);
	if (e->has_status && WIFSIGNALED(e->status))
		json_put(b, unmapped, "signal", json_integer(WTERMSIG(e->status)));
}

static void put_session_app(struct json_builder *b, json_t *root, const Affiant__V1__Record *r)
{
	json_t *app = json_object();

	json_put(b, app, "name",
		 text_of(b, r->agent && r->agent->name ? r->agent->name : "unknown"));
	if (r->agent && r->agent->spiffe_id)
		json_put(b, app, "uid", text_of(b, r->agent->spiffe_id));
	json_put(b, root, "app", app);
}

static void put_daemon_app(struct json_builder *b, json_t *root, const char *version)
{
	json_t *app = json_object();

	json_put(b, app, "name", json_string("affiantd"));
	json_put(b, app, "vendor_name", json_string("affiant"));
	if (version)
		json_put(b, app, "version", text_of(b, version));
	json_put(b, root, "app", app);
}

static void put_body(struct json_builder *b, json_t *root, const Affiant__V1__Record *r,
		     const struct event *e, json_t *unmapped)
{
	switch (r->body_case) {
	case AFFIANT__V1__RECORD__BODY_SESSION_STARTED:
		put_session_app(b, root, r);
		json_put_message(b, unmapped, "session_started", &r->session_started->base, NULL);
		break;
	case AFFIANT__V1__RECORD__BODY_SESSION_ENDED:
		put_session_app(b, root, r);
		json_put_message(b, unmapped, "session_ended", &r->session_ended->base, NULL);
		break;
	case AFFIANT__V1__RECORD__BODY_EXEC:
		json_put(b, root, "launch_type_id", json_integer(3));
		json_put(b, root, "launch_type", json_string("Exec"));
		json_put_message(b, unmapped, "exec", &r->exec->base, NULL);
		break;
	case AFFIANT__V1__RECORD__BODY_EXIT:
		put_exit(b, root, r, unmapped);
		break;
	case AFFIANT__V1__RECORD__BODY_CONNECT:
		put_connect(b, root, r, unmapped);
		break;
	case AFFIANT__V1__RECORD__BODY_CLOSE:
		put_close(b, root, r, unmapped);
		break;
	case AFFIANT__V1__RECORD__BODY_UNTRACKED_SOCKET:
		put_untracked(b, root, r, unmapped);
		break;
	case AFFIANT__V1__RECORD__BODY_LISTENING:
		put_listening(b, root, r, unmapped);
		break;
	case AFFIANT__V1__RECORD__BODY_LOST:
		ocsf_put_lost(b, root, r->lost, unmapped);
		break;
	case AFFIANT__V1__RECORD__BODY_GAP:
		ocsf_put_gap(b, root, r->gap, unmapped);
		break;
	case AFFIANT__V1__RECORD__BODY_FOLDED:
		ocsf_put_folded(b, root, r, e->class == NETWORK_ACTIVITY, unmapped);
		break;
	case AFFIANT__V1__RECORD__BODY_DAEMON_STARTED:
		put_daemon_app(b, root, r->daemon_started->version);
		json_put_message(b, unmapped, "daemon_started", &r->daemon_started->base,
				 MAPPED("version", "kernel"));
		break;
	case AFFIANT__V1__RECORD__BODY_DAEMON_STOPPING:
		put_daemon_app(b, root, NULL);
		json_put_message(b, unmapped, "daemon_stopping", &r->daemon_stopping->base, NULL);
		break;
	default:
		break;
	}
}

static json_t *build(struct json_builder *b, const Affiant__V1__Record *r, struct event e)
{
	json_t *root = json_object(), *unmapped = unmapped_of(b, r);

	if (r->body_case == AFFIANT__V1__RECORD__BODY_CONNECT) {
		e.activity = outcome_of(r->connect)->activity;
		e.activity_name = outcome_of(r->connect)->activity_name;
	} else if (r->body_case == AFFIANT__V1__RECORD__BODY_CLOSE && r->close->reset) {
		e.activity = 3;
		e.activity_name = "Reset";
	} else if (r->body_case == AFFIANT__V1__RECORD__BODY_FOLDED &&
		   !folded_is_network(r->folded)) {
		e.class = PROCESS_ACTIVITY;
	}
	put_event(b, root, r, &e);
	put_agent(b, root, r);
	put_actor(b, root, r, &e, unmapped);
	put_body(b, root, r, &e, unmapped);
	if (b->percent)
		json_put(b, unmapped, "percent_escaped", json_true());
	json_put(b, root, "unmapped", unmapped);
	return root;
}

static int dump(const char *text, size_t len, void *data)
{
	buffer_add(data, text, len);
	return buffer_error(data);
}

int ocsf_of_record(const Affiant__V1__Record *r, struct buffer *out)
{
	struct json_builder b = {};
	struct event e;
	json_t *root;
	int err = event_of(r, &e);

	if (err)
		return err;
	root = build(&b, r, e);
	if (b.escaped && !b.failed) { /* once more, so that %NN can only be an escaped byte */
		json_decref(root);
		b.percent = true;
		root = build(&b, r, e);
	}
	/* ASCII: a terminal sees no character that an agent chose (C1 controls, reordering). */
	err = b.failed ? -ENOMEM : 0;
	if (!err && json_dump_callback(root, dump, out, JSON_COMPACT | JSON_ENSURE_ASCII))
		err = -ENOMEM;
	json_decref(root);
	buffer_done(&b.scratch);
	return err;
}
