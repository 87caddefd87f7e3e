/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/answer.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buffer.h"
#include "base/log.h"
#include "base/text.h"
#include "base/uuid.h"
#include "cli/cmd.h"
#include "record/words.h"

int answer_options(int argc, char **argv, const char *usage, struct answer_options *ret)
{
	static const struct option table[] = {
		{"output", required_argument, NULL, 'o'},
		{"socket", required_argument, NULL, 'S'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "o:h", table, NULL)) >= 0) {
		switch (option) {
		case 'o':
			ret->json = !strcmp(optarg, "json");
			if (ret->json || !strcmp(optarg, "text"))
				break;
			log_error("--output: '%s' is not one of text, json", optarg);
			return EXIT_USAGE;
		case 'S':
			ret->socket = optarg;
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

Affiant__V1__Response *answer_get(const char *socket, Affiant__V1__Request *request,
				  Affiant__V1__Response__AnswerCase expected)
{
	Affiant__V1__Response *r = NULL;
	struct client *c;
	int err;

	err = client_open(socket, &c);
	if (err) {
		log_error("%s: %s; is affiantd running?", client_path(socket), strerror(-err));
		return NULL;
	}
	err = client_call(c, request, NULL, 0, &r, NULL, NULL);
	if (err) {
		log_error("%s", client_error(c));
	} else if (r->answer_case != expected) {
		log_error("the daemon (version %s) gave another answer than was asked for",
			  client_version(c));
		affiant__v1__response__free_unpacked(r, NULL);
		r = NULL;
	}
	client_close(c);
	return r;
}

void answer_time(uint64_t wall_ns, char ret[static ANSWER_TIME_SIZE])
{
	time_t seconds = wall_ns / 1000000000;
	struct tm tm;

	if (!wall_ns || !gmtime_r(&seconds, &tm)) {
		strcpy(ret, "-");
		return;
	}
	strftime(ret, ANSWER_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

int answer_json(json_t *value)
{
	int failed = !value || json_dumpf(value, stdout, JSON_COMPACT) || puts("") == EOF ||
		     fflush(stdout);

	if (failed)
		log_error("the answer can't be written");
	json_decref(value);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void set_text(json_t *to, const char *key, const char *text)
{
	if (text)
		json_object_set_new(to, key, json_string(text));
}

static json_t *texts_json(char *const *texts, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, json_string(texts[i]));
	return array;
}

json_t *answer_session_json(const Affiant__V1__SessionInfo *s)
{
	json_t *o = json_object();
	char text[64];

	if (s->session && s->session->id.len == UUID_SIZE) {
		uuid_format((const struct uuid *)s->session->id.data, text);
		set_text(o, "session", text);
	}
	if (s->session && s->session->has_isolation)
		set_text(o, "isolation",
			 word_of(&affiant__v1__isolation__descriptor, s->session->isolation));
	if (s->agent) {
		set_text(o, "agent", s->agent->name);
		set_text(o, "spiffe_id", s->agent->spiffe_id);
	}
	if (s->task) {
		set_text(o, "task", s->task->id);
		set_text(o, "purpose", s->task->purpose);
		if (s->task->has_expires_wall_ns) {
			answer_time(s->task->expires_wall_ns, text);
			set_text(o, "expires", text);
		}
		if (s->task->n_scope)
			json_object_set_new(o, "scope",
					    texts_json(s->task->scope, s->task->n_scope));
	}
	if (s->principal) {
		set_text(o, "principal", s->principal->subject);
		set_text(o, "assurance",
			 word_of(&affiant__v1__assurance__descriptor, s->principal->assurance));
	}
	set_text(o, "selector", s->selector);
	answer_time(s->started_wall_ns, text);
	set_text(o, "started", text);
	if (s->ended_wall_ns) {
		answer_time(s->ended_wall_ns, text);
		set_text(o, "ended", text);
	}
	json_object_set_new(o, "processes", json_integer(s->processes));
	json_object_set_new(o, "processes_total", json_integer(s->processes_total));
	json_object_set_new(o, "connections", json_integer(s->connections));
	json_object_set_new(o, "execs", json_integer(s->execs));
	json_object_set_new(o, "late", json_boolean(s->late));
	json_object_set_new(o, "unproven", json_boolean(s->unproven));
	json_object_set_new(o, "untagged_children",
			    json_boolean(s->session && s->session->untagged_children));
	json_object_set_new(o, "ending", json_boolean(s->ending));
	json_object_set_new(o, "folded", json_boolean(s->session && s->session->folded));
	return o;
}

char *answer_text(const char *text, unsigned int flags)
{
	struct buffer b = {0};
	char *out;

	if (!text || !*text)
		return strdup("-");
	text_printable(&b, text, strlen(text), flags);
	out = buffer_error(&b) ? NULL : strndup((const char *)b.data, b.len);
	buffer_done(&b);
	return out;
}
