/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/saver.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/priority.h"
#include "base/thread.h"

enum stage { IDLE, GIVEN, OVER };

struct saver {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum stage stage;
	bool stop;
	struct saver_job job;
	int ledger, err;
	size_t len;
};

static int replace(const struct saver_job *job, const uint8_t *data, size_t len)
{
	_cleanup_close_ int fd =
		openat(job->directory, job->beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int err;

	if (fd < 0)
		return -errno;
	err = file_write(fd, data, len);
	if (err)
		return err;
	if (fdatasync(fd) < 0 ||
	    renameat(job->directory, job->beside, job->directory, job->name) < 0)
		return -errno;
	/* What the file replaces goes next. Not every filesystem can do that to a directory. */
	return fsync(job->directory) < 0 && errno != EINVAL ? -errno : 0;
}

/* @job->message is gone then. */
static int pack_and_replace(const struct saver_job *job, int err, size_t *ret_len)
{
	uint8_t *data = NULL;
	int packed = job->pack(job->message, &data, ret_len);

	err = err ?: packed ?: replace(job, data, *ret_len);
	free(data);
	return err;
}

static void *work(void *saver)
{
	struct saver *s = saver;

	priority_lower();
	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (s->stage != GIVEN && !s->stop)
			pthread_cond_wait(&s->changed, &s->lock);
		if (s->stage != GIVEN)
			break;
		pthread_mutex_unlock(&s->lock);
		/* The job is this thread's alone until the stage changes. */
		s->ledger = fdatasync(s->job.ledger) < 0 ? -errno : 0;
		s->err = s->ledger;
		if (s->job.pack)
			s->err = pack_and_replace(&s->job, s->err, &s->len);
		pthread_mutex_lock(&s->lock);
		s->stage = OVER;
		pthread_cond_broadcast(&s->changed);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

int saver_new(struct saver **ret)
{
	struct saver *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	err = thread_start(&s->thread, work, s);
	if (err) {
		free(s);
		return err;
	}
	*ret = s;
	return 0;
}

static void job_end(struct saver *s)
{
	closep(&s->job.ledger);
	s->stage = IDLE;
}

void saver_free(struct saver *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	if (s->stage == OVER)
		job_end(s);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static enum stage stage_of(const struct saver *s)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&s->lock;
	enum stage stage;

	pthread_mutex_lock(lock);
	stage = s->stage;
	pthread_mutex_unlock(lock);
	return stage;
}

bool saver_busy(const struct saver *s)
{
	return stage_of(s) != IDLE;
}

void saver_start(struct saver *s, const struct saver_job *job)
{
	pthread_mutex_lock(&s->lock);
	s->job = *job;
	s->stage = GIVEN;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

bool saver_collect(struct saver *s, bool wait, int *ret_ledger, int *ret_err)
{
	bool over;

	pthread_mutex_lock(&s->lock);
	while (wait && s->stage == GIVEN)
		pthread_cond_wait(&s->changed, &s->lock);
	over = s->stage == OVER;
	if (over) {
		*ret_ledger = s->ledger;
		*ret_err = s->err;
		job_end(s);
	}
	pthread_mutex_unlock(&s->lock);
	return over;
}

size_t saver_length(const struct saver *s)
{
	return s->len;
}
