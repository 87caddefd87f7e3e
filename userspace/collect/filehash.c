/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/filehash.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <uthash.h>
#include <utlist.h>

#include "base/cleanup.h"
#include "collect/hashcache.h"
#include "collect/hashing.h"

/* About 10 ms without SHA instructions: how long a large file keeps a worker from the next session. */
#define SLICE_BYTES (4u << 20)
#define BUFFER_BYTES (256u << 10)	/* fits into a core's second-level cache */

struct job {
	struct filehash_job in;
	struct hashing *hashing;
	struct file_digest digest;
	struct session *session;
	struct flight *flight;
	struct job *prev, *next;	/* in one of: a session's queue, a flight's followers, done */
};

/* Jobs that want the same object: the first one hashes, the others wait for it. */
struct flight {
	struct object_id id;
	struct job *followers;
	UT_hash_handle hh;
};

struct session {
	uint64_t key;
	size_t count;			/* jobs not collected yet */
	struct job *queue;
	struct session *prev, *next;	/* in the rotation, while the queue is not empty */
	UT_hash_handle hh;
};

struct filehash {
	struct filehash_config config;
	struct hashing_config hashing;
	int event_fd;
	pthread_mutex_t lock;		/* all that follows */
	pthread_cond_t work;
	bool stop;
	struct session *sessions;
	struct session *rotation;
	struct flight *flights;
	struct job *done;
	struct hashcache *by_id;	/* the kernel's identity ... */
	struct hashcache *by_key;	/* ... and user space's are never mixed */
	struct object_epoch epoch;
	struct filehash_stats stats;
	unsigned int started;
	pthread_t threads[];
};

static void *worker(void *arg);

static void job_free(struct job *j)
{
	hashing_free(j->hashing);
	closep(&j->in.fd);
	free(j);
}

static void flight_key(const struct object_id *id, struct object_id *ret)
{
	*ret = *id;
	ret->magic = 0;			/* as object_id_equal() */
}

/* Clearing is what a clock that was set costs: old change times can come again. */
static void look_at_clock(struct filehash *h)
{
	if (!object_epoch_update(&h->epoch))
		return;
	hashcache_clear(h->by_id);
	hashcache_clear(h->by_key);
}

static int start_threads(struct filehash *h)
{
	sigset_t all, old;
	int r = 0;

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (h->started < h->config.workers && r == 0) {
		r = -pthread_create(&h->threads[h->started], NULL, worker, h);
		if (r == 0)
			h->started++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

int filehash_new(const struct filehash_config *config, struct filehash **ret)
{
	struct filehash *h;
	int r;

	if (config->workers == 0 || !config->identify)
		return -EINVAL;
	h = calloc(1, sizeof(*h) + config->workers * sizeof(*h->threads));
	if (!h)
		return -ENOMEM;
	h->config = *config;
	h->hashing = (struct hashing_config){
		.size_max = config->size_max,
		.identify = config->identify,
		.identify_context = config->identify_context,
	};
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->work, NULL);
	object_epoch_init(&h->epoch);
	h->stats.max = config->cache_max;
	h->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = h->event_fd < 0 ? -errno : 0;
	r = r ?: hashcache_new(sizeof(struct object_id), config->cache_max, &h->by_id);
	r = r ?: hashcache_new(sizeof(struct hashing_key), config->cache_max, &h->by_key);
	r = r ?: start_threads(h);
	if (r < 0) {
		filehash_free(h);
		return r;
	}
	*ret = h;
	return 0;
}

static void free_jobs(struct job *list)
{
	struct job *j, *next;

	DL_FOREACH_SAFE(list, j, next)
		job_free(j);
}

void filehash_free(struct filehash *h)
{
	struct session *s, *next_session;
	struct flight *f, *next_flight;

	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	h->stop = true;
	pthread_cond_broadcast(&h->work);
	pthread_mutex_unlock(&h->lock);
	for (unsigned int i = 0; i < h->started; i++)
		pthread_join(h->threads[i], NULL);

	HASH_ITER(hh, h->flights, f, next_flight) {
		HASH_DEL(h->flights, f);
		free_jobs(f->followers);
		free(f);
	}
	HASH_ITER(hh, h->sessions, s, next_session) {
		HASH_DEL(h->sessions, s);
		free_jobs(s->queue);
		free(s);
	}
	free_jobs(h->done);
	hashcache_free(h->by_id);
	hashcache_free(h->by_key);
	closep(&h->event_fd);
	pthread_cond_destroy(&h->work);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

int filehash_fd(const struct filehash *h)
{
	return h->event_fd;
}

/* ---- under the lock ---- */

static struct session *session_get(struct filehash *h, uint64_t key)
{
	struct session *s;

	HASH_FIND(hh, h->sessions, &key, sizeof(key), s);
	if (s)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->key = key;
	HASH_ADD(hh, h->sessions, key, sizeof(s->key), s);
	return s;
}

static void session_release(struct filehash *h, struct session *s)
{
	if (--s->count > 0)
		return;
	HASH_DEL(h->sessions, s);
	free(s);
}

static void enqueue(struct filehash *h, struct job *j)
{
	if (!j->session->queue)
		DL_APPEND(h->rotation, j->session);
	DL_APPEND(j->session->queue, j);
	h->stats.queued++;
	pthread_cond_signal(&h->work);
}

/* The session at the head has its turn, and goes to the end. */
static struct job *dequeue(struct filehash *h)
{
	struct session *s = h->rotation;
	struct job *j = s->queue;

	DL_DELETE(s->queue, j);
	DL_DELETE(h->rotation, s);
	if (s->queue)
		DL_APPEND(h->rotation, s);
	h->stats.queued--;
	return j;
}

static void deliver(struct filehash *h, struct job *j, const struct hashed *hashed)
{
	const uint64_t one = 1;

	look_at_clock(h);
	hashed_judge(hashed, j->in.has_id, j->in.opened_ns, &h->epoch, &j->digest);
	hashing_free(j->hashing);
	j->hashing = NULL;
	closep(&j->in.fd);
	j->in.fd = -1;
	if (!h->done && write(h->event_fd, &one, sizeof(one)) < 0)
		j->digest.state = HASH_STATE_UNREADABLE;	/* can't be: the counter is at 0 */
	DL_APPEND(h->done, j);
}

/*
 * What one found out of the object holds for all who wanted it. But if it did not get hold of that object
 * (its descriptor was of another one), then the next one tries with its own.
 */
static void land(struct filehash *h, struct flight *f, const struct hashed *hashed)
{
	enum hash_state state = hashed->digest.state;
	struct job *j;

	if (state == HASH_STATE_CHANGED || state == HASH_STATE_UNREADABLE) {
		j = f->followers;
		if (j) {
			DL_DELETE(f->followers, j);
			enqueue(h, j);
			return;
		}
	}
	while ((j = f->followers)) {
		DL_DELETE(f->followers, j);
		deliver(h, j, hashed);
	}
	HASH_DEL(h->flights, f);
	free(f);
}

static void finished(struct filehash *h, struct job *j, const struct hashed *hashed)
{
	struct hashed copy = *hashed;	/* deliver() frees the original */
	struct flight *f = j->flight;

	deliver(h, j, &copy);
	if (f)
		land(h, f, &copy);
}

static void remember(struct filehash *h, const struct hashing *hashing)
{
	const struct hashed *result = hashing_result(hashing);
	struct object_id id;

	/* No room is no harm: it is hashed again. */
	if (hashing_lasting(hashing, true) && hashing_id(hashing)) {
		flight_key(hashing_id(hashing), &id);
		(void)hashcache_put(h->by_id, &id, result);
	}
	if (hashing_lasting(hashing, false))
		(void)hashcache_put(h->by_key, hashing_user_key(hashing), result);
}

static bool known_by_id(struct filehash *h, const struct object_id *id, struct hashed *ret)
{
	struct object_id key;

	flight_key(id, &key);
	return hashcache_get(h->by_id, &key, ret);
}

static int join_flight(struct filehash *h, struct job *j, bool *ret_follows)
{
	struct object_id key;
	struct flight *f;

	flight_key(&j->in.id, &key);
	HASH_FIND(hh, h->flights, &key, sizeof(key), f);
	*ret_follows = f;
	if (f) {
		DL_APPEND(f->followers, j);
	} else {
		f = calloc(1, sizeof(*f));
		if (!f)
			return -ENOMEM;
		f->id = key;
		HASH_ADD(hh, h->flights, id, sizeof(f->id), f);
	}
	j->flight = f;
	return 0;
}

static int admit(struct filehash *h, struct job *j)
{
	struct hashed known = {.digest.state = HASH_STATE_DISABLED};
	bool follows = false;
	int r;

	j->session = session_get(h, j->in.session);
	if (!j->session)
		return -ENOMEM;
	if (j->session->count++ >= h->config.queue_max) {
		session_release(h, j->session);
		return -EAGAIN;
	}
	look_at_clock(h);
	if (h->config.disabled || (j->in.has_id && known_by_id(h, &j->in.id, &known))) {
		h->stats.hits += !h->config.disabled;
		deliver(h, j, &known);
		return 0;
	}
	if (j->in.has_id) {
		r = join_flight(h, j, &follows);
		if (r < 0) {
			session_release(h, j->session);
			return r;
		}
	}
	if (!follows)
		enqueue(h, j);
	return 0;
}

int filehash_submit(struct filehash *h, const struct filehash_job *job)
{
	struct job *j = calloc(1, sizeof(*j));
	int r;

	if (!j) {
		close(job->fd);
		return -ENOMEM;
	}
	j->in = *job;
	pthread_mutex_lock(&h->lock);
	r = admit(h, j);
	pthread_mutex_unlock(&h->lock);
	if (r < 0)
		job_free(j);
	return r;
}

bool filehash_cached(struct filehash *h, const struct object_id *id, uint64_t opened_ns,
		     struct file_digest *ret)
{
	struct hashed known;
	bool found;

	pthread_mutex_lock(&h->lock);
	look_at_clock(h);
	found = known_by_id(h, id, &known);
	if (found) {
		h->stats.hits++;
		hashed_judge(&known, true, opened_ns, &h->epoch, ret);
	}
	pthread_mutex_unlock(&h->lock);
	return found;
}

int filehash_collect(struct filehash *h, void (*done)(void *data, uint64_t token, const struct file_digest *digest),
		     void *data)
{
	struct job *list, *j, *next;
	uint64_t count;
	int n = 0;

	pthread_mutex_lock(&h->lock);
	list = TAKE_PTR(h->done);
	if (list && read(h->event_fd, &count, sizeof(count)) < 0)
		count = 0;		/* it is not read for its value */
	DL_FOREACH(list, j)
		session_release(h, j->session);
	pthread_mutex_unlock(&h->lock);

	DL_FOREACH_SAFE(list, j, next) {
		done(data, j->in.token, &j->digest);
		job_free(j);
		n++;
	}
	return n;
}

void filehash_stats(struct filehash *h, struct filehash_stats *ret)
{
	pthread_mutex_lock(&h->lock);
	*ret = h->stats;
	ret->entries = hashcache_count(h->by_id) + hashcache_count(h->by_key);
	pthread_mutex_unlock(&h->lock);
}

/* ---- workers ---- */

static bool known_by_key(struct filehash *h, const struct hashing_key *key, struct hashed *ret)
{
	bool found;

	if (!key)
		return false;
	pthread_mutex_lock(&h->lock);
	found = hashcache_get(h->by_key, key, ret);
	h->stats.hits += found;
	pthread_mutex_unlock(&h->lock);
	return found;
}

/* The first turn of a job: 0: *ret is the answer, without reading; 1: it is to be read. */
static int look(struct filehash *h, struct job *j, struct hashed *ret)
{
	int r;

	r = hashing_new(&h->hashing, TAKE_FD(j->in.fd), j->in.has_id ? &j->in.id : NULL, &j->hashing);
	if (r < 0) {
		ret->digest.state = HASH_STATE_UNREADABLE;
		return 0;
	}
	if (known_by_key(h, hashing_peek(j->hashing), ret))
		return 0;
	r = hashing_look(j->hashing);
	if (r == 0) {
		*ret = *hashing_result(j->hashing);
		return 0;
	}
	if (known_by_key(h, hashing_user_key(j->hashing), ret))
		return 0;
	return 1;
}

/* 0: *ret is the answer; 1: another turn. */
static int turn(struct filehash *h, struct job *j, void *buffer, struct hashed *ret, uint64_t *ret_bytes)
{
	uint64_t before;
	int r;

	*ret = (struct hashed){};
	*ret_bytes = 0;
	if (!j->hashing) {
		r = look(h, j, ret);
		if (r == 0)
			return 0;
	}
	before = hashing_bytes(j->hashing);
	r = hashing_slice(j->hashing, buffer, BUFFER_BYTES, SLICE_BYTES);
	*ret_bytes = hashing_bytes(j->hashing) - before;
	*ret = *hashing_result(j->hashing);
	return r;
}

static void *worker(void *arg)
{
	_cleanup_free_ void *buffer = malloc(BUFFER_BYTES);
	struct filehash *h = arg;
	struct hashed result;
	struct job *j;
	uint64_t bytes;
	bool first;
	int r;

	pthread_mutex_lock(&h->lock);
	while (!h->stop) {
		if (!h->rotation) {
			pthread_cond_wait(&h->work, &h->lock);
			continue;
		}
		j = dequeue(h);
		first = !j->hashing;
		pthread_mutex_unlock(&h->lock);
		r = turn(h, j, buffer, &result, &bytes);
		pthread_mutex_lock(&h->lock);
		h->stats.bytes += bytes;
		h->stats.misses += first && bytes > 0;
		if (r > 0) {
			enqueue(h, j);
			continue;
		}
		if (j->hashing)
			remember(h, j->hashing);
		finished(h, j, &result);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}
