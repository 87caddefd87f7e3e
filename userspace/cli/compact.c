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
#include "cli/compact_process.h"
#include "cli/when.h"
#include "record/codec.h"
#include "record/folded.h"
#include "record/words.h"

#define RANGES_SHOWN 4 /* of numbers that never came; how many more there are is said */

/* ---- what each record says of itself ---- */

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
	if (s->joined)
		buffer_add_text(&l->cell, ", all that it takes for a while");
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

static void detail_ended(struct line *l, const Affiant__V1__SessionEnded *s)
{
	buffer_print(&l->cell,
		     "ended by %s, processes %" PRIu64 ", execs %" PRIu64 ", connections %" PRIu64,
		     word_of(&affiant__v1__session_end_reason__descriptor, s->reason), s->processes,
		     s->execs, s->connections);
}

static void detail_exec(struct line *l, const Affiant__V1__Executable *executable)
{
	if (executable->has_path)
		cell_bytes(l, executable->path.data, executable->path.len, true);
	if (executable->memfd)
		buffer_add_text(&l->cell, " (memfd)");
	else if (executable->deleted)
		buffer_add_text(&l->cell, " (deleted)");
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

/* "connect 20310, close 20310, new 512 (10.0.0.1:53/udp ...), within 2s" */
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
		if (r->process && r->process->executable)
			detail_exec(l, r->process->executable);
		break;
	case AFFIANT__V1__RECORD__BODY_EXIT:
		detail_exit(l, r->exit);
		break;
	case AFFIANT__V1__RECORD__BODY_SESSION_STARTED:
		detail_started(l, r);
		break;
	case AFFIANT__V1__RECORD__BODY_SESSION_ENDED:
		detail_ended(l, r->session_ended);
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
	unsigned int assurance = r->principal ? r->principal->assurance : 0;
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
	if (assurance >= sizeof(sure) / sizeof(*sure)) /* of a later version */
		assurance = AFFIANT__V1__ASSURANCE__ASSURANCE_UNKNOWN;
	if (r->principal && r->principal->subject) {
		cell_word(l, r->principal->subject);
		buffer_add_text(&l->cell, sure[assurance].mark);
	}
	cell_end(l, 20, sure[assurance].colour);
	if (r->task && r->task->id)
		cell_word(l, r->task->id);
	cell_end(l, 8, PLAIN);
	if (r->process)
		compact_process(l, r->process);
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

static void put_connect_result(struct line *l, const Affiant__V1__Connect *c)
{
	if (c->has_outcome || !c->by_send)
		cell_word(l, word_of(&affiant__v1__outcome__descriptor, c->outcome));
	if (c->outcome_unsure)
		buffer_add_char(&l->cell, '?');
	cell_end(l, 11, outcome_colour(c->outcome));
	if (c->has_latency_ns)
		cell_duration(l, c->latency_ns);
}

static void put_close_result(struct line *l, const Affiant__V1__Close *c)
{
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
}

static void put_result(struct line *l, const Affiant__V1__Record *r)
{
	switch (r->body_case) {
	case AFFIANT__V1__RECORD__BODY_CONNECT:
		put_connect_result(l, r->connect);
		break;
	case AFFIANT__V1__RECORD__BODY_CLOSE:
		put_close_result(l, r->close);
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
		compact_digest(&l, r->process);
	if (r->body_case == AFFIANT__V1__RECORD__BODY_EXEC && r->process && r->process->n_argv) {
		buffer_add_text(&l.cell, "argv: ");
		compact_arguments(&l, r->process);
		cell_end(&l, 0, PLAIN);
	}
	while (out->len && out->data[out->len - 1] == ' ')
		out->len--;
	buffer_add_char(out, '\n');
	buffer_done(&l.cell);
}
