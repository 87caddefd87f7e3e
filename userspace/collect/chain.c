/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/chain_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <uthash.h>
#include <utlist.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/effort.h"
#include "base/limit.h"
#include "collect/decode.h"
#include "collect/glance.h"
#include "collect/opened.h"

/*
 * A step that no exec took within this time was of one that failed. A process of which nobody can
 * say yet, or any more, whether it is wanted waits less: an open file keeps its filesystem from
 * being unmounted.
 */
#define KEEP_NS 5000000000ull
#define LIMBO_NS 100000000ull
/*
 * A process that tries to execute file after file, in vain, leaves a step each: so many are looked at
 * when it executes something, whatever it tried.
 */
#define PROCESS_STEPS_MAX 64
#define EVENTS_AT_ONCE 32 /* each is an open file by the time it is read */
#define READS_MAX 64	  /* of those that nobody expects: where all others execute it never ends */
#define PF_EXITING 0x4 /* include/linux/sched.h; in proc(5)'s flags */

static int watch_fd(struct chain *c, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	if (fd < 0 || epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &e) < 0)
		return -errno;
	return 0;
}

/* Each step holds a descriptor: others need some, too. */
static size_t bound(size_t queue_max)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur / 4 < queue_max)
		return limit.rlim_cur / 4;
	return queue_max;
}

static int new_marks(struct chain *c)
{
	const struct marks_config config = {
		.fanotify = c->fanotify,
		.aside = c->config.aside,
		.mounts = c->config.mounts,
		.done = c->config.watched,
		.context = c->config.context,
	};

	return marks_new(&config, &c->marks);
}

int chain_new(const struct chain_config *config, struct chain **ret)
{
	struct chain *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->config = *config;
	c->config.queue_max = bound(config->queue_max);
	c->batch = 1;
	c->timer = c->epoll = -1;
	/* Access times are not ours to change. */
	c->fanotify = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK,
				    O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOATIME | O_LARGEFILE);
	if (c->fanotify < 0) {
		r = errno == ENOSYS ? -ENOTSUP : limit_of_instances(-errno, LIMIT_FANOTIFY_GROUPS);
		chain_free(c);
		return r;
	}
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	c->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	r = watch_fd(c, c->fanotify) ?: watch_fd(c, c->timer) ?: new_marks(c);
	if (r < 0) {
		chain_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void chain_step_free(struct chain *c, struct step *s)
{
	struct process *p = s->process;

	p->dropped_batch = s->batch;
	DL_DELETE(p->steps, s);
	p->count--;
	if (!p->steps) {
		p->is_empty = true;
		DL_APPEND(c->empty, p);
	}
	if (c->expiring == s)
		c->expiring = s->newer;
	DL_DELETE2(c->all, s, older, newer);
	c->count--;
	closep(&s->fd);
	free(s);
}

static void process_free(struct chain *c, struct process *p)
{
	while (p->steps)
		chain_step_free(c, p->steps);
	DL_DELETE(c->empty, p);
	HASH_DEL(c->processes, p);
	free(p);
}

static void free_steps(struct chain *c)
{
	struct process *p, *next;

	HASH_ITER (hh, c->processes, p, next)
		process_free(c, p);
}

void chain_free(struct chain *c)
{
	if (!c)
		return;
	free_steps(c);
	marks_free(c->marks);
	closep(&c->fanotify);
	closep(&c->timer);
	closep(&c->epoll);
	free(c);
}

int chain_fd(const struct chain *c)
{
	return c->epoll;
}

int chain_watch(struct chain *c, pid_t tgid, uint32_t ns, uint64_t key, uint64_t token)
{
	return marks_add(c->marks, tgid, ns, key, token);
}

uint64_t chain_lost(const struct chain *c)
{
	return c->lost;
}

/* ---- what fanotify tells ---- */

void chain_count_loss(struct chain *c)
{
	c->lost++;
	c->loss_batch = c->batch;
}

static void look_in(struct chain *c, long ns)
{
	const struct itimerspec then = {.it_value.tv_nsec = ns};

	(void)timerfd_settime(c->timer, 0, &then, NULL);
}

/* There can be thousands, and each is a file to be closed: expire() does that. */
int chain_unwatch_all(struct chain *c)
{
	c->forgotten_ns = clock_ns(CLOCK_BOOTTIME);
	c->expiring = NULL;
	if (c->all)
		look_in(c, 1);
	return marks_remove_all(c->marks);
}

static void add_step(struct chain *c, struct process *p, int fd)
{
	struct step *s = calloc(1, sizeof(*s));

	if (!s) {
		limit_met(LIMIT_MEMORY);
		close(fd);
		chain_count_loss(c);
		return;
	}
	s->process = p;
	s->fd = fd;
	s->batch = c->batch;
	s->read_ns = clock_ns(CLOCK_BOOTTIME);
	if (!c->all)
		look_in(c, LIMBO_NS);
	if (p->is_empty)
		DL_DELETE(c->empty, p);
	p->is_empty = false;
	DL_APPEND(p->steps, s);
	p->count++;
	DL_APPEND2(c->all, s, older, newer);
	c->count++;
	if (p->count > PROCESS_STEPS_MAX) {
		p->overrun = true;
		chain_step_free(c, p->steps);
	} else if (c->count > c->config.queue_max) {
		chain_step_free(c, c->all);
		chain_count_loss(c);
	}
}

/*
 * On its way out, whose tag may be gone, or dead. Long before a process is dead for its parent it
 * has no tag: it has to give back its memory first.
 */
static bool may_be_gone(struct chain *c, pid_t tgid)
{
	char path[32], text[512];
	const char *name_end;
	unsigned int flags;
	ssize_t len;

	if (c->unseeing)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/stat", tgid);
	len = glance_read(c->config.aside, aside_key(ASIDE_FOR_STRANGERS, 0), path, text,
			  sizeof(text));
	/*
	 * In an exec that waits for a filesystem, or the machine is busy, and there may be hundreds
	 * more: what is in limbo costs less than to wait for each.
	 */
	c->unseeing = len == -ETIMEDOUT || len == -EAGAIN;
	if (len <= 0)
		return true;
	name_end = strrchr(text, ')');
	return !name_end || sscanf(name_end, ") %*c %*d %*d %*d %*d %*d %u", &flags) != 1 ||
	       flags & PF_EXITING;
}

/*
 * One that ended before its event was read has no tag any more, although it may have had one: its
 * exec is still on its way through the ring. And one that a selector takes has none yet: it gets it
 * with the exec that has only begun.
 */
static struct process *process_for(struct chain *c, pid_t tgid)
{
	bool limbo = !c->config.wanted(c->config.context, tgid);
	struct process *p;

	if (limbo && !c->config.tagged_late && !may_be_gone(c, tgid))
		return NULL;
	HASH_FIND_INT(c->processes, &tgid, p);
	if (p) {
		p->limbo &= limbo;
		return p;
	}
	p = calloc(1, sizeof(*p));
	if (!p) {
		chain_count_loss(c);
		return NULL;
	}
	p->tgid = tgid;
	p->limbo = limbo;
	p->is_empty = true;
	DL_APPEND(c->empty, p);
	HASH_ADD_INT(c->processes, tgid, p);
	return p;
}

static void take_event(struct chain *c, const struct fanotify_event_metadata *e)
{
	struct process *p;

	if (e->mask & FAN_Q_OVERFLOW) {
		limit_met(LIMIT_FANOTIFY_QUEUE);
		chain_count_loss(c);
		return;
	}
	if (e->fd < 0)
		return;
	p = e->pid > 0 ? process_for(c, e->pid) : NULL;
	if (p)
		add_step(c, p, e->fd);
	else
		close(e->fd);
}

static bool is_due(const struct chain *c, const struct step *s, uint64_t now)
{
	return s->read_ns <= c->forgotten_ns ||
	       now - s->read_ns > (s->process->limbo ? LIMBO_NS : KEEP_NS);
}

/*
 * What became old, and processes of which nothing is left; how many there are is for others to
 * choose: where it leaves off it goes on in the next turn.
 */
static void expire(struct chain *c)
{
	uint64_t times, now = clock_ns(CLOCK_BOOTTIME);
	struct step *s;

	if (read(c->timer, &times, sizeof(times)) < 0)
		return;
	for (s = c->expiring ?: c->all; s && effort_goes_on(); s = c->expiring) {
		c->expiring = s->newer;
		effort_walk(1);
		if (is_due(c, s, now))
			chain_step_free(c, s);
	}
	while (c->empty && effort_goes_on()) {
		effort_walk(1);
		process_free(c, c->empty);
	}
	if (s || c->empty)
		look_in(c, 1);
	else if (c->all)
		look_in(c, LIMBO_NS);
}

/* -EAGAIN: there is nothing. What could not be opened is counted, and is over. */
static int read_some(struct chain *c)
{
	struct fanotify_event_metadata buffer[EVENTS_AT_ONCE];
	const struct fanotify_event_metadata *e;
	size_t n = 0;
	ssize_t len;

	len = read(c->fanotify, buffer, sizeof(buffer));
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return -errno;
	/* The file could not be opened (no descriptor left, or it is gone): the event is, too. */
	if (len < 0) {
		int err = limit_of(-errno);

		chain_count_loss(c);
		if (err == -EBADF || err == -EINVAL || err == -EFAULT)
			return err;
		n = 1;
	}
	for (e = buffer; FAN_EVENT_OK(e, len); e = FAN_EVENT_NEXT(e, len), n++)
		take_event(c, e);
	effort.files += n;
	c->expected -= n < c->expected ? n : c->expected;
	return 0;
}

/* The batch goes on as long as fanotify had something: may_be_merged(). */
static int read_on(struct chain *c)
{
	int err = read_some(c);

	c->batch_over = err == -EAGAIN;
	if (c->batch_over)
		c->expected = 0;
	return err;
}

void chain_expect(struct chain *c)
{
	int bytes;

	if (!ioctl(c->fanotify, FIONREAD, &bytes))
		c->expected = (size_t)bytes / sizeof(struct fanotify_event_metadata);
}

int chain_read(struct chain *c)
{
	int err = 0, more = READS_MAX;

	expire(c);
	c->batch += c->batch_over;
	c->batch_over = c->unseeing = false;
	while ((!err || err == -EINTR) && (c->expected || more-- > 0) && effort_goes_on())
		err = read_on(c);
	if (err && err != -EAGAIN && err != -EINTR)
		return err;
	return c->expected > 0;
}
