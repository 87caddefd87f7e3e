/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/marks.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <uthash.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/limit.h"
#include "collect/aside.h"
#include "collect/hostmounts.h"
#include "collect/mounts.h"
#include "collect/procroot.h"

#define NAMESPACES_MAX 64 /* more only cost another look */
#define LOOK_AGAIN_NS 1000000000ull
#define WAIT_NS 2000000000ull
#define HOST_WAIT_NS 500000000ull

/*
 * A session's looks take a fifth of a processor at most, but for what is done at once: who begins
 * has a new namespace or two.
 */
#define PAUSE_TIMES 4
#define BURST_NS 1000000000ull
#define PENDING_MAX 8
#define PAUSES_MAX 4096

/*
 * The namespaces that were looked at last. Of the loop and of each look: whoever is last frees it.
 */
struct seen {
	pthread_mutex_t lock;
	unsigned int references;
	unsigned int next;
	struct {
		ino_t ns;
		uint64_t until_ns; /* CLOCK_BOOTTIME: until then it is not looked at again */
	} at[NAMESPACES_MAX];
};

/* Of a session: until when it would have to wait, had it to pay for its looks at once. */
struct pause {
	uint64_t key;
	uint64_t until_ns;
	unsigned int pending;
	UT_hash_handle hh;
};

struct marks {
	struct marks_config config;
	struct seen *seen;
	struct pause *pauses;
	bool any; /* maybe */
};

/* A look at one namespace: all that its thread uses is its own. */
struct look {
	struct marks *marks; /* not the thread's */
	uint64_t key, token;
	struct seen *seen;
	struct hostmounts *mounts;
	int fanotify;
	pid_t tgid;
	uint64_t cost_ns;
	int err;
	size_t lines, count;
	uint32_t marked[MARKS_FILESYSTEMS_MAX]; /* devices, in this look */
};

/* ---- what was seen ---- */

static struct seen *seen_ref(struct seen *s)
{
	pthread_mutex_lock(&s->lock);
	s->references++;
	pthread_mutex_unlock(&s->lock);
	return s;
}

static void seen_unref(struct seen *s)
{
	bool last;

	pthread_mutex_lock(&s->lock);
	last = !--s->references;
	pthread_mutex_unlock(&s->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static bool seen_lately(struct seen *s, ino_t ns)
{
	uint64_t now = clock_ns(CLOCK_BOOTTIME);
	bool lately = false;

	pthread_mutex_lock(&s->lock);
	for (unsigned int i = 0; i < NAMESPACES_MAX; i++)
		lately |= s->at[i].ns == ns && now < s->at[i].until_ns;
	pthread_mutex_unlock(&s->lock);
	return lately;
}

static void seen_put(struct seen *s, ino_t ns, uint64_t pause_ns)
{
	unsigned int i;

	pthread_mutex_lock(&s->lock);
	for (i = 0; i < NAMESPACES_MAX; i++)
		if (s->at[i].ns == ns)
			break;
	if (i == NAMESPACES_MAX)
		i = s->next++ % NAMESPACES_MAX;
	s->at[i].ns = ns;
	s->at[i].until_ns = clock_ns(CLOCK_BOOTTIME) + pause_ns;
	pthread_mutex_unlock(&s->lock);
}

static void seen_clear(struct seen *s)
{
	pthread_mutex_lock(&s->lock);
	memset(s->at, 0, sizeof(s->at));
	pthread_mutex_unlock(&s->lock);
}

/* ---- a look, in a thread ---- */

/*
 * The user namespace that owns a mount namespace is ours: nobody without privilege here mounted in
 * it.
 */
static bool owned_by_us(int ns)
{
	_cleanup_close_ int owner = ioctl(ns, NS_GET_USERNS);
	struct stat a, b;

	return owner >= 0 && fstat(owner, &a) == 0 && stat("/proc/self/ns/user", &b) == 0 &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/*
 * A filesystem that was marked by another look is marked again: it costs little, and its device
 * number may have become another's. The mount point is in the kernel's memory, so that no lookup
 * has to ask a server on the way. 1: it is marked.
 */
static int mark(const struct look *l, int root, const struct mount_line *line)
{
	_cleanup_close_ int fd = procroot_resolve(root, "/", line->point, true);
	char path[32];
	struct stat st;

	if (fd < 0)
		return fd == -EAGAIN || fd == -ENOENT ? 0 : fd;
	/*
	 * Another mount may cover it, or the path lead elsewhere by now. btrfs tells other numbers
	 * (subvolumes).
	 */
	if (strcmp(line->type, "btrfs") != 0 &&
	    (fstat(fd, &st) < 0 || st.st_dev != makedev(line->major, line->minor)))
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fanotify_mark(l->fanotify, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN_EXEC, AT_FDCWD,
			  path) < 0)
		return limit_as(-errno, -ENOSPC, LIMIT_FANOTIFY_MARKS);
	return 1;
}

/* Thousands of mounts can be of one filesystem. */
static bool is_marked(const struct look *l, uint32_t device)
{
	for (size_t i = l->count; i > 0; i--)
		if (l->marked[i - 1] == device)
			return true;
	return false;
}

static int take_line(struct look *l, int root, bool ours, const struct mount_line *line)
{
	uint32_t device = line->major << 20 | line->minor;
	int r;

	if (!mounts_local(line->type) || is_marked(l, device))
		return 0;
	if (strcmp(line->type, "overlay") == 0 && !ours && !hostmounts_have(l->mounts, device))
		return 0;
	if (l->count == MARKS_FILESYSTEMS_MAX)
		return -E2BIG;
	r = mark(l, root, line);
	if (r == 1)
		l->marked[l->count++] = device;
	return r < 0 ? r : 0;
}

static int mark_all(struct look *l, int ns)
{
	_cleanup_close_ int root = procroot_open(l->tgid);
	_cleanup_fclose_ FILE *f = mounts_open(l->tgid);
	_cleanup_free_ char *text = NULL;
	uint64_t began = clock_ns(CLOCK_BOOTTIME);
	bool ours = owned_by_us(ns);
	struct mount_line line;
	size_t size = 0;
	int r, err = 0;

	if (root < 0 || !f)
		return -ESRCH;
	/* What is not known is not there: such an overlay is not marked. */
	if (!ours && !hostmounts_wait(l->mounts, began, HOST_WAIT_NS))
		err = -EAGAIN;
	while (getline(&text, &size, f) > 0) {
		if (l->lines++ == MARKS_LINES_MAX)
			return err ?: -E2BIG;
		if (!mount_line_parse(text, &line))
			continue;
		r = take_line(l, root, ours, &line);
		err = err ?: r;
	}
	return err;
}

static int look(struct look *l)
{
	_cleanup_close_ int ns = -1;
	uint64_t began, cost;
	struct stat st;
	char path[40];
	int err;

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", l->tgid);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || fstat(ns, &st) < 0)
		return -ESRCH;
	if (seen_lately(l->seen, st.st_ino))
		return 0;
	began = clock_ns(CLOCK_MONOTONIC);
	err = mark_all(l, ns);
	cost = clock_ns(CLOCK_MONOTONIC) - began;
	/* Whoever waits for the same meanwhile looks himself: else he would go on too early. */
	seen_put(l->seen, st.st_ino,
		 cost * PAUSE_TIMES > LOOK_AGAIN_NS ? cost * PAUSE_TIMES : LOOK_AGAIN_NS);
	return err;
}

static void run(void *data)
{
	struct look *l = data;
	uint64_t began = clock_ns(CLOCK_MONOTONIC);

	l->err = limit_as(look(l), -E2BIG, LIMIT_MOUNTS);
	l->cost_ns = clock_ns(CLOCK_MONOTONIC) - began;
}

static void look_free(void *data)
{
	struct look *l = data;

	closep(&l->fanotify);
	seen_unref(l->seen);
	hostmounts_unref(l->mounts);
	free(l);
}

/* ---- the loop's ---- */

static struct pause *pause_find(const struct marks *m, uint64_t key)
{
	struct pause *p;

	HASH_FIND(hh, m->pauses, &key, sizeof(key), p);
	return p;
}

/* Those that are over, when there are many. */
static void pauses_sweep(struct marks *m, uint64_t now)
{
	struct pause *p, *next;

	if (HASH_COUNT(m->pauses) < PAUSES_MAX)
		return;
	HASH_ITER (hh, m->pauses, p, next)
		if (!p->pending && p->until_ns < now) {
			HASH_DEL(m->pauses, p);
			free(p);
		}
}

static struct pause *pause_get(struct marks *m, uint64_t key)
{
	struct pause *p = pause_find(m, key);

	if (p)
		return p;
	pauses_sweep(m, clock_ns(CLOCK_BOOTTIME));
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->key = key;
	HASH_ADD(hh, m->pauses, key, sizeof(p->key), p);
	return p;
}

static void done(void *data, int err)
{
	struct look *l = data;
	struct marks *m = l->marks;
	struct pause *p = pause_find(m, l->key);
	/* One that still runs writes to the rest of it. */
	uint64_t cost = err ? WAIT_NS : l->cost_ns, now = clock_ns(CLOCK_BOOTTIME);

	(void)limit_as(err, -ETIMEDOUT, LIMIT_STUCK);
	m->any = true;
	if (p) {
		p->pending--;
		p->until_ns = (p->until_ns > now ? p->until_ns : now) + cost * PAUSE_TIMES;
	}
	m->config.done(m->config.context, l->token, err ?: l->err);
}

int marks_new(const struct marks_config *config, struct marks **ret)
{
	struct marks *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->config = *config;
	m->seen = calloc(1, sizeof(*m->seen));
	if (!m->seen) {
		free(m);
		return -ENOMEM;
	}
	pthread_mutex_init(&m->seen->lock, NULL);
	m->seen->references = 1;
	*ret = m;
	return 0;
}

void marks_free(struct marks *m)
{
	struct pause *p, *next;

	if (!m)
		return;
	HASH_ITER (hh, m->pauses, p, next) {
		HASH_DEL(m->pauses, p);
		free(p);
	}
	seen_unref(m->seen);
	free(m);
}

static int look_new(struct marks *m, pid_t tgid, uint64_t key, uint64_t token, struct look **ret)
{
	struct look *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	/* Its own: a thread that is left behind may still use it. */
	l->fanotify = fcntl(m->config.fanotify, F_DUPFD_CLOEXEC, 3);
	if (l->fanotify < 0) {
		err = limit_of(-errno);
		free(l);
		return err;
	}
	l->marks = m;
	l->tgid = tgid;
	l->key = key;
	l->token = token;
	l->seen = seen_ref(m->seen);
	l->mounts = hostmounts_ref(m->config.mounts);
	*ret = l;
	return 0;
}

int marks_add(struct marks *m, pid_t tgid, uint32_t ns, uint64_t key, uint64_t token)
{
	struct aside_work work = {
		.key = key, .wait_ns = WAIT_NS, .run = run, .done = done, .free = look_free};
	struct pause *p;
	struct look *l = NULL;
	int err;

	if (ns && !token && seen_lately(m->seen, ns))
		return 0;
	p = pause_get(m, key);
	if (!p)
		return -ENOMEM;
	if (!token &&
	    (p->pending >= PENDING_MAX || p->until_ns > clock_ns(CLOCK_BOOTTIME) + BURST_NS))
		return limit_as(-EBUSY, -EBUSY, LIMIT_MOUNTS);
	err = look_new(m, tgid, key, token, &l);
	if (err)
		return err;
	work.data = l;
	err = aside_submit(m->config.aside, &work);
	if (err) {
		look_free(l);
		return limit_as(err, -EAGAIN, LIMIT_STUCK);
	}
	p->pending++;
	m->any = true;
	return 0;
}

int marks_remove_all(struct marks *m)
{
	if (!m->any)
		return 0;
	if (fanotify_mark(m->config.fanotify, FAN_MARK_FLUSH | FAN_MARK_FILESYSTEM, 0, AT_FDCWD,
			  "/") < 0)
		return -errno;
	seen_clear(m->seen);
	m->any = false;
	return 0;
}
