/* SPDX-License-Identifier: Apache-2.0 */
/* handout_stream: one asker's answer on its way through a pipe. */
#pragma once

#include "daemon/handout.h"
#include "daemon/handout_log.h"

#define HANDOUT_PIECES_MAX 16

/* What is sent, one piece after another: text, or a log in base64url. */
struct handout_piece {
	char *text; /* owned; NULL: a log */
	size_t len; /* of the text */
	enum measure_log log;
	uint64_t from, bytes; /* of the log */
};

struct handout_stream {
	struct handout_piece pieces[HANDOUT_PIECES_MAX];
	size_t pieces_count, piece;
	uint64_t at; /* in that piece, of text or log */
	uint64_t size;
	int root, log, pipe;
	char *out; /* what is encoded and not yet written */
	size_t out_at, out_len;
	uint64_t deadline_ns;
	uint64_t moved_ns; /* when its reader had taken something last */
};

/*
 * Puts together what is sent of @request and of the logs that were found; the request's texts are
 * the stream's then. -ENOMEM.
 */
int handout_stream_new(int root, struct handout_request *request,
		       const struct handout_log logs[static MEASURE_LOGS],
		       struct handout_stream **ret);
void handout_stream_free(struct handout_stream *s);

/* Makes the pipe. Returns the end to read from, or -errno. */
int handout_stream_open(struct handout_stream *s);

/*
 * Writes while there is room, at most about HANDOUT_STEP bytes: 0: there is more; 1: all was
 * written; or why it can't go on.
 */
int handout_stream_step(struct handout_stream *s, uint64_t now_ns);
