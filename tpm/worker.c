/* SPDX-License-Identifier: Apache-2.0 */
#include "tpm/worker.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <tss2/tss2_mu.h>
#include <utlist.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/priority.h"
#include "base/thread.h"
#include "tpm/engine.h"

#define QUEUE_MAX 1024

/*
 * How long until the next look for a TPM that is not there; twice as long each time. A request does
 * not wait.
 */
#define BACKOFF_FIRST_NS 100000000ull
#define BACKOFF_MAX_NS 5000000000ull
#define BACKOFF_UNUSABLE_NS 60000000000ull /* each look makes keys */

enum kind { QUOTE, ACTIVATE, ANCHOR };

struct job {
	struct job *prev, *next;
	enum kind kind;
	void *data;
	union {
		tpm_quote_done quote;
		tpm_activate_done activate;
		tpm_anchor_done anchor;
	} done;
	union {
		struct {
			uint8_t qualifying[32];
			bool increment;
		} sign;
		struct {
			TPM2B_ID_OBJECT credential;
			TPM2B_ENCRYPTED_SECRET secret;
		} activate;
	} in;
	int err;
	uint64_t counter;
	union {
		struct tpm_quoted quoted;
		TPM2B_DIGEST secret;
	} out;
};

struct tpm_worker {
	struct engine engine; /* the thread's own */
	pthread_t thread;
	bool started;
	int event_fd;
	int cancel_fd;
	pthread_mutex_t lock; /* all that follows */
	pthread_cond_t work;
	bool stop;
	struct job *queue, *done;
	struct tpm_status status;
	struct tpm_identity identity;
	bool known; /* the identity */
};

static void job_free(struct job *j)
{
	/* Secrets, and what to decrypt them with. */
	OPENSSL_cleanse(j, sizeof(*j));
	free(j);
}

static void wake(int fd)
{
	const uint64_t one = 1;

	/* A counter that is full is readable as well. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

static void unwake(int fd)
{
	uint64_t times;

	/* It may not be readable. */
	if (read(fd, &times, sizeof(times)) < 0)
		return;
}

static int identity_copy(const struct tpm_identity *from, struct tpm_identity *ret)
{
	struct tpm_identity i = *from;

	i.ek_chain_count = 0;
	for (size_t n = 0; n < from->ek_chain_count; n++) {
		uint8_t *data = malloc(from->ek_chain[n].len);

		if (!data) {
			tpm_identity_clear(&i);
			return -ENOMEM;
		}
		memcpy(data, from->ek_chain[n].data, from->ek_chain[n].len);
		i.ek_chain[i.ek_chain_count++] =
			(struct tpm_blob){.len = from->ek_chain[n].len, .data = data};
	}
	*ret = i;
	return 0;
}

void tpm_identity_clear(struct tpm_identity *i)
{
	for (size_t n = 0; n < i->ek_chain_count; n++)
		free(i->ek_chain[n].data);
	memset(i, 0, sizeof(*i));
}

static bool same_identity(const struct tpm_identity *a, const struct tpm_identity *b)
{
	return a->ak_name_len == b->ak_name_len &&
	       memcmp(a->ak_name, b->ak_name, a->ak_name_len) == 0 &&
	       a->ek_public_len == b->ek_public_len &&
	       memcmp(a->ek_public, b->ek_public, a->ek_public_len) == 0;
}

/* Under the lock, after each time the engine became ready. */
static void publish_identity(struct tpm_worker *w)
{
	struct tpm_identity copy;

	if (identity_copy(&w->engine.identity, &copy) < 0)
		return;
	if (!w->known || !same_identity(&copy, &w->identity))
		w->status.generation++;
	tpm_identity_clear(&w->identity);
	w->identity = copy;
	w->known = true;
}

static enum tpm_state state_of(const struct tpm_worker *w, int err)
{
	if (w->engine.ready && err != -EAGAIN)
		return TPM_READY;
	switch (err) {
	case -EAGAIN:
		return TPM_LOCKED_OUT;
	case -ENODEV:
	case -ETIMEDOUT:
	case -ECANCELED:
		return w->engine.opened ? TPM_LOST : TPM_STARTING;
	default:
		return TPM_UNUSABLE;
	}
}

/* Under the lock: what the thread did shows. */
static void publish(struct tpm_worker *w, uint64_t opened_before, int err)
{
	struct tpm_status *s = &w->status;
	const struct engine *g = &w->engine;

	if (g->opened != opened_before) {
		publish_identity(w);
		s->reconnects = g->opened - 1;
	}
	s->state = state_of(w, err);
	s->commands = g->context.commands;
	if (err)
		snprintf(s->error, sizeof(s->error), "%s", g->context.error);
	snprintf(s->notice, sizeof(s->notice), "%s", g->notice ?: "");
}

static int do_job(struct engine *g, struct job *j)
{
	switch (j->kind) {
	case QUOTE:
		return engine_quote(g, j->in.sign.qualifying, &j->out.quoted);
	case ACTIVATE:
		return engine_activate(g, &j->in.activate.credential, &j->in.activate.secret,
				       &j->out.secret);
	default:
		return engine_anchor(g, j->in.sign.increment, j->in.sign.qualifying, &j->counter,
				     &j->out.quoted);
	}
}

/* Under the lock. */
static void finish(struct tpm_worker *w, struct job *j, int err)
{
	j->err = err;
	if (err)
		w->status.failures++;
	else if (j->kind == QUOTE)
		w->status.quotes++;
	DL_APPEND(w->done, j);
	wake(w->event_fd);
}

static struct job *take(struct tpm_worker *w)
{
	struct job *j = w->queue;

	DL_DELETE(w->queue, j);
	w->status.queued--;
	return j;
}

/* Under the lock, which is let go meanwhile. */
static void serve_one(struct tpm_worker *w)
{
	uint64_t opened = w->engine.opened;
	struct job *j = take(w);
	int err;

	pthread_mutex_unlock(&w->lock);
	err = do_job(&w->engine, j);
	pthread_mutex_lock(&w->lock);
	publish(w, opened, err);
	finish(w, j, err);
	/* Who waits behind a request that found no TPM would each wait as long. */
	while (w->queue && (err == -ETIMEDOUT || err == -ENODEV))
		finish(w, take(w), err);
}

static void look(struct tpm_worker *w, uint64_t *backoff_ns)
{
	uint64_t opened = w->engine.opened, most;
	int err;

	pthread_mutex_unlock(&w->lock);
	err = engine_open(&w->engine);
	pthread_mutex_lock(&w->lock);
	publish(w, opened, err);
	most = w->status.state == TPM_UNUSABLE ? BACKOFF_UNUSABLE_NS : BACKOFF_MAX_NS;
	*backoff_ns = 2 * *backoff_ns < most ? 2 * *backoff_ns : most;
}

/* Under the lock: until there is work; false after @ns without. */
static bool wait_work(struct tpm_worker *w, uint64_t ns)
{
	const uint64_t until_ns = clock_ns(CLOCK_MONOTONIC) + ns;

	while (!w->queue && !w->stop)
		if (thread_wait(&w->work, &w->lock, until_ns) == -ETIMEDOUT)
			return false;
	return true;
}

static void *work(void *arg)
{
	struct tpm_worker *w = arg;
	uint64_t backoff_ns = BACKOFF_FIRST_NS;

	priority_lower();
	pthread_mutex_lock(&w->lock);
	look(w, &backoff_ns);
	while (!w->stop) {
		if (w->queue)
			serve_one(w);
		else if (w->engine.ready)
			pthread_cond_wait(&w->work, &w->lock);
		else if (!wait_work(w, backoff_ns))
			look(w, &backoff_ns);
		if (w->engine.ready)
			backoff_ns = BACKOFF_FIRST_NS;
	}
	pthread_mutex_unlock(&w->lock);
	/*
	 * What is ours in the TPM is flushed, unless that does not answer: not cancelled any more.
	 */
	unwake(w->cancel_fd);
	engine_close(&w->engine);
	return NULL;
}

static int start(struct tpm_worker *w)
{
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->work, NULL);
	w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return w->event_fd < 0 || w->cancel_fd < 0 ? -errno : 0;
}

static int start_thread(struct tpm_worker *w)
{
	int err = thread_start(&w->thread, work, w);

	w->started = !err;
	return err;
}

int tpm_worker_new(const struct tpm_config *config, struct tpm_worker **ret)
{
	struct tpm_worker *w;
	int err;

	if (!config->pcrs || config->pcrs >> TPM_PCRS || !config->timeout_ns)
		return -EINVAL;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->engine.context.timeout_ns = config->timeout_ns;
	w->engine.state_dir = config->state_dir;
	w->engine.kind = config->ek;
	w->engine.pcrs.selected = config->pcrs;
	err = start(w);
	err = err ?: tcti_new(config->tcti, w->cancel_fd, &w->engine.context.tcti);
	err = err ?: start_thread(w);
	if (err) {
		tpm_worker_free(w);
		return err;
	}
	*ret = w;
	return 0;
}

void tpm_worker_free(struct tpm_worker *w)
{
	struct job *j, *next;

	if (!w)
		return;
	if (w->started) {
		pthread_mutex_lock(&w->lock);
		w->stop = true;
		wake(w->cancel_fd);
		pthread_cond_signal(&w->work);
		pthread_mutex_unlock(&w->lock);
		pthread_join(w->thread, NULL);
	}
	DL_CONCAT(w->queue, w->done);
	DL_FOREACH_SAFE (w->queue, j, next)
		job_free(j);
	tpm_identity_clear(&w->identity);
	tcti_free(w->engine.context.tcti);
	closep(&w->event_fd);
	closep(&w->cancel_fd);
	pthread_cond_destroy(&w->work);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

int tpm_worker_fd(const struct tpm_worker *w)
{
	return w->event_fd;
}

static void call_back(const struct job *j)
{
	const struct tpm_quoted *quoted = j->err ? NULL : &j->out.quoted;

	switch (j->kind) {
	case QUOTE:
		j->done.quote(j->data, j->err, quoted);
		break;
	case ACTIVATE:
		j->done.activate(j->data, j->err, j->err ? NULL : j->out.secret.buffer,
				 j->err ? 0 : j->out.secret.size);
		break;
	case ANCHOR:
		j->done.anchor(j->data, j->err, j->err ? 0 : j->counter, quoted);
		break;
	}
}

int tpm_worker_collect(struct tpm_worker *w)
{
	struct job *done, *j, *next;
	int n = 0;

	/* Before the list is taken: what is finished behind that wakes anew. */
	unwake(w->event_fd);
	pthread_mutex_lock(&w->lock);
	done = TAKE_PTR(w->done);
	pthread_mutex_unlock(&w->lock);
	DL_FOREACH_SAFE (done, j, next) {
		call_back(j);
		job_free(j);
		n++;
	}
	return n;
}

static int submit(struct tpm_worker *w, const struct job *job)
{
	struct job *j = NULL;
	int err = -ENOBUFS;

	pthread_mutex_lock(&w->lock);
	if (w->status.queued < QUEUE_MAX) {
		j = malloc(sizeof(*j));
		err = j ? 0 : -ENOMEM;
	}
	if (j) {
		*j = *job;
		DL_APPEND(w->queue, j);
		w->status.queued++;
		pthread_cond_signal(&w->work);
	}
	pthread_mutex_unlock(&w->lock);
	return err;
}

int tpm_worker_quote(struct tpm_worker *w, const uint8_t qualifying[static 32], tpm_quote_done done,
		     void *data)
{
	struct job j = {.kind = QUOTE, .data = data, .done.quote = done};

	memcpy(j.in.sign.qualifying, qualifying, sizeof(j.in.sign.qualifying));
	return submit(w, &j);
}

int tpm_worker_activate(struct tpm_worker *w, const void *credential, size_t credential_len,
			const void *secret, size_t secret_len, tpm_activate_done done, void *data)
{
	struct job j = {.kind = ACTIVATE, .data = data, .done.activate = done};
	size_t used = 0, secret_used = 0;

	if (Tss2_MU_TPM2B_ID_OBJECT_Unmarshal(credential, credential_len, &used,
					      &j.in.activate.credential) ||
	    Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal(secret, secret_len, &secret_used,
						     &j.in.activate.secret) ||
	    used != credential_len || secret_used != secret_len)
		return -EBADMSG;
	return submit(w, &j);
}

int tpm_worker_anchor(struct tpm_worker *w, bool increment, const uint8_t qualifying[static 32],
		      tpm_anchor_done done, void *data)
{
	struct job j = {
		.kind = ANCHOR, .data = data, .done.anchor = done, .in.sign.increment = increment};

	memcpy(j.in.sign.qualifying, qualifying, sizeof(j.in.sign.qualifying));
	return submit(w, &j);
}

int tpm_worker_identity(struct tpm_worker *w, struct tpm_identity *ret)
{
	int err = -ENODEV;

	pthread_mutex_lock(&w->lock);
	if (w->known)
		err = identity_copy(&w->identity, ret);
	pthread_mutex_unlock(&w->lock);
	return err;
}

void tpm_worker_status(struct tpm_worker *w, struct tpm_status *ret)
{
	pthread_mutex_lock(&w->lock);
	*ret = w->status;
	pthread_mutex_unlock(&w->lock);
}
