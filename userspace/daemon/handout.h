/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handout: gives evidence with the host's logs to those who ask for them, by a thread of its own.
 * The logs can be long, and an agent makes the IMA list longer: whoever asks gets the end of a pipe,
 * and what goes through it is read as it is taken. Nobody waits for another's logs or for a slow
 * reader but the session's own next request, and memory is bounded: a pipe and a block for each.
 *
 * What goes through the pipe is the asker's text, a member for each log that can be read, and what
 * ends it. Each log is read twice: first for its length, which the answer has.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HANDOUT_STREAMS_MAX 32 /* being read at once, one of each session */
#define HANDOUT_QUEUE_MAX 16   /* of one session, waiting for that */
/* What one turn of the thread reads of a log before it looks after the other readers. */
#define HANDOUT_STEP (1u << 20)
/* A reader has so long, and a second more for each so many bytes. */
#define HANDOUT_TIMEOUT_S 10
#define HANDOUT_BYTES_PER_S (1u << 20)
/* But where another session waits for its turn, he goes who has taken nothing for so long. */
#define HANDOUT_IDLE_S 1

struct handout;

/*
 * In the loop: @err, or the end of the pipe that @size bytes will come out of, which is @fn's to
 * close. -ERANGE: the IMA log has not so many entries; -EBADMSG: it is malformed.
 */
typedef void (*handout_fn)(void *data, int err, int fd, uint64_t size);

struct handout_request {
	uint64_t session;
	/* What comes before the logs and what after them; taken over, also on failure. */
	char *head, *tail;
	size_t head_len, tail_len;
	uint64_t ima_from;
	handout_fn fn;
	void *data;
};

/* @root: of the file system, for the logs; borrowed. @timeout_ns: 0: HANDOUT_TIMEOUT_S. */
int handout_new(int root, uint64_t timeout_ns, struct handout **ret);
/* Nobody is told any more. */
void handout_free(struct handout *h);

/* Readable when there is something for handout_collect(). */
int handout_fd(const struct handout *h);
void handout_collect(struct handout *h);

/* @request->fn is called once. -EBUSY: too many of that session wait already. */
int handout_begin(struct handout *h, const struct handout_request *request);
