/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/manifest.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utlist.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/merkle.h"
#include "base/priority.h"
#include "base/thread.h"
#include "collect/manifestwalk.h"

#define STOP_NS CLOCK_SECOND_NS /* longer than a worker takes to notice that it is to stop */

struct job {
	uint64_t token;
	struct credentials credentials;
	struct manifest manifest;
	int *fds; /* of manifest.paths */
	struct job *prev, *next;
};

struct manifests {
	struct manifests_config config;
	int event_fd;
	atomic_bool stop;
	pthread_mutex_t lock; /* all that follows */
	pthread_cond_t work;
	struct job *waiting;
	struct job *done;
	unsigned int started;
	struct {
		pthread_t thread;
		bool ended; /* joined */
	} workers[];
};

static void *work(void *arg);

static void job_free(struct job *j)
{
	struct manifest *m;

	if (!j)
		return;
	m = &j->manifest;
	for (size_t i = 0; i < m->paths_count; i++) {
		free(m->paths[i].name);
		closep(&j->fds[i]);
	}
	for (size_t i = 0; i < m->files_count; i++)
		free(m->files[i].path);
	free(m->paths);
	free(m->files);
	free(j->fds);
	free(j);
}

int manifests_new(const struct manifests_config *config, struct manifests **ret)
{
	struct manifests *m;
	int r = 0;

	if (config->workers == 0)
		return -EINVAL;
	m = calloc(1, sizeof(*m) + config->workers * sizeof(*m->workers));
	if (!m)
		return -ENOMEM;
	m->config = *config;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->work, NULL);
	m->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->event_fd < 0)
		r = -errno;
	while (r == 0 && m->started < config->workers) {
		r = thread_start(&m->workers[m->started].thread, work, m);
		m->started += r == 0;
	}
	if (r < 0) {
		manifests_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

bool manifests_stop(struct manifests *m)
{
	uint64_t until_ns = clock_ns(CLOCK_MONOTONIC) + STOP_NS;
	bool all = true;

	pthread_mutex_lock(&m->lock);
	m->stop = true;
	pthread_cond_broadcast(&m->work);
	pthread_mutex_unlock(&m->lock);
	for (unsigned int i = 0; i < m->started; i++) {
		bool *ended = &m->workers[i].ended;

		*ended = *ended || thread_join(m->workers[i].thread, until_ns);
		all &= *ended;
	}
	return all;
}

void manifests_free(struct manifests *m)
{
	struct job *j, *next;

	if (!m || !manifests_stop(m))
		return;
	DL_FOREACH_SAFE (m->waiting, j, next)
		job_free(j);
	DL_FOREACH_SAFE (m->done, j, next)
		job_free(j);
	closep(&m->event_fd);
	pthread_cond_destroy(&m->work);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

int manifests_fd(const struct manifests *m)
{
	return m->event_fd;
}

struct named {
	const char *name;
	int fd;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

/* @named is sorted. */
static struct job *job_new(const struct manifest_job *in, const struct named *named)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->token = in->token;
	j->credentials = in->credentials;
	j->manifest.paths = calloc(in->count ?: 1, sizeof(*j->manifest.paths));
	j->fds = calloc(in->count ?: 1, sizeof(*j->fds));
	if (!j->manifest.paths || !j->fds) {
		job_free(j);
		return NULL;
	}
	for (size_t i = 0; i < in->count; i++) {
		j->manifest.paths[i].name = strdup(named[i].name);
		j->fds[i] = -1;
		j->manifest.paths_count++;
		if (!j->manifest.paths[i].name) {
			job_free(j);
			return NULL;
		}
	}
	/* From here on they are the job's. */
	for (size_t i = 0; i < in->count; i++)
		j->fds[i] = named[i].fd;
	return j;
}

static int job_from(const struct manifest_job *in, struct job **ret)
{
	_cleanup_free_ struct named *named = calloc(in->count ?: 1, sizeof(*named));
	struct job *j;

	if (!named)
		return -ENOMEM;
	for (size_t i = 0; i < in->count; i++)
		named[i] = (struct named){in->names[i], in->fds[i]};
	qsort(named, in->count, sizeof(*named), by_name);
	for (size_t i = 1; i < in->count; i++)
		if (strcmp(named[i - 1].name, named[i].name) == 0)
			return -EINVAL;
	j = job_new(in, named);
	if (!j)
		return -ENOMEM;
	*ret = j;
	return 0;
}

int manifests_submit(struct manifests *m, const struct manifest_job *job)
{
	struct job *j;
	int r = job_from(job, &j);

	if (r < 0) {
		for (size_t i = 0; i < job->count; i++)
			close(job->fds[i]);
		return r;
	}
	pthread_mutex_lock(&m->lock);
	DL_APPEND(m->waiting, j);
	pthread_cond_signal(&m->work);
	pthread_mutex_unlock(&m->lock);
	return 0;
}

int manifests_collect(struct manifests *m,
		      void (*done)(void *data, uint64_t token, const struct manifest *manifest),
		      void *data)
{
	struct job *list, *j, *next;
	uint64_t count;
	int n = 0;

	pthread_mutex_lock(&m->lock);
	list = TAKE_PTR(m->done);
	if (list && read(m->event_fd, &count, sizeof(count)) < 0)
		count = 0; /* it is not read for its value */
	pthread_mutex_unlock(&m->lock);
	DL_FOREACH_SAFE (list, j, next) {
		done(data, j->token, &j->manifest);
		job_free(j);
		n++;
	}
	return n;
}

/* ---- workers ---- */

static int root_of(const struct manifest_list *list, struct sha256 *ret)
{
	struct merkle tree = {};
	struct sha256 leaf;
	int r = 0;

	for (size_t i = 0; i < list->count && r == 0; i++)
		r = manifest_leaf(&list->files[i], &leaf) ?: merkle_append(&tree, &leaf);
	return r ?: merkle_root(&tree, ret);
}

/* Moves the first entries over, as far as there is room. */
static void list_files(struct manifest *m, struct manifest_list *list, unsigned int of, size_t max)
{
	size_t n = max - m->files_count < list->count ? max - m->files_count : list->count;
	struct manifest_file *files;

	files = reallocarray(m->files, m->files_count + n ?: 1, sizeof(*files));
	if (!files)
		return; /* they are a convenience: all entries are under the root */
	m->files = files;
	for (size_t i = 0; i < n; i++) {
		m->files[m->files_count] = list->files[i];
		m->files[m->files_count++].of = of;
		list->files[i].path = NULL;
	}
}

static void measure_path(const struct manifests *m, struct job *j, size_t i,
			 struct manifest_budget *budget)
{
	struct manifest_path *p = &j->manifest.paths[i];
	struct manifest_list list;

	p->state = manifest_walk(TAKE_FD(j->fds[i]), budget, &list);
	if (p->state == HASH_STATE_OBSERVED) {
		p->entries = list.count;
		j->manifest.entries += list.count;
		if (root_of(&list, &p->root) < 0)
			p->state = HASH_STATE_UNREADABLE;
		else
			list_files(&j->manifest, &list, i, m->config.files_max);
	}
	manifest_list_free(&list);
}

static int append_path(struct merkle *tree, const struct manifest_path *p)
{
	static const char domain[] = "affiant/manifest-path/v1";
	const size_t name_len = strlen(p->name);
	const uint32_t be_len = htonl(name_len);
	const uint64_t entries = htobe64(p->entries);
	_cleanup_free_ uint8_t *data = malloc(sizeof(domain) + 12 + name_len + SHA256_SIZE);
	struct sha256 leaf;
	uint8_t *at;

	if (!data)
		return -ENOMEM;
	at = mempcpy(data, domain, sizeof(domain));
	at = mempcpy(at, &be_len, 4);
	at = mempcpy(at, p->name, name_len);
	at = mempcpy(at, &entries, 8);
	at = mempcpy(at, &p->root, SHA256_SIZE);
	return merkle_leaf(data, at - data, &leaf) ?: merkle_append(tree, &leaf);
}

static void measure_all(const struct manifests *m, struct job *j, struct manifest_budget *budget)
{
	struct manifest *all = &j->manifest;
	struct merkle tree = {};
	int r = 0;

	all->state = HASH_STATE_OBSERVED;
	for (size_t i = 0; i < all->paths_count; i++) {
		measure_path(m, j, i, budget);
		if (all->state == HASH_STATE_OBSERVED)
			all->state = all->paths[i].state;
	}
	if (all->state != HASH_STATE_OBSERVED)
		return;
	for (size_t i = 0; i < all->paths_count && r == 0; i++)
		r = append_path(&tree, &all->paths[i]);
	if (r < 0 || merkle_root(&tree, &all->root) < 0)
		all->state = HASH_STATE_UNREADABLE;
}

static uint64_t deadline(uint64_t after_ns)
{
	return after_ns ? clock_ns(CLOCK_MONOTONIC) + after_ns : UINT64_MAX;
}

static void run(struct manifests *m, struct job *j)
{
	struct manifest_budget budget = {
		.entries = m->config.entries_max,
		.bytes = m->config.bytes_max,
		.depth = m->config.depth_max,
		.until_ns = deadline(m->config.time_max_ns),
		.stop = &m->stop,
		.identify = m->config.identify,
		.identify_context = m->config.identify_context,
		.mounts = m->config.mounts,
	};
	struct credentials_saved saved;

	if (credentials_assume(&j->credentials, &saved) < 0) {
		j->manifest.state = HASH_STATE_UNREADABLE;
		for (size_t i = 0; i < j->manifest.paths_count; i++)
			j->manifest.paths[i].state = HASH_STATE_UNREADABLE;
		return;
	}
	measure_all(m, j, &budget);
	credentials_restore(&saved);
}

static void *work(void *arg)
{
	struct manifests *m = arg;
	const uint64_t one = 1;
	struct job *j;

	priority_lower();
	pthread_mutex_lock(&m->lock);
	while (!m->stop) {
		j = m->waiting;
		if (!j) {
			pthread_cond_wait(&m->work, &m->lock);
			continue;
		}
		DL_DELETE(m->waiting, j);
		pthread_mutex_unlock(&m->lock);
		run(m, j);
		pthread_mutex_lock(&m->lock);
		if (!m->done && write(m->event_fd, &one, sizeof(one)) < 0)
			m->stop = true; /* can't be: the counter is at 0 */
		DL_APPEND(m->done, j);
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}
