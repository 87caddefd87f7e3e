/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/handout.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utlist.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/effort.h"
#include "base/priority.h"
#include "base/thread.h"
#include "daemon/handout_log.h"
#include "daemon/handout_stream.h"

enum stage { QUEUED, SURVEYED, SENT, OVER };

/* From its beginning until its reader is done and the loop has told its asker. */
struct job {
	struct job *prev, *next;
	struct handout_request request;
	unsigned int rank; /* how many of its session waited before it */
	enum stage stage;  /* the thread's, once it has taken it */
	bool told;         /* and this: the loop's, under the lock */
	struct handout_log logs[MEASURE_LOGS];
	size_t log; /* being surveyed */
	struct handout_stream *stream;
	/* for the loop */
	int err, fd;
	uint64_t size;
	bool ready;
};

struct handout {
	pthread_t thread;
	pthread_mutex_t lock;
	int root, wake, done; /* eventfds: for the thread, for the loop */
	bool stop;
	uint64_t timeout_ns;
	struct job *jobs; /* in the order in which they came */
	bool crowded;     /* somebody may have to make room for one that waits */
	struct handout_survey *survey;
};

static void job_free(struct job *j)
{
	free(j->request.head);
	free(j->request.tail);
	handout_stream_free(j->stream);
	closep(&j->fd);
	free(j);
}

static void ring(int fd)
{
	const uint64_t one = 1;

	/* It only fails where it rings already. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

static void hush(int fd)
{
	uint64_t count;

	if (effort_read(fd, &count, sizeof(count)) < 0)
		return;
}

/* ---- the thread; under the lock but for what takes time ---- */

static void finish(struct job *j)
{
	handout_stream_free(j->stream);
	j->stream = NULL;
	j->stage = OVER;
}

/* The sessions that are served now. Thousands can wait: they are looked at once. */
struct served {
	uint64_t sessions[HANDOUT_STREAMS_MAX];
	size_t count;
};

static void find_served(const struct handout *h, struct served *ret)
{
	const struct job *j;

	ret->count = 0;
	DL_FOREACH (h->jobs, j)
		if (j->stage == SURVEYED || j->stage == SENT)
			ret->sessions[ret->count++] = j->request.session;
}

static bool is_served(const struct served *of, uint64_t session)
{
	for (size_t i = 0; i < of->count; i++)
		if (of->sessions[i] == session)
			return true;
	return false;
}

/* Of each session the first one before any second: who queues many keeps nobody waiting by that. */
static struct job *first_waiting(struct handout *h, const struct served *served)
{
	struct job *j, *first = NULL;

	DL_FOREACH (h->jobs, j)
		if (j->stage == QUEUED && (!first || j->rank < first->rank) &&
		    !is_served(served, j->request.session))
			first = j;
	return first;
}

/* Somebody else waits: the reader that has taken nothing for longest goes. */
static bool make_room(struct handout *h)
{
	uint64_t before_ns = clock_ns(CLOCK_MONOTONIC) - HANDOUT_IDLE_S * CLOCK_SECOND_NS;
	struct job *j, *idle = NULL;

	DL_FOREACH (h->jobs, j)
		if (j->stage == SENT && j->told && j->stream->moved_ns < before_ns &&
		    (!idle || j->stream->moved_ns < idle->stream->moved_ns))
			idle = j;
	if (idle)
		finish(idle);
	return idle;
}

/* One of each session, so many of all. */
static struct job *next_to_begin(struct handout *h)
{
	struct served served;
	struct job *next;

	find_served(h, &served);
	next = first_waiting(h, &served);
	h->crowded = next && served.count == HANDOUT_STREAMS_MAX;
	return !h->crowded || make_room(h) ? next : NULL;
}

/* Its logs are looked through one job after another. */
static struct job *being_surveyed(struct handout *h)
{
	struct job *j;

	DL_FOREACH (h->jobs, j)
		if (j->stage == SURVEYED)
			return j;
	j = next_to_begin(h);
	if (!j)
		return NULL;
	j->stage = SURVEYED;
	handout_survey_begin(h->survey, 0, j->request.ima_from);
	return j;
}

/* The loop tells its asker; @fd is the asker's. */
static void tell(struct handout *h, struct job *j, int err, int fd)
{
	j->err = err;
	j->fd = fd;
	j->size = j->stream ? j->stream->size : 0;
	j->ready = true;
	ring(h->done);
}

static int begin_stream(struct handout *h, struct job *j)
{
	int err = handout_stream_new(h->root, &j->request, j->logs, &j->stream);
	int fd = err ?: handout_stream_open(j->stream);

	if (fd >= 0) {
		j->stream->moved_ns = clock_ns(CLOCK_MONOTONIC);
		j->stream->deadline_ns = clock_ns(CLOCK_MONOTONIC) + h->timeout_ns +
					 j->stream->size / HANDOUT_BYTES_PER_S * CLOCK_SECOND_NS;
	}
	return fd;
}

/* Nobody else touches what is in @j while it is surveyed. */
static void survey(struct handout *h, struct job *j)
{
	int r, fd;

	pthread_mutex_unlock(&h->lock);
	r = handout_survey_step(h->survey, &j->logs[j->log]);
	if (r > 0 && ++j->log < MEASURE_LOGS) {
		handout_survey_begin(h->survey, j->log, j->request.ima_from);
		r = 0;
	}
	fd = r > 0 ? begin_stream(h, j) : r;
	pthread_mutex_lock(&h->lock);
	if (r == 0)
		return;
	tell(h, j, fd < 0 ? fd : 0, fd < 0 ? -1 : fd);
	if (fd < 0)
		finish(j);
	else
		j->stage = SENT;
}

/* Waits until a reader has room, a job comes, or a reader's time is over. */
static void wait_for_work(struct handout *h, bool busy)
{
	struct pollfd fds[1 + HANDOUT_STREAMS_MAX] = {{.fd = h->wake, .events = POLLIN}};
	uint64_t now = clock_ns(CLOCK_MONOTONIC), next = UINT64_MAX;
	struct job *j;
	nfds_t count = 1;
	int ms = -1;

	if (h->crowded)
		next = now + HANDOUT_IDLE_S * CLOCK_SECOND_NS / 4;
	DL_FOREACH (h->jobs, j) {
		if (j->stage != SENT)
			continue;
		fds[count++] = (struct pollfd){.fd = j->stream->pipe, .events = POLLOUT};
		next = j->stream->deadline_ns < next ? j->stream->deadline_ns : next;
	}
	if (busy)
		ms = 0;
	else if (next != UINT64_MAX)
		ms = next > now ? (int)((next - now) / 1000000) + 1 : 0;
	pthread_mutex_unlock(&h->lock);
	(void)poll(fds, count, ms);
	pthread_mutex_lock(&h->lock);
	if (fds[0].revents)
		hush(h->wake);
}

/* Whoever takes nothing of what is there goes when his time is over. */
static void send_all(struct handout *h)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	struct job *j, *next;

	DL_FOREACH_SAFE (h->jobs, j, next) {
		int r;

		if (j->stage != SENT)
			continue;
		pthread_mutex_unlock(&h->lock);
		r = handout_stream_step(j->stream, now);
		pthread_mutex_lock(&h->lock);
		if (r || now >= j->stream->deadline_ns)
			finish(j);
	}
	DL_FOREACH_SAFE (h->jobs, j, next) {
		if (j->stage != OVER || !j->told)
			continue;
		DL_DELETE(h->jobs, j);
		job_free(j);
	}
}

static void *work(void *handout)
{
	struct handout *h = handout;
	struct job *j;

	priority_lower();
	pthread_mutex_lock(&h->lock);
	while (!h->stop) {
		j = being_surveyed(h);
		if (j)
			survey(h, j);
		wait_for_work(h, j);
		send_all(h);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

/* ---- the loop ---- */

int handout_begin(struct handout *h, const struct handout_request *request)
{
	struct job *j = calloc(1, sizeof(*j)), *other;
	size_t queued = 0;

	if (!j) {
		free(request->head);
		free(request->tail);
		return -ENOMEM;
	}
	j->request = *request;
	j->fd = -1;
	pthread_mutex_lock(&h->lock);
	DL_FOREACH (h->jobs, other)
		queued += other->stage == QUEUED && other->request.session == request->session;
	j->rank = queued;
	if (queued < HANDOUT_QUEUE_MAX)
		DL_APPEND(h->jobs, j);
	pthread_mutex_unlock(&h->lock);
	if (queued >= HANDOUT_QUEUE_MAX) {
		job_free(j);
		return -EBUSY;
	}
	ring(h->wake);
	return 0;
}

/* What there is to tell, one at a time: who is told may begin another. */
static bool take_ready(struct handout *h, handout_fn *ret_fn, struct job *ret)
{
	struct job *j;

	pthread_mutex_lock(&h->lock);
	DL_FOREACH (h->jobs, j)
		if (j->ready && !j->told)
			break;
	if (j) {
		*ret_fn = j->request.fn;
		*ret = *j;
		j->fd = -1;
		j->told = true;
	}
	pthread_mutex_unlock(&h->lock);
	return j;
}

void handout_collect(struct handout *h)
{
	handout_fn fn;
	struct job told;

	hush(h->done);
	while (take_ready(h, &fn, &told))
		fn(told.request.data, told.err, told.fd, told.size);
	ring(h->wake); /* those that are over go */
}

int handout_fd(const struct handout *h)
{
	return h->done;
}

static int start(struct handout *h)
{
	int err;

	h->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	h->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->wake < 0 || h->done < 0)
		return -errno;
	err = handout_survey_new(h->root, &h->survey);
	if (err)
		return err;
	return thread_start(&h->thread, work, h);
}

static void clear(struct handout *h)
{
	struct job *j, *next;

	DL_FOREACH_SAFE (h->jobs, j, next)
		job_free(j);
	handout_survey_free(h->survey);
	closep(&h->wake);
	closep(&h->done);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

int handout_new(int root, uint64_t timeout_ns, struct handout **ret)
{
	struct handout *h = calloc(1, sizeof(*h));
	int err;

	if (!h)
		return -ENOMEM;
	h->root = root;
	h->timeout_ns = timeout_ns ?: HANDOUT_TIMEOUT_S * CLOCK_SECOND_NS;
	h->wake = h->done = -1;
	pthread_mutex_init(&h->lock, NULL);
	err = start(h);
	if (err) {
		clear(h);
		return err;
	}
	*ret = h;
	return 0;
}

void handout_free(struct handout *h)
{
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	h->stop = true;
	pthread_mutex_unlock(&h->lock);
	ring(h->wake);
	pthread_join(h->thread, NULL);
	clear(h);
}
