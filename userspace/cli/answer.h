/* SPDX-License-Identifier: Apache-2.0 */
/* answer: one question to the daemon, for subcommands that ask and print. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "lib/client.h"

/* The options of a subcommand that only asks: --output text|json, --socket, --help. */
struct answer_options {
	const char *socket; /* NULL: the usual one */
	bool json;
};

/* -1: go on, with the arguments from optind on; else the exit code. */
int answer_options(int argc, char **argv, const char *usage, struct answer_options *ret);

/*
 * Connects to @socket (NULL: the usual one) and asks. On failure it has said why, and returns NULL.
 * The answer is of kind @expected, and the caller's to free.
 */
Affiant__V1__Response *answer_get(const char *socket, Affiant__V1__Request *request,
				  Affiant__V1__Response__AnswerCase expected);

/* "2026-11-02T06:13:20Z"; "-" for 0. */
#define ANSWER_TIME_SIZE 32
void answer_time(uint64_t wall_ns, char ret[static ANSWER_TIME_SIZE]);

/* Prints @value on one line and drops its reference. 0, or an exit code after saying why. */
int answer_json(json_t *value);

json_t *answer_session_json(const Affiant__V1__SessionInfo *s);

/*
 * The text of an untrusted string for a terminal: freed by the caller. "-" for NULL or "". @flags:
 * enum text_flag.
 */
char *answer_text(const char *text, unsigned int flags);
