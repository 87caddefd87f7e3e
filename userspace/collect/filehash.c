/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/filehash.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <utlist.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/limit.h"
#include "base/priority.h"
#include "base/thread.h"
#include "collect/hashcache.h"
#include "collect/hashing.h"
#include "collect/hashqueue.h"
#include "collect/unmounts.h"

/*
 * A few milliseconds without SHA instructions: how long a large file keeps a worker from the next
 * session.
 */
#define SLICE_BYTES (1u << 20)
#define BUFFER_BYTES (256u << 10) /* fits into a core's second-level cache */

/*
 * A turn that takes longer is stuck in the filesystem, which can be an agent's doing. Its session
 * waits until it comes back, and another thread takes the place of the worker, within bounds.
 */
#define STUCK_NS 2000000000ull
#define SPARE_WORKERS 8
#define RETRY_NS 5000000000ull
#define STOP_NS CLOCK_SECOND_NS /* longer than a turn takes that is not stuck */
#define COLLECTED_MAX 512 /* at once: the rest goes on being told of */

struct worker {
	struct filehash *owner;
	pthread_t thread;
	struct hashsession *busy; /* with a job of this session ... */
	uint64_t since_ns;        /* ... since then */
	bool stuck;
	bool ended; /* joined */
};

struct filehash {
	struct filehash_config config;
	struct hashing_config hashing;
	int event_fd;
	pthread_mutex_t lock; /* all that follows */
	pthread_cond_t work;
	bool stop;
	struct hashqueue queue;
	struct hashjob *done;
	struct hashcache *by_id;  /* the kernel's identity ... */
	struct hashcache *by_key; /* ... and user space's are never mixed */
	struct unmounts *unmounts; /* NULL: nothing is remembered, */
	uint64_t unmounts_ns;      /* and this was tried last */
	struct object_epoch epoch;
	struct filehash_stats stats;
	unsigned int started;
	struct worker workers[];
};

static void *work(void *arg);

static void job_free(struct hashjob *j)
{
	hashing_free(j->hashing);
	closep(&j->in.fd);
	if (j->in.open)
		j->in.opener_free(j->in.opener);
	free(j);
}

static int start_worker(struct filehash *h)
{
	struct worker *w = &h->workers[h->started];
	int r;

	w->owner = h;
	r = thread_start(&w->thread, work, w);
	if (r == 0)
		h->started++;
	return limit_as(r, -EAGAIN, LIMIT_THREADS);
}

static int start_workers(struct filehash *h)
{
	int r = 0;

	pthread_mutex_lock(&h->lock);
	while (h->started < h->config.workers && r == 0)
		r = start_worker(h);
	pthread_mutex_unlock(&h->lock);
	return r;
}

/* Without it nothing is remembered: tried now and then. The lock is held, or nobody else is here. */
static void watch_unmounts(struct filehash *h)
{
	uint64_t now = clock_ns(CLOCK_BOOTTIME);

	if (h->unmounts || (h->unmounts_ns && now < h->unmounts_ns + RETRY_NS))
		return;
	h->unmounts_ns = now;
	(void)unmounts_new(&h->unmounts);
}

int filehash_new(const struct filehash_config *config, struct filehash **ret)
{
	struct filehash *h;
	int r;

	if (config->workers == 0 || !config->identify)
		return -EINVAL;
	h = calloc(1, sizeof(*h) + (config->workers + SPARE_WORKERS) * sizeof(*h->workers));
	if (!h)
		return -ENOMEM;
	h->config = *config;
	h->hashing = (struct hashing_config){
		.size_max = config->size_max,
		.identify = config->identify,
		.identify_context = config->identify_context,
		.mounts = config->mounts,
		.lasting = true,
	};
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->work, NULL);
	object_epoch_init(&h->epoch);
	watch_unmounts(h);
	h->stats.max = config->cache_max;
	h->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = h->event_fd < 0 ? -errno : 0;
	r = r ?: hashcache_new(sizeof(struct object_id), config->cache_max, &h->by_id);
	r = r ?: hashcache_new(sizeof(struct hashing_key), config->cache_max, &h->by_key);
	r = r ?: start_workers(h);
	if (r < 0) {
		filehash_free(h);
		return r;
	}
	*ret = h;
	return 0;
}

bool filehash_stop(struct filehash *h)
{
	uint64_t until_ns = clock_ns(CLOCK_MONOTONIC) + STOP_NS;
	bool all = true;

	pthread_mutex_lock(&h->lock);
	h->stop = true;
	pthread_cond_broadcast(&h->work);
	pthread_mutex_unlock(&h->lock);
	for (unsigned int i = 0; i < h->started; i++) {
		struct worker *w = &h->workers[i];

		w->ended = w->ended || thread_join(w->thread, until_ns);
		all &= w->ended;
	}
	return all;
}

void filehash_free(struct filehash *h)
{
	struct hashjob *j, *next;

	if (!h || !filehash_stop(h))
		return;
	hashqueue_clear(&h->queue, job_free);
	DL_FOREACH_SAFE (h->done, j, next)
		job_free(j);
	hashcache_free(h->by_id);
	hashcache_free(h->by_key);
	unmounts_free(h->unmounts);
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

static void forget_device(void *filehash, uint32_t device)
{
	struct filehash *h = filehash;

	hashcache_drop_device(h->by_id, device);
	hashcache_drop_device(h->by_key, device);
}

/*
 * Forgetting all is what it costs when somebody sets the clock: old change times can come again.
 * Where a filesystem went away, all can come again on the next one.
 */
static void look_around(struct filehash *h)
{
	unmounts_look(h->unmounts, forget_device, h);
	if (!object_epoch_update(&h->epoch))
		return;
	hashcache_clear(h->by_id);
	hashcache_clear(h->by_key);
}

static void deliver(struct filehash *h, struct hashjob *j, const struct file_digest *digest)
{
	const uint64_t one = 1;

	j->digest = *digest;
	j->finished_ns = clock_ns(CLOCK_BOOTTIME);
	closep(&j->in.fd);
	j->in.fd = -1;
	if (!h->done && write(h->event_fd, &one, sizeof(one)) < 0)
		j->digest.state = HASH_STATE_UNREADABLE; /* can't be: the counter is at 0 */
	DL_APPEND(h->done, j);
}

static void finished(struct filehash *h, struct hashjob *j, const struct file_digest *digest)
{
	enum hash_state state = digest->state;
	struct hashjob *list, *next;

	/*
	 * One that did not get hold of the object (its descriptor was of another one) says nothing
	 * about it: the next one tries with its own.
	 */
	list = hashqueue_end(&h->queue, j,
			     state != HASH_STATE_CHANGED && state != HASH_STATE_UNREADABLE);
	pthread_cond_signal(&h->work);
	deliver(h, j, digest);
	DL_FOREACH_SAFE (list, j, next)
		deliver(h, j, digest);
}

static void remember(struct filehash *h, const struct hashing *hashing)
{
	struct file_digest known = *hashing_result(hashing);
	struct object_id id;

	known.moved = false; /* that is, from what another job wanted */
	if (!hashing_facts(hashing) ||
	    (!hashing_lasting(hashing, true) && !hashing_lasting(hashing, false)))
		return;
	watch_unmounts(h);
	id = hashqueue_key(object_counted(hashing_facts(hashing)));
	if (unmounts_watch(h->unmounts, hashing_fd(hashing), id.device) < 0)
		return;
	/* No room is no harm: it is hashed again. */
	if (hashing_lasting(hashing, true))
		(void)hashcache_put(h->by_id, &id, &known);
	if (hashing_lasting(hashing, false))
		(void)hashcache_put(h->by_key, hashing_user_key(hashing), &known);
}

static bool known_by_id(struct filehash *h, const struct object_facts *object,
			struct file_digest *ret)
{
	struct object_id key = hashqueue_key(object_counted(object));

	look_around(h);
	if (!hashcache_get(h->by_id, &key, ret))
		return false;
	h->stats.hits++;
	return true;
}

/* Called with every new job: who waits in vain is noticed when somebody comes. */
static void look_at_workers(struct filehash *h)
{
	uint64_t now = clock_ns(CLOCK_BOOTTIME);
	unsigned int stuck = 0;

	for (unsigned int i = 0; i < h->started; i++) {
		struct worker *w = &h->workers[i];

		stuck += w->stuck;
		if (!w->busy || w->stuck || now - w->since_ns < STUCK_NS)
			continue;
		stuck++;
		w->stuck = true;
		w->busy->stuck++;
		if (h->started < h->config.workers + SPARE_WORKERS)
			(void)start_worker(h);
	}
	if (stuck == h->config.workers + SPARE_WORKERS)
		limit_met(LIMIT_STUCK);
}

int filehash_submit(struct filehash *h, const struct filehash_job *job)
{
	struct file_digest known = {.state = HASH_STATE_DISABLED};
	struct hashjob *j = calloc(1, sizeof(*j));
	bool answered;
	int r;

	if (!j) {
		if (job->open)
			job->opener_free(job->opener);
		else
			close(job->fd);
		return -ENOMEM;
	}
	j->in = *job;
	if (j->in.open)
		j->in.fd = -1;

	pthread_mutex_lock(&h->lock);
	answered = h->config.disabled || (j->in.has_want && known_by_id(h, &j->in.want, &known));
	r = hashqueue_add(&h->queue, j, h->config.queue_max, h->config.queue_total, answered);
	if (r == 0 && answered)
		deliver(h, j, &known);
	pthread_cond_signal(&h->work);
	look_at_workers(h);
	pthread_mutex_unlock(&h->lock);
	if (r < 0)
		job_free(j);
	return r;
}

bool filehash_cached(struct filehash *h, const struct object_facts *object,
		     struct file_digest *ret)
{
	bool found;

	pthread_mutex_lock(&h->lock);
	found = known_by_id(h, object, ret);
	pthread_mutex_unlock(&h->lock);
	return found;
}

int filehash_collect(struct filehash *h, uint64_t before_ns,
		     void (*done)(void *data, uint64_t token, const struct file_digest *digest),
		     void *data)
{
	struct hashjob *list = NULL, *j, *next;
	uint64_t count;
	int taken = 0, n = 0;

	pthread_mutex_lock(&h->lock);
	DL_FOREACH_SAFE (h->done, j, next) {
		if (j->finished_ns >= before_ns || taken++ == COLLECTED_MAX)
			break; /* so are those behind it; or there are more than a turn takes */
		DL_DELETE(h->done, j);
		DL_APPEND(list, j);
		hashqueue_release(&h->queue, j);
	}
	if (list && !h->done && read(h->event_fd, &count, sizeof(count)) < 0)
		count = 0; /* it is not read for its value */
	pthread_mutex_unlock(&h->lock);

	DL_FOREACH_SAFE (list, j, next) {
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
	ret->queued = h->queue.queued;
	ret->entries = hashcache_count(h->by_id) + hashcache_count(h->by_key);
	pthread_mutex_unlock(&h->lock);
}

/* ---- workers ---- */

static bool known_by_key(struct filehash *h, const struct hashing *hashing,
			 const struct hashing_key *key, struct file_digest *ret)
{
	bool found;

	if (!key)
		return false;
	pthread_mutex_lock(&h->lock);
	look_around(h);
	found = hashcache_get(h->by_key, key, ret) && hashing_recognise(hashing, ret);
	h->stats.hits += found;
	pthread_mutex_unlock(&h->lock);
	return found;
}

static int conclude(struct file_digest *ret, enum hash_state state)
{
	*ret = (struct file_digest){.state = state};
	return 0;
}

/* The first turn of a job: 0: *ret is the answer, without reading; 1: it is to be read. */
static int look(struct filehash *h, struct hashjob *j, struct file_digest *ret)
{
	int r;

	if (j->in.open) {
		j->in.fd = j->in.open(j->in.opener);
		if (j->in.fd < 0)
			return conclude(ret, j->in.fd == -ESRCH ? HASH_STATE_TOO_LATE
								: HASH_STATE_UNREADABLE);
	}
	r = hashing_new(&h->hashing, TAKE_FD(j->in.fd), j->in.has_want ? &j->in.want : NULL,
			&j->hashing);
	if (r < 0)
		return conclude(ret, HASH_STATE_UNREADABLE);
	if (j->in.verity)
		hashing_allow_verity(j->hashing);
	if (known_by_key(h, j->hashing, hashing_peek(j->hashing), ret))
		return 0;
	r = hashing_look(j->hashing);
	if (r == 0) {
		*ret = *hashing_result(j->hashing);
		return 0;
	}
	return known_by_key(h, j->hashing, hashing_user_key(j->hashing), ret) ? 0 : 1;
}

/* 0: *ret is the answer; 1: another turn. */
static int turn(struct filehash *h, struct hashjob *j, void *buffer, struct file_digest *ret,
		uint64_t *ret_bytes)
{
	uint64_t before;
	int r;

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

static void begin_turn(struct worker *w, const struct hashjob *j)
{
	w->busy = j->session;
	w->since_ns = clock_ns(CLOCK_BOOTTIME);
}

static void end_turn(struct worker *w)
{
	if (w->stuck) {
		w->busy->stuck--;
		w->stuck = false;
		pthread_cond_broadcast(&w->owner->work); /* its session may go on */
	}
	w->busy = NULL;
}

static void *work(void *arg)
{
	_cleanup_free_ void *buffer = malloc(BUFFER_BYTES);
	struct worker *w = arg;
	struct filehash *h = w->owner;
	struct file_digest result;
	struct hashjob *j;
	uint64_t bytes;
	bool first;
	int r;

	priority_lower();
	pthread_mutex_lock(&h->lock);
	while (!h->stop) {
		j = hashqueue_next(&h->queue);
		if (!j) {
			pthread_cond_wait(&h->work, &h->lock);
			continue;
		}
		first = !j->hashing;
		begin_turn(w, j);
		pthread_mutex_unlock(&h->lock);
		r = turn(h, j, buffer, &result, &bytes);
		pthread_mutex_lock(&h->lock);
		end_turn(w);
		h->stats.bytes += bytes;
		h->stats.misses += first && bytes > 0;
		if (r > 0) {
			hashqueue_again(&h->queue, j);
			pthread_cond_signal(&h->work);
			continue;
		}
		if (j->hashing)
			remember(h, j->hashing);
		finished(h, j, &result);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}
