/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/compact.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/digest.h"
#include "base/uuid.h"
#include "cli/cell.h"
#include "cli/when.h"
#include "record/codec.h"
#include "record/folded.h"
#include "record/hashes.h"
#include "record/words.h"

#define RANGES_SHOWN 4 /* of numbers that never came; how many more there are is said */
#define ARGV_SHOWN 200 /* bytes of the arguments on a line; how many more there are is said */

static const ProtobufCBinaryData *base_name(const ProtobufCBinaryData *path,
					    ProtobufCBinaryData *ret)
{
	const uint8_t *slash = path->len ? memrchr(path->data, '/', path->len) : NULL;
	size_t skip = slash ? (size_t)(slash - path->data) + 1 : 0;

	*ret = (ProtobufCBinaryData){path->len - skip, path->len ? path->data + skip : NULL};
	return ret;
}

/* The outermost script: what an interpreter runs says more than what it is. */
static const Affiant__V1__Step *script_of(const Affiant__V1__Process *p)
{
	for (size_t i = 0; i < p->n_chain; i++)
		if (p->chain[i]->kind == AFFIANT__V1__STEP_KIND__STEP_SCRIPT ||
		    p->chain[i]->kind == AFFIANT__V1__STEP_KIND__STEP_SCRIPT_ARGUMENT)
			return p->chain[i];
	return NULL;
}

static void add_executable(struct line *l, const Affiant__V1__Process *p)
{
	ProtobufCBinaryData name;

	if (p->executable && p->executable->has_path)
		base_name(&p->executable->path, &name);
	else if (p->has_comm)
		name = p->comm;
	else
		name = (ProtobufCBinaryData){1, (uint8_t *)"?"};
	cell_bytes(l, name.data, name.len, true);
}

/* "agent.py"; "agent.py?" when only argv named it: the process's own claim. */
static void add_script(struct line *l, const Affiant__V1__Step *script)
{
	ProtobufCBinaryData name;

	base_name(&script->path, &name);
	cell_bytes(l, name.data, name.len, true);
	if (script->named_by_argv)
		buffer_add_char(&l->cell, '?');
}

/* "agent.py?[4211]", "git[4223]" */
static void add_process(struct line *l, const Affiant__V1__Process *p)
{
	const Affiant__V1__Step *script = script_of(p);

	if (script && script->has_path)
		add_script(l, script);
	else
		add_executable(l, p);
	if (p->id)
		buffer_print(&l->cell, "[%u]", p->id->tgid);
}

/* ---- what each record says of itself ---- */

/*
 * In quotes where it needs them; a quote inside is escaped, so that where an argument ends is never
 * in doubt.
 */
static void add_argument(struct line *l, const ProtobufCBinaryData *arg, size_t len)
{
	bool quote =
		!arg->len || memchr(arg->data, ' ', arg->len) || memchr(arg->data, '\'', arg->len);

	if (quote)
		buffer_add_char(&l->cell, '\'');
	for (size_t at = 0, end; at < len; at = end + 1) {
		const uint8_t *stop = memchr(arg->data + at, '\'', len - at);

		end = stop ? (size_t)(stop - arg->data) : len;
		cell_bytes(l, arg->data + at, end - at, false);
		if (stop)
			buffer_add_text(&l->cell, "\\x27");
	}
	if (quote)
		buffer_add_char(&l->cell, '\'');
}

static void add_arguments(struct line *l, const Affiant__V1__Process *p)
{
	size_t total = 0, shown = 0;

	for (size_t i = 0; i < p->n_argv; i++) {
		size_t room = shown < ARGV_SHOWN ? ARGV_SHOWN - shown : 0;
		size_t part = p->argv[i].len < room ? p->argv[i].len : room;

		total += p->argv[i].len;
		if (!room)
			continue;
		if (i)
			buffer_add_char(&l->cell, ' ');
		add_argument(l, &p->argv[i], part);
		shown += part;
	}
	if (total > shown)
		buffer_print(&l->cell, " (%zu bytes more)", total - shown);
	if (p->argv_cut)
		buffer_print(&l->cell, " (%u arguments, cut)", p->argc);
}

static void detail_connect(struct line *l, const Affiant__V1__Connect *c)
{
	if (c->asked && c->reached && !endpoint_equal(c->asked, c->reached)) {
		cell_endpoint(l, c->asked);
		buffer_add_text(&l->cell, "->");
	}
	if (c->reached || c->asked)
		cell_endpoint(l, c->reached ?: c->asked);
	if (c->reached_unsure)
		buffer_add_char(&l->cell, '?');
	buffer_print(&l->cell, "/%s", word_of(&affiant__v1__protocol__descriptor, c->protocol));
	/* Of a Unix socket it is never known. */
	if (c->opener && !c->opener->unknown)
		buffer_add_text(&l->cell, " (socket of another)");
	else if (c->opener && c->protocol != AFFIANT__V1__PROTOCOL__PROTOCOL_UNIX)
		buffer_add_text(&l->cell, " (socket of unknown origin)");
	if (c->by_send)
		buffer_add_text(&l->cell, " (seen sending)");
	if (c->foreign)
		buffer_add_text(&l->cell, " (used from outside)");
	if (c->repaired)
		buffer_add_text(&l->cell, " (TCP_REPAIR)");
}

static void detail_close(struct line *l, const Affiant__V1__Close *c)
{
	if (c->remote)
		cell_endpoint(l, c->remote);
	if (!c->remote || c->remote_unsure)
		buffer_add_char(&l->cell, '?');
	buffer_print(&l->cell, "/%s", word_of(&affiant__v1__protocol__descriptor, c->protocol));
	if (c->excess_datagrams)
		buffer_print(&l->cell, " and %" PRIu64 " datagrams elsewhere", c->excess_datagrams);
	if (c->repaired)
		buffer_add_text(&l->cell, " (TCP_REPAIR)");
}

static void detail_untracked(struct line *l, const Affiant__V1__UntrackedSocket *u)
{
	buffer_print(&l->cell, "%s %s, family %u type %u protocol %u",
		     u->denied ? "denied" : "untracked",
		     word_of(&affiant__v1__protocol__descriptor, u->protocol), u->family, u->type,
		     u->protocol_number);
}

static void detail_listening(struct line *l, const Affiant__V1__Listening *m)
{
	if (m->local)
		cell_endpoint(l, m->local);
	else
		buffer_add_char(&l->cell, '?');
	buffer_print(&l->cell, "/%s", word_of(&affiant__v1__protocol__descriptor, m->protocol));
	if (m->opener)
		buffer_add_text(&l->cell, m->opener->unknown ? " (socket of unknown origin)"
							     : " (socket of another)");
}

static void detail_started(struct line *l, const Affiant__V1__Record *r)
{
	const Affiant__V1__SessionStarted *s = r->session_started;
	char hex[13];

	buffer_print(&l->cell, "started by %s",
		     word_of(&affiant__v1__session_origin__descriptor, s->origin));
	if (s->selector) {
		buffer_add_char(&l->cell, ' ');
		cell_bytes(l, s->selector, strlen(s->selector), false);
	}
	if (r->session)
		buffer_print(&l->cell, ", isolation %s",
			     word_of(&affiant__v1__isolation__descriptor, r->session->isolation));
	if (s->late)
		buffer_add_text(&l->cell, ", LATE");
	if (s->late || s->n_open_connections)
		buffer_print(&l->cell, ", connections open before: %zu", s->n_open_connections);
	if (s->manifest && s->manifest->has_root && s->manifest->root.len >= 6) {
		hex_encode(s->manifest->root.data, 6, hex);
		buffer_print(&l->cell, ", manifest %s, files %" PRIu64, hex, s->manifest->entries);
	} else if (s->manifest) {
		buffer_print(&l->cell, ", no manifest (%s)",
			     word_of(&affiant__v1__hash_state__descriptor, s->manifest->state));
	}
}

static void detail_exit(struct line *l, const Affiant__V1__Exit *e)
{
	if (!e->has_status)
		buffer_add_text(&l->cell, "status unknown");
	else if (WIFSIGNALED(e->status))
		buffer_print(&l->cell, "killed by SIG%s", sigabbrev_np(WTERMSIG(e->status)) ?: "?");
	else
		buffer_print(&l->cell, "status %d", WEXITSTATUS(e->status));
}

#define LOST_PIDS_MAX 8

static void detail_lost_processes(struct line *l, const Affiant__V1__Lost *lost)
{
	if (!lost->n_processes)
		return;
	buffer_add_text(&l->cell, lost->n_counts ? ", without a tag:" : "without a tag:");
	for (size_t i = 0; i < lost->n_processes && i < LOST_PIDS_MAX; i++)
		if (lost->processes[i]->id)
			buffer_print(&l->cell, " %u", lost->processes[i]->id->tgid);
	if (lost->n_processes > LOST_PIDS_MAX)
		buffer_print(&l->cell, " and %zu more", lost->n_processes - LOST_PIDS_MAX);
}

static void detail_lost(struct line *l, const Affiant__V1__Lost *lost)
{
	for (size_t i = 0; i < lost->n_counts; i++) {
		const Affiant__V1__LostCount *c = lost->counts[i];

		buffer_print(&l->cell, "%s%" PRIu64 " ", i ? ", " : "", c->count);
		cell_word(l, c->kind ?: "?");
		buffer_add_text(&l->cell, " (");
		cell_word(l, c->stage ?: "?");
		buffer_add_char(&l->cell, ')');
	}
	for (size_t i = 0; i < lost->n_ranges && i < RANGES_SHOWN; i++)
		buffer_print(&l->cell, "%sCPU %u: %" PRIu64 "-%" PRIu64,
			     i		     ? ", "
			     : lost->n_counts ? "; numbers "
					      : "numbers ",
			     lost->ranges[i]->cpu, lost->ranges[i]->first, lost->ranges[i]->last);
	if (lost->n_ranges > RANGES_SHOWN)
		buffer_print(&l->cell, ", %zu ranges more", lost->n_ranges - RANGES_SHOWN);
	detail_lost_processes(l, lost);
}

static void detail_gap(struct line *l, const Affiant__V1__Gap *g)
{
	buffer_add_text(&l->cell, word_of(&affiant__v1__gap_reason__descriptor, g->reason));
	if (g->has_first_sequence)
		buffer_print(&l->cell, ", records %" PRIu64 " to %" PRIu64, g->first_sequence,
			     g->last_sequence);
	if (g->has_bytes) {
		buffer_add_text(&l->cell, ", ");
		cell_size(l, g->bytes);
	}
	if (g->has_untracked_processes)
		buffer_print(&l->cell, ", %" PRIu64 " processes stay untracked",
			     g->untracked_processes);
}

/* "connect 20310, close 20310, first seen 512 (10.0.0.1:53/udp ...), 2s" */
static void detail_folded(struct line *l, const Affiant__V1__Folded *f)
{
	const char *comma = "";

	for (unsigned int kind = 0; kind < affiant__v1__folded_kind__descriptor.n_values; kind++) {
		uint64_t count = folded_count(f, (Affiant__V1__FoldedKind)kind);

		if (!count)
			continue;
		buffer_print(&l->cell, "%s%s %" PRIu64, comma,
			     word_of(&affiant__v1__folded_kind__descriptor, kind), count);
		comma = ", ";
	}
	if (f->n_first) {
		buffer_print(&l->cell, "%snew %zu", comma, f->n_first);
		if (f->first[0]->destination) {
			buffer_add_text(&l->cell, " (");
			cell_endpoint(l, f->first[0]->destination);
			buffer_print(&l->cell, "/%s%s)",
				     word_of(&affiant__v1__protocol__descriptor,
					     f->first[0]->protocol),
				     f->n_first > 1 ? " ..." : "");
		}
		comma = ", ";
	}
	if (f->to_boottime_ns >= f->from_boottime_ns) {
		buffer_print(&l->cell, "%swithin ", comma);
		cell_duration(l, f->to_boottime_ns - f->from_boottime_ns);
	}
}

static void detail_daemon(struct line *l, const Affiant__V1__DaemonStarted *d)
{
	buffer_add_text(&l->cell, "started, version ");
	cell_word(l, d->version ?: "?");
	if (d->tracing_was_on)
		buffer_add_text(&l->cell, ", tracing was on");
	if (d->kernel) {
		buffer_add_text(&l->cell, ", kernel ");
		cell_word(l, d->kernel);
	}
	for (size_t i = 0; i < d->n_missing; i++) {
		buffer_add_text(&l->cell, i ? " " : ", without ");
		cell_word(l, d->missing[i]);
	}
}

static void add_detail(struct line *l, const Affiant__V1__Record *r)
{
	switch (r->body_case) {
	case AFFIANT__V1__RECORD__BODY_CONNECT:
		detail_connect(l, r->connect);
		break;
	case AFFIANT__V1__RECORD__BODY_CLOSE:
		detail_close(l, r->close);
		break;
	case AFFIANT__V1__RECORD__BODY_UNTRACKED_SOCKET:
		detail_untracked(l, r->untracked_socket);
		break;
	case AFFIANT__V1__RECORD__BODY_LISTENING:
		detail_listening(l, r->listening);
		break;
	case AFFIANT__V1__RECORD__BODY_EXEC:
		if (r->process && r->process->executable && r->process->executable->has_path)
			cell_bytes(l, r->process->executable->path.data,
				   r->process->executable->path.len, true);
		if (r->process && r->process->executable && r->process->executable->memfd)
			buffer_add_text(&l->cell, " (memfd)");
		else if (r->process && r->process->executable && r->process->executable->deleted)
			buffer_add_text(&l->cell, " (deleted)");
		break;
	case AFFIANT__V1__RECORD__BODY_EXIT:
		detail_exit(l, r->exit);
		break;
	case AFFIANT__V1__RECORD__BODY_SESSION_STARTED:
		detail_started(l, r);
		break;
	case AFFIANT__V1__RECORD__BODY_SESSION_ENDED:
		buffer_print(&l->cell,
			     "ended by %s, processes %" PRIu64 ", execs %" PRIu64
			     ", connections %" PRIu64,
			     word_of(&affiant__v1__session_end_reason__descriptor,
				     r->session_ended->reason),
			     r->session_ended->processes, r->session_ended->execs,
			     r->session_ended->connections);
		break;
	case AFFIANT__V1__RECORD__BODY_LOST:
		detail_lost(l, r->lost);
		break;
	case AFFIANT__V1__RECORD__BODY_GAP:
		detail_gap(l, r->gap);
		break;
	case AFFIANT__V1__RECORD__BODY_FOLDED:
		detail_folded(l, r->folded);
		break;
	case AFFIANT__V1__RECORD__BODY_DAEMON_STARTED:
		detail_daemon(l, r->daemon_started);
		break;
	case AFFIANT__V1__RECORD__BODY_DAEMON_STOPPING:
		buffer_add_text(&l->cell, "stopping, ");
		cell_word(l, r->daemon_stopping->reason ?: "?");
		break;
	default:
		break;
	}
}

/* ---- columns ---- */

static const char *what(const Affiant__V1__Record *r)
{
	switch (r->body_case) {
	case AFFIANT__V1__RECORD__BODY_SESSION_STARTED:
	case AFFIANT__V1__RECORD__BODY_SESSION_ENDED:
		return "session";
	case AFFIANT__V1__RECORD__BODY_UNTRACKED_SOCKET:
		return "socket";
	case AFFIANT__V1__RECORD__BODY_LISTENING:
		return "listen";
	case AFFIANT__V1__RECORD__BODY_DAEMON_STARTED:
	case AFFIANT__V1__RECORD__BODY_DAEMON_STOPPING:
		return "daemon";
	case AFFIANT__V1__RECORD__BODY_LOST:
		return "LOST";
	case AFFIANT__V1__RECORD__BODY_GAP:
		return "GAP";
	case AFFIANT__V1__RECORD__BODY_FOLDED:
		return "FOLDED";
	default:
		return word_of_body(r->body_case);
	}
}

static void put_who(struct line *l, const Affiant__V1__Record *r)
{
	static const struct {
		const char *mark;
		enum colour colour;
	} sure[] = {
		[AFFIANT__V1__ASSURANCE__ASSURANCE_UNKNOWN] = {"?", YELLOW},
		[AFFIANT__V1__ASSURANCE__ASSURANCE_ASSERTED] = {"?", YELLOW},
		[AFFIANT__V1__ASSURANCE__ASSURANCE_VERIFIED] = {"", PLAIN},
		[AFFIANT__V1__ASSURANCE__ASSURANCE_BOUND] = {"!", GREEN},
	};
	int assurance = r->principal ? (int)r->principal->assurance : 0;
	char session[UUID_TEXT_SIZE];
	struct uuid id;

	if (r->agent)
		cell_word(l, r->agent->name ?: "?");
	if (r->session && r->session->has_id && r->session->id.len == UUID_SIZE) {
		memcpy(id.bytes, r->session->id.data, UUID_SIZE);
		uuid_format(&id, session);
		/* A UUIDv7 begins with the time: sessions of one minute differ at its end. */
		buffer_print(&l->cell, "/%s", session + UUID_TEXT_SIZE - 1 - 8);
	}
	cell_end(l, 18, CYAN);
	if (r->principal && r->principal->subject) {
		cell_word(l, r->principal->subject);
		buffer_add_text(&l->cell, sure[assurance].mark);
	}
	cell_end(l, 20, sure[assurance].colour);
	if (r->task && r->task->id)
		cell_word(l, r->task->id);
	cell_end(l, 8, PLAIN);
	if (r->process)
		add_process(l, r->process);
	cell_end(l, 18, BOLD);
}

static enum colour outcome_colour(Affiant__V1__Outcome outcome)
{
	switch (outcome) {
	case AFFIANT__V1__OUTCOME__ESTABLISHED:
		return GREEN;
	case AFFIANT__V1__OUTCOME__ATTEMPTED:
	case AFFIANT__V1__OUTCOME__PENDING:
	case AFFIANT__V1__OUTCOME__OUTCOME_UNKNOWN:
		return YELLOW;
	default:
		return RED;
	}
}

static void put_result(struct line *l, const Affiant__V1__Record *r)
{
	const Affiant__V1__Close *c;

	switch (r->body_case) {
	case AFFIANT__V1__RECORD__BODY_CONNECT:
		if (r->connect->has_outcome || !r->connect->by_send)
			cell_word(l, word_of(&affiant__v1__outcome__descriptor,
					     r->connect->outcome));
		if (r->connect->outcome_unsure)
			buffer_add_char(&l->cell, '?');
		cell_end(l, 11, outcome_colour(r->connect->outcome));
		if (r->connect->has_latency_ns)
			cell_duration(l, r->connect->latency_ns);
		break;
	case AFFIANT__V1__RECORD__BODY_CLOSE:
		c = r->close;
		if (c->reset)
			buffer_add_text(&l->cell, "reset");
		cell_end(l, 11, c->reset ? RED : PLAIN);
		if (c->has_bytes_sent)
			cell_size(l, c->bytes_sent);
		if (c->has_bytes_received) {
			buffer_add_char(&l->cell, '/');
			cell_size(l, c->bytes_received);
		}
		if (c->has_duration_ns) {
			buffer_add_text(&l->cell, c->has_bytes_sent ? "," : "");
			cell_duration(l, c->duration_ns);
		}
		break;
	case AFFIANT__V1__RECORD__BODY_EXIT:
		cell_end(l, 11, PLAIN);
		if (r->exit->has_lifetime_ns)
			cell_duration(l, r->exit->lifetime_ns);
		break;
	case AFFIANT__V1__RECORD__BODY_EXEC:
		cell_end(l, 11, PLAIN);
		break;
	default:
		return; /* in words already */
	}
	cell_end(l, 8, PLAIN);
}

static void put_digest(struct line *l, const Affiant__V1__Process *p)
{
	const Affiant__V1__Step *script = script_of(p);
	const Affiant__V1__Digest *d = p->executable ? p->executable->digest : NULL;
	enum colour colour = hashes_proven(d) ? DIM : YELLOW;

	if (script && script->has_path) {
		add_script(l, script);
		buffer_add_char(&l->cell, '=');
		cell_digest(l, script->digest);
		buffer_add_char(&l->cell, ' ');
	}
	add_executable(l, p);
	buffer_add_char(&l->cell, '=');
	cell_digest(l, d);
	cell_end(l, 0, colour);
}

void compact_line(const Affiant__V1__Record *r, const struct compact_style *style,
		  struct buffer *out)
{
	bool loss = r->body_case == AFFIANT__V1__RECORD__BODY_LOST ||
		    r->body_case == AFFIANT__V1__RECORD__BODY_GAP;
	struct line l = {.style = style, .out = out};
	char time[WHEN_SIZE];

	when_format(r->wall_ns, time);
	buffer_add_text(&l.cell, time);
	if (r->clock_state == AFFIANT__V1__CLOCK_STATE__CLOCK_STEPPED)
		buffer_add_text(&l.cell, "(stepped)");
	cell_end(&l, 24, DIM);
	put_who(&l, r);
	cell_word(&l, what(r));
	cell_end(&l, 7, loss ? RED : PLAIN);
	add_detail(&l, r);
	cell_end(&l, 26, loss ? RED : PLAIN);
	put_result(&l, r);
	if (r->process)
		put_digest(&l, r->process);
	if (r->body_case == AFFIANT__V1__RECORD__BODY_EXEC && r->process && r->process->n_argv) {
		buffer_add_text(&l.cell, "argv: ");
		add_arguments(&l, r->process);
		cell_end(&l, 0, PLAIN);
	}
	while (out->len && out->data[out->len - 1] == ' ')
		out->len--;
	buffer_add_char(out, '\n');
	buffer_done(&l.cell);
}
