/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "base/uuid.h"
#include "cli/answer.h"
#include "cli/cmd.h"

static const char list_usage[] =
	"Usage: affiant sessions [OPTION]...\n"
	"Lists the sessions that live.\n"
	"\n"
	"  -a, --all          also those that ended lately\n"
	"  -o, --output WHAT  table (default), or json: one object a line\n"
	"  --socket PATH      affiantd's socket, if not the usual one\n"
	"  -h, --help\n";

static const char end_usage[] =
	"Usage: affiant session end ID [OPTION]...\n"
	"Ends a session: its task is over. Its processes stay recorded until they exit.\n"
	"\n"
	"  --kill             send them SIGKILL\n"
	"  --socket PATH      affiantd's socket, if not the usual one\n"
	"  -h, --help\n"
	"\n"
	"Exit code: 0, 1 when no such session lives or the daemon refuses,\n"
	"64 for a wrong option.\n";

struct options {
	const char *socket;
	bool all, json, kill;
};

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, const char *usage, struct options *o)
{
	static const struct option table[] = {
		{"all", no_argument, NULL, 'a'},          {"output", required_argument, NULL, 'o'},
		{"socket", required_argument, NULL, 'S'}, {"kill", no_argument, NULL, 'k'},
		{"help", no_argument, NULL, 'h'},         {0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "ao:h", table, NULL)) >= 0) {
		switch (option) {
		case 'a':
			o->all = true;
			break;
		case 'o':
			o->json = !strcmp(optarg, "json");
			if (o->json || !strcmp(optarg, "table"))
				break;
			log_error("--output: '%s' is not one of table, json", optarg);
			return EXIT_USAGE;
		case 'S':
			o->socket = optarg;
			break;
		case 'k':
			o->kill = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		default:
			fprintf(stderr, "affiant %s --help tells the options\n", argv[0]);
			return EXIT_USAGE;
		}
	}
	return -1;
}

static void print_row(const Affiant__V1__SessionInfo *s)
{
	_cleanup_free_ char *agent = answer_text(s->agent ? s->agent->name : NULL, TEXT_WORD);
	_cleanup_free_ char *task = answer_text(s->task ? s->task->id : NULL, TEXT_WORD);
	_cleanup_free_ char *principal =
		answer_text(s->principal ? s->principal->subject : NULL, TEXT_WORD);
	char id[UUID_TEXT_SIZE] = "-", started[ANSWER_TIME_SIZE];

	if (s->session && s->session->id.len == UUID_SIZE)
		uuid_format((const struct uuid *)s->session->id.data, id);
	answer_time(s->started_wall_ns, started);
	printf("%-36s  %-16s %-12s %-24s %-20s %5" PRIu64 " %6" PRIu64 " %6" PRIu64 "  %s%s%s%s\n",
	       id, agent ?: "", task ?: "", principal ?: "", started, s->processes, s->execs,
	       s->connections,
	       s->ended_wall_ns ? "ended"
	       : s->ending      ? "ending"
	       : s->late        ? "late"
				: "",
	       s->unproven ? " unproven" : "",
	       s->session && s->session->folded ? " folded" : "",
	       s->session && s->session->untagged_children ? " untagged_children" : "");
}

int cmd_sessions(int argc, char **argv)
{
	Affiant__V1__Request request = AFFIANT__V1__REQUEST__INIT;
	Affiant__V1__ListSessions body = AFFIANT__V1__LIST_SESSIONS__INIT;
	Affiant__V1__Response *r;
	struct options o = {0};
	int code = parse(argc, argv, list_usage, &o);

	if (code >= 0)
		return code;
	body.has_ended = true;
	body.ended = o.all;
	request.call_case = AFFIANT__V1__REQUEST__CALL_LIST_SESSIONS;
	request.list_sessions = &body;
	r = answer_get(o.socket, &request, AFFIANT__V1__RESPONSE__ANSWER_SESSIONS);
	if (!r)
		return EXIT_FAILURE;
	code = EXIT_SUCCESS;
	if (!o.json)
		printf("%-36s  %-16s %-12s %-24s %-20s %5s %6s %6s\n", "SESSION", "AGENT", "TASK",
		       "FOR", "STARTED", "PROCS", "EXECS", "CONNS");
	for (size_t i = 0; !code && i < r->sessions->n_sessions; i++) {
		if (o.json)
			code = answer_json(answer_session_json(r->sessions->sessions[i]));
		else
			print_row(r->sessions->sessions[i]);
	}
	affiant__v1__response__free_unpacked(r, NULL);
	return code;
}

static int end(const char *id, const struct options *o)
{
	Affiant__V1__Request request = AFFIANT__V1__REQUEST__INIT;
	Affiant__V1__EndSession body = AFFIANT__V1__END_SESSION__INIT;
	Affiant__V1__Response *r;
	struct uuid uuid;

	if (uuid_parse(id, &uuid)) {
		log_error("'%s' is not the id of a session; affiant sessions lists them", id);
		return EXIT_USAGE;
	}
	body.has_session = true;
	body.session = (ProtobufCBinaryData){UUID_SIZE, uuid.bytes};
	body.has_kill = true;
	body.kill = o->kill;
	request.call_case = AFFIANT__V1__REQUEST__CALL_END_SESSION;
	request.end_session = &body;
	r = answer_get(o->socket, &request, AFFIANT__V1__RESPONSE__ANSWER_SESSION_ENDING);
	if (!r)
		return EXIT_FAILURE;
	printf("ended; %u processes %s\n", r->session_ending->processes,
	       o->kill ? "were sent SIGKILL" : "are alive and stay recorded");
	affiant__v1__response__free_unpacked(r, NULL);
	return EXIT_SUCCESS;
}

int cmd_session(int argc, char **argv)
{
	struct options o = {0};
	int code;

	if (argc > 1 && strcmp(argv[1], "end") && argv[1][0] != '-') {
		log_error("session: '%s' is not one of end", argv[1]);
		return EXIT_USAGE;
	}
	code = parse(argc, argv, end_usage, &o);
	if (code >= 0)
		return code;
	/* getopt has moved what is no option to the end: 'end' and the id. */
	if (argc - optind != 2) {
		fputs(end_usage, stderr);
		return EXIT_USAGE;
	}
	return end(argv[optind + 1], &o);
}
