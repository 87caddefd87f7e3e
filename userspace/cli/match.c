/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/units.h"
#include "base/uuid.h"
#include "cli/answer.h"
#include "cli/cmd.h"

static const char usage[] =
	"Usage: affiant match PID [OPTION]...\n"
	"Says which configured selector would take that process, and why.\n"
	"\n"
	"  -o, --output WHAT  text (default), or json\n"
	"  --socket PATH      affiantd's socket, if not the usual one\n"
	"  -h, --help\n"
	"\n"
	"Exit code: 0 when it is of a session or a selector takes it, 1 when not or when the daemon\n"
	"can't be asked, 64 for a wrong option.\n";

static json_t *match_json(const Affiant__V1__Matched *m)
{
	json_t *o = json_object();

	json_object_set_new(o, "tagged", json_boolean(m->tagged));
	if (m->session)
		json_object_set_new(o, "session", answer_session_json(m->session));
	if (m->selector)
		json_object_set_new(o, "selector", json_string(m->selector));
	if (m->agent)
		json_object_set_new(o, "agent", json_string(m->agent));
	if (m->why)
		json_object_set_new(o, "why", json_string(m->why));
	return o;
}

static void print_text(const Affiant__V1__Matched *m)
{
	_cleanup_free_ char *why = answer_text(m->why, 0);
	_cleanup_free_ char *selector = answer_text(m->selector, 0);
	_cleanup_free_ char *agent = answer_text(m->agent, 0);
	_cleanup_free_ char *owner = NULL;
	char id[UUID_TEXT_SIZE];

	if (m->tagged && m->session && m->session->session &&
	    m->session->session->id.len == UUID_SIZE) {
		uuid_format((const struct uuid *)m->session->session->id.data, id);
		owner = answer_text(m->session->agent ? m->session->agent->name : NULL, 0);
		printf("it is of session %s of agent %s\n", id, owner ?: "?");
	}
	if (m->selector)
		printf("selector '%s' of agent %s takes it: %s\n", selector ?: "?", agent ?: "?",
		       why ?: "");
	else
		printf("no selector takes it: %s\n", why ?: "");
}

int cmd_match(int argc, char **argv)
{
	Affiant__V1__Request request = AFFIANT__V1__REQUEST__INIT;
	Affiant__V1__Match body = AFFIANT__V1__MATCH__INIT;
	struct answer_options o = {0};
	Affiant__V1__Response *r;
	uint64_t pid;
	int code = answer_options(argc, argv, usage, &o);

	if (code >= 0)
		return code;
	if (argc - optind != 1 || number_parse(argv[optind], &pid) || !pid || pid > INT32_MAX) {
		log_error("match takes one process id; affiant match --help tells more");
		return EXIT_USAGE;
	}
	body.has_pid = true;
	body.pid = pid;
	request.call_case = AFFIANT__V1__REQUEST__CALL_MATCH;
	request.match = &body;
	r = answer_get(o.socket, &request, AFFIANT__V1__RESPONSE__ANSWER_MATCHED);
	if (!r)
		return EXIT_FAILURE;
	code = r->matched->tagged || r->matched->selector ? EXIT_SUCCESS : EXIT_FAILURE;
	if (o.json && answer_json(match_json(r->matched)))
		code = EXIT_FAILURE;
	else if (!o.json)
		print_text(r->matched);
	affiant__v1__response__free_unpacked(r, NULL);
	return code;
}
