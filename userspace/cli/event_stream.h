/* SPDX-License-Identifier: Apache-2.0 */
/* event_stream: the frames of a row of segments, oldest first, whoever gave their descriptors. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record/segment.h"

struct event_stream;

/* What could not be read: where, and how much of it. Told once. */
struct event_damage {
	uint64_t index; /* segment */
	uint64_t offset;
	uint64_t bytes;
	uint64_t first, last; /* sequence numbers missing; last 0: it is not known how many */
	bool hole; /* before that segment, all of which can be read: perhaps a Gap says why */
};

int event_stream_new(void (*damaged)(void *data, const struct event_damage *damage), void *data,
		     struct event_stream **ret);
void event_stream_free(struct event_stream *s);

/*
 * Adds a segment behind the others; @fd is taken over, also on failure. It is not looked at before
 * it is read.
 */
int event_stream_add(struct event_stream *s, uint64_t index, int fd);

/* Adds all *.seg of a ledger's directory. -ENOENT: there is none. */
int event_stream_add_directory(struct event_stream *s, const char *path);

/* The last segment is being written: what is cut off at its end is not damage, and will come. */
void event_stream_live(struct event_stream *s);

/*
 * Whether @fd, borrowed, is the last segment once more, as far as that can be told.
 */
bool event_stream_is_last(const struct event_stream *s, int fd);
uint64_t event_stream_last_index(const struct event_stream *s);
/* What is added from now on is of another ledger: its numbers do not follow. */
void event_stream_begin_anew(struct event_stream *s);

size_t event_stream_count(const struct event_stream *s);

/* The last segment was sealed and is read to its end: what comes is in another one. */
bool event_stream_ended(const struct event_stream *s);

/*
 * 1: *@ret is the next frame of segment number @i, valid until the next call. 0: it has no more,
 * the last one of a live stream: for now. Damage is passed over and told.
 */
int event_stream_next(struct event_stream *s, size_t i, struct segment_frame *ret);
