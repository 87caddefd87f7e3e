/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hashqueue: which job has the next turn. Sessions take turns, so that none delays another by what
 * it asks for, and jobs that want one object are made one. filehash's, under its lock.
 */
#pragma once

#include <uthash.h>

#include "collect/filehash.h"

struct hashing;
struct hashflight;

struct hashsession {
	uint64_t key;
	size_t count;       /* jobs not released yet */
	unsigned int stuck; /* turns that do not come back: it has no other one meanwhile */
	struct hashjob *queue;
	struct hashsession *prev, *next; /* in the rotation, while the queue is not empty */
	UT_hash_handle hh;
};

struct hashjob {
	struct filehash_job in;
	struct hashing *hashing; /* NULL before its first turn */
	struct file_digest digest;
	uint64_t finished_ns; /* CLOCK_BOOTTIME */
	struct hashsession *session; /* whose it is */
	struct hashsession *queued;  /* in whose queue it waits; NULL: in none */
	struct hashflight *flight;
	struct hashjob *prev, *next; /* in a queue, a flight, or a list of the owner's */
};

struct hashqueue {
	struct hashsession *sessions;
	struct hashsession *rotation;
	struct hashflight *flights;
	uint64_t queued;
	size_t count; /* jobs taken in and not yet released */
};

/*
 * Takes @j in, whose in is set; it stays with its session until hashqueue_release(). -EAGAIN: the
 * session has @max already; or all have @total (0: no bound), and it has its share of that.
 * @answered: only to be counted, it needs no turn.
 */
int hashqueue_add(struct hashqueue *q, struct hashjob *j, size_t max, size_t total, bool answered);

/* Takes the next one out of its queue; NULL: there is none. */
struct hashjob *hashqueue_next(struct hashqueue *q);
/* It needs another turn. */
void hashqueue_again(struct hashqueue *q, struct hashjob *j);

/*
 * @j needs no further turn. @settled: what it found out holds for all who wanted that object: they
 * are returned, as a list (utlist's DL_). Otherwise the next one of them has a turn.
 */
struct hashjob *hashqueue_end(struct hashqueue *q, struct hashjob *j, bool settled);

/* Its answer is with who asked. The job is the caller's. */
void hashqueue_release(struct hashqueue *q, struct hashjob *j);

/* Hands all jobs that wait to @free_job. No others may be left. */
void hashqueue_clear(struct hashqueue *q, void (*free_job)(struct hashjob *j));

/* The kernel's identity as a key: without what object_id_equal() ignores. */
struct object_id hashqueue_key(const struct object_id *id);
