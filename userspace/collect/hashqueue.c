/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/hashqueue.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/cleanup.h"

/*
 * Jobs that want the same object: one hashes, the others wait for it. It waits for its turns in the
 * queue of a session that waits for it, so that a session which floods its own queue delays no
 * other one.
 */
struct hashflight {
	struct object_id id;
	struct hashjob *pilot;
	struct hashjob *followers;
	UT_hash_handle hh;
};

struct object_id hashqueue_key(const struct object_id *id)
{
	struct object_id key = *id;

	key.magic = 0;
	return key;
}

static struct hashsession *session_get(struct hashqueue *q, uint64_t key)
{
	struct hashsession *s;

	HASH_FIND(hh, q->sessions, &key, sizeof(key), s);
	if (s)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->key = key;
	HASH_ADD(hh, q->sessions, key, sizeof(s->key), s);
	return s;
}

void hashqueue_release(struct hashqueue *q, struct hashjob *j)
{
	struct hashsession *s = TAKE_PTR(j->session);

	q->count--;
	if (--s->count > 0)
		return;
	HASH_DEL(q->sessions, s);
	free(s);
}

void hashqueue_again(struct hashqueue *q, struct hashjob *j)
{
	struct hashjob *waits = j->flight ? j->flight->followers : NULL;
	struct hashsession *s = waits ? waits->session : j->session;

	if (!s->queue)
		DL_APPEND(q->rotation, s);
	DL_APPEND(s->queue, j);
	j->queued = s;
	q->queued++;
}

static void unqueue(struct hashqueue *q, struct hashjob *j)
{
	struct hashsession *s = TAKE_PTR(j->queued);

	DL_DELETE(s->queue, j);
	if (!s->queue)
		DL_DELETE(q->rotation, s);
	q->queued--;
}

static int board(struct hashqueue *q, struct hashjob *j)
{
	struct object_id key = hashqueue_key(object_counted(&j->in.want));
	struct hashflight *f;

	HASH_FIND(hh, q->flights, &key, sizeof(key), f);
	if (f) {
		j->flight = f;
		DL_PREPEND(f->followers, j);
		if (f->pilot->queued) {
			unqueue(q, f->pilot);
			hashqueue_again(q, f->pilot);
		}
		return 0;
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->id = key;
	f->pilot = j;
	j->flight = f;
	HASH_ADD(hh, q->flights, id, sizeof(f->id), f);
	hashqueue_again(q, j);
	return 0;
}

/* Beyond @total, who has less than his share still gets it: a flood keeps nobody else out. */
static bool has_room(const struct hashqueue *q, const struct hashsession *s, size_t max,
		     size_t total)
{
	return s->count < max &&
	       (!total || q->count < total || s->count < total / HASH_COUNT(q->sessions));
}

int hashqueue_add(struct hashqueue *q, struct hashjob *j, size_t max, size_t total, bool answered)
{
	struct hashsession *s = session_get(q, j->in.session);
	int r = 0;

	if (!s)
		return -ENOMEM;
	j->session = s;
	if (!has_room(q, s, max, total))
		r = -EAGAIN;
	else if (!answered && j->in.has_want)
		r = board(q, j);
	else if (!answered)
		hashqueue_again(q, j);
	s->count++;
	q->count++;
	if (r < 0)
		hashqueue_release(q, j);
	return r;
}

struct hashjob *hashqueue_next(struct hashqueue *q)
{
	struct hashsession *s;
	struct hashjob *j;

	DL_FOREACH (q->rotation, s)
		if (!s->stuck)
			break;
	if (!s)
		return NULL;
	j = s->queue;
	unqueue(q, j);
	if (s->queue) { /* to the end */
		DL_DELETE(q->rotation, s);
		DL_APPEND(q->rotation, s);
	}
	return j;
}

struct hashjob *hashqueue_end(struct hashqueue *q, struct hashjob *j, bool settled)
{
	struct hashflight *f = TAKE_PTR(j->flight);
	struct hashjob *list, *next;

	if (!f)
		return NULL;
	next = f->followers;
	if (next && !settled) {
		DL_DELETE(f->followers, next);
		f->pilot = next;
		hashqueue_again(q, next);
		return NULL;
	}
	list = TAKE_PTR(f->followers);
	DL_FOREACH (list, next)
		next->flight = NULL;
	HASH_DEL(q->flights, f);
	free(f);
	return list;
}

static void free_list(struct hashjob *list, void (*free_job)(struct hashjob *j))
{
	struct hashjob *j, *next;

	DL_FOREACH_SAFE (list, j, next)
		free_job(j);
}

void hashqueue_clear(struct hashqueue *q, void (*free_job)(struct hashjob *j))
{
	struct hashsession *s, *next_session;
	struct hashflight *f, *next_flight;

	HASH_ITER (hh, q->flights, f, next_flight) {
		HASH_DEL(q->flights, f);
		free_list(f->followers, free_job);
		free(f);
	}
	HASH_ITER (hh, q->sessions, s, next_session) {
		HASH_DEL(q->sessions, s);
		free_list(s->queue, free_job);
		free(s);
	}
}
