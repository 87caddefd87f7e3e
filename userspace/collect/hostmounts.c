/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/hostmounts.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/thread.h"
#include "collect/mounts.h"

/* More than any host has: what is beyond is not trusted. */
#define DEVICES_MAX 4096

/*
 * A tenth of a processor at most goes into it, and a list is a hundredth of a second old at least.
 */
#define PAUSE_MIN_NS 10000000ull
#define PAUSE_TIMES 9

#define STOP_NS 200000000ull
#define NAMESPACES 2

struct devices {
	size_t count;
	uint32_t at[DEVICES_MAX]; /* ascending, once all is read */
	bool cut;
};

struct lists {
	struct devices suid, idmapped; /* of process 1 */
	struct devices all, own;       /* of these those that no fusermount made */
};

struct namespace
{
	FILE *read; /* the thread's, which waits for it to change; */
	int look;   /* another of the same, for those that ask: poll(2) tells each file once */
};

struct hostmounts {
	pthread_t thread;
	unsigned int count;
	struct namespace of[NAMESPACES]; /* process 1's, and ours where that is another one */
	int wake;                        /* eventfd */
	pthread_mutex_t lock;            /* all that follows */
	pthread_cond_t fresh, ending;
	unsigned int references;
	bool stop, ended;
	bool stale;       /* something changed since it was read; */
	bool reading;     /* what is told is older than that: */
	uint64_t read_ns; /* when the thread began to read what is told now */
	struct lists *lists, *spare;
};

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Ascending, each once. */
static void settle(struct devices *d)
{
	size_t n = 0;

	qsort(d->at, d->count, sizeof(*d->at), compare);
	for (size_t i = 0; i < d->count; i++)
		if (!n || d->at[n - 1] != d->at[i])
			d->at[n++] = d->at[i];
	d->count = n;
}

static void add(struct devices *d, uint32_t device)
{
	/* Bind mounts of one filesystem come one after the other, by the thousand. */
	if (d->count && d->at[d->count - 1] == device)
		return;
	if (d->count == DEVICES_MAX)
		settle(d);
	if (d->count < DEVICES_MAX)
		d->at[d->count++] = device;
	else
		d->cut = true;
}

static bool has(const struct devices *d, uint32_t device)
{
	return bsearch(&device, d->at, d->count, sizeof(device), compare);
}

/* ---- the thread ---- */

static void read_one(FILE *f, bool first, struct lists *to)
{
	_cleanup_free_ char *text = NULL;
	struct mount_line line;
	size_t size = 0;

	rewind(f);
	while (getline(&text, &size, f) > 0) {
		uint32_t device;

		if (!mount_line_parse(text, &line))
			continue;
		device = line.major << 20 | line.minor;
		add(&to->all, device);
		if (strncmp(line.type, "fuse", 4))
			add(&to->own, device);
		if (first && line.idmapped)
			add(&to->idmapped, device);
		if (first && !line.nosuid)
			add(&to->suid, device);
	}
}

static void read_all(struct hostmounts *m, struct lists *to)
{
	struct devices *each[] = {&to->suid, &to->idmapped, &to->all, &to->own};

	for (size_t i = 0; i < sizeof(each) / sizeof(*each); i++) {
		each[i]->count = 0;
		each[i]->cut = false;
	}
	for (unsigned int i = 0; i < m->count; i++)
		read_one(m->of[i].read, i == 0, to);
	for (size_t i = 0; i < sizeof(each) / sizeof(*each); i++)
		settle(each[i]);
}

/* POLLERR and POLLPRI: something was mounted or unmounted since the last time (proc(5)). */
static bool has_changed(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLPRI};

	return poll(&p, 1, 0) > 0;
}

/* The lock is held. */
static bool is_stale(struct hostmounts *m)
{
	bool before = m->stale;

	for (unsigned int i = 0; i < m->count; i++)
		m->stale |= has_changed(m->of[i].look);
	if (m->stale && !before)
		(void)eventfd_write(m->wake, 1);
	return m->stale;
}

/* The lock is held, but not while it reads: then what was read before is told. */
static void renew(struct hostmounts *m)
{
	uint64_t began = clock_ns(CLOCK_BOOTTIME);
	struct lists *to = m->spare;

	/* From here on a change is one that may not be in it. */
	(void)is_stale(m);
	m->stale = false;
	m->reading = true;
	for (unsigned int i = 0; i < m->count; i++)
		(void)has_changed(fileno(m->of[i].read));
	pthread_mutex_unlock(&m->lock);
	read_all(m, to);
	pthread_mutex_lock(&m->lock);
	m->spare = m->lists;
	m->lists = to;
	m->read_ns = began;
	m->reading = false;
	pthread_cond_broadcast(&m->fresh);
}

/* The lock is not held. Until one of them changes, or the thread is called. */
static void wait_for_change(struct hostmounts *m)
{
	struct pollfd p[NAMESPACES + 1] = {{.fd = m->wake, .events = POLLIN}};
	eventfd_t count;
	nfds_t n = 1;

	for (unsigned int i = 0; i < m->count; i++)
		p[n++] = (struct pollfd){.fd = fileno(m->of[i].read), .events = POLLPRI};
	(void)poll(p, n, -1);
	(void)eventfd_read(m->wake, &count);
}

/* The lock is held. */
static void pause_after(struct hostmounts *m, uint64_t cost_ns)
{
	const uint64_t pause = cost_ns * PAUSE_TIMES;
	const uint64_t until_ns =
		clock_ns(CLOCK_MONOTONIC) + (pause < PAUSE_MIN_NS ? PAUSE_MIN_NS : pause);
	int err = 0;

	while (!m->stop && !err)
		err = thread_wait(&m->ending, &m->lock, until_ns);
}

static void *work(void *hostmounts)
{
	struct hostmounts *m = hostmounts;
	uint64_t began;

	pthread_mutex_lock(&m->lock);
	while (!m->stop) {
		if (!is_stale(m)) {
			pthread_mutex_unlock(&m->lock);
			wait_for_change(m);
			pthread_mutex_lock(&m->lock);
			continue;
		}
		began = clock_ns(CLOCK_MONOTONIC);
		renew(m);
		pause_after(m, clock_ns(CLOCK_MONOTONIC) - began);
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

/* ---- */

static int open_one(struct namespace *n, pid_t tgid)
{
	n->read = mounts_open(tgid);
	if (!n->read)
		return -errno;
	n->look = mounts_open_fd(tgid);
	return n->look < 0 ? n->look : 0;
}

static bool is_ours(pid_t tgid)
{
	char path[32];
	struct stat a, b;

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", tgid);
	return stat(path, &a) == 0 && stat("/proc/self/ns/mnt", &b) == 0 && a.st_ino == b.st_ino;
}

static int open_all(struct hostmounts *m)
{
	int err = open_one(&m->of[m->count++], 1);

	if (err || is_ours(1))
		return err;
	return open_one(&m->of[m->count++], 0);
}

int hostmounts_new(struct hostmounts **ret)
{
	struct hostmounts *m = calloc(1, sizeof(*m));
	int err;

	if (!m)
		return -ENOMEM;
	for (int i = 0; i < NAMESPACES; i++)
		m->of[i].look = -1;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->fresh, NULL);
	pthread_cond_init(&m->ending, NULL);
	m->references = 1;
	m->lists = calloc(1, sizeof(*m->lists));
	m->spare = calloc(1, sizeof(*m->spare));
	m->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = !m->lists || !m->spare ? -ENOMEM : m->wake < 0 ? -errno : open_all(m);
	if (!err) {
		pthread_mutex_lock(&m->lock);
		renew(m);
		pthread_mutex_unlock(&m->lock);
		err = thread_start(&m->thread, work, m);
	}
	if (err) {
		hostmounts_unref(m);
		return err;
	}
	*ret = m;
	return 0;
}

struct hostmounts *hostmounts_ref(struct hostmounts *m)
{
	pthread_mutex_lock(&m->lock);
	m->references++;
	pthread_mutex_unlock(&m->lock);
	return m;
}

void hostmounts_unref(struct hostmounts *m)
{
	bool last;

	if (!m)
		return;
	pthread_mutex_lock(&m->lock);
	last = !--m->references;
	pthread_mutex_unlock(&m->lock);
	if (!last)
		return;
	for (unsigned int i = 0; i < m->count; i++) {
		if (m->of[i].read)
			fclose(m->of[i].read);
		closep(&m->of[i].look);
	}
	closep(&m->wake);
	pthread_cond_destroy(&m->fresh);
	pthread_cond_destroy(&m->ending);
	pthread_mutex_destroy(&m->lock);
	free(m->lists);
	free(m->spare);
	free(m);
}

bool hostmounts_stop(struct hostmounts *m)
{
	const uint64_t until_ns = clock_ns(CLOCK_MONOTONIC) + STOP_NS;

	pthread_mutex_lock(&m->lock);
	m->stop = true;
	pthread_cond_broadcast(&m->fresh);
	pthread_cond_broadcast(&m->ending);
	pthread_mutex_unlock(&m->lock);
	(void)eventfd_write(m->wake, 1);
	m->ended = m->ended || thread_join(m->thread, until_ns);
	return m->ended;
}

void hostmounts_free(struct hostmounts *m)
{
	if (m && hostmounts_stop(m))
		hostmounts_unref(m);
}

/* The lock is held. */
static uint64_t known_ns(struct hostmounts *m)
{
	uint64_t now = clock_ns(CLOCK_BOOTTIME);

	return is_stale(m) || m->reading ? m->read_ns : now;
}

uint64_t hostmounts_known_ns(struct hostmounts *m)
{
	uint64_t known;

	pthread_mutex_lock(&m->lock);
	known = known_ns(m);
	pthread_mutex_unlock(&m->lock);
	return known;
}

bool hostmounts_wait(struct hostmounts *m, uint64_t since_ns, uint64_t wait_ns)
{
	const uint64_t until_ns = clock_ns(CLOCK_MONOTONIC) + wait_ns;
	bool known;
	int err = 0;

	pthread_mutex_lock(&m->lock);
	while (!(known = known_ns(m) >= since_ns) && !err && !m->stop)
		err = thread_wait(&m->fresh, &m->lock, until_ns);
	pthread_mutex_unlock(&m->lock);
	return known;
}

bool hostmounts_trust(struct hostmounts *m, uint32_t device)
{
	bool trust;

	pthread_mutex_lock(&m->lock);
	trust = has(&m->lists->suid, device) && !has(&m->lists->idmapped, device) &&
		!m->lists->idmapped.cut; /* else one more may be missing there */
	pthread_mutex_unlock(&m->lock);
	return trust;
}

bool hostmounts_have(struct hostmounts *m, uint32_t device)
{
	bool have;

	pthread_mutex_lock(&m->lock);
	have = has(&m->lists->all, device);
	pthread_mutex_unlock(&m->lock);
	return have;
}

bool hostmounts_have_own(struct hostmounts *m, uint32_t device)
{
	bool have;

	pthread_mutex_lock(&m->lock);
	have = has(&m->lists->own, device);
	pthread_mutex_unlock(&m->lock);
	return have;
}
