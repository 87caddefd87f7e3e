// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "affiant.skel.h"
#include "base/cleanup.h"
#include "base/effort.h"
#include "collect/object.h"
#include "collect/source_impl.h"

static int tags_fd(const struct source *s)
{
	return bpf_map__fd(s->skeleton->maps.tags);
}

/* The process has not been waited for, so its pid is still its own; zombies count as gone. */
static bool pidfd_alive(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return poll(&p, 1, 0) == 0;
}

/* In the initial pid namespace, where we are (probe_baseline()). */
static int pidfd_tgid(int pidfd, pid_t *ret)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[256];
	int pid;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	f = effort_fopen(path);
	if (!f)
		return errno == ENOENT ? -EBADF : -errno;
	while (effort_gets(line, sizeof(line), f)) {
		if (sscanf(line, "Pid: %d", &pid) != 1)
			continue;
		if (pid <= 0)
			return -ESRCH;
		*ret = pid;
		return 0;
	}
	return -EBADF;
}

int adopt_pass(struct source *s, struct adopt *request)
{
	int map = bpf_map__fd(s->skeleton->maps.adopt);
	_cleanup_close_ int iter = -1;
	uint32_t zero = 0;
	ssize_t n;
	char c;

	request->added = 0;
	request->skipped = 0;
	request->left = 0;
	if (bpf_map_update_elem(map, &zero, request, BPF_ANY))
		return -errno;
	iter = bpf_iter_create(s->adopt);
	if (iter < 0)
		return -errno;
	do
		n = read(iter, &c, sizeof(c));
	while (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)));
	if (n < 0)
		return -errno;
	return bpf_map_lookup_elem(map, &zero, request) ? -errno : 0;
}

/*
 * A child may be met before its parent, or be made while we look. Who finds no room is told of, and
 * gets a tag later.
 */
static int adopt_descendants(struct source *s)
{
	struct adopt request = {.mode = ADOPT_DESCENDANTS};
	int err;

	do
		err = adopt_pass(s, &request);
	while (!err && request.added);
	return err;
}

static int adopt_locked(struct source *s, struct adopt *request)
{
	int err;

	err = adopt_pass(s, request);
	if (err || (request->mode == ADOPT_ONE && request->error))
		return err ?: request->error;
	return adopt_descendants(s);
}

static int adopt(struct source *s, struct adopt *request)
{
	int err;

	pthread_mutex_lock(&s->adopt_lock);
	err = adopt_locked(s, request);
	pthread_mutex_unlock(&s->adopt_lock);
	return err;
}

int source_tag(struct source *s, int pidfd, const struct tag *tag)
{
	struct adopt request = {.mode = ADOPT_ONE, .tag = *tag, .error = -ESRCH};
	pid_t tgid = 0;
	int err;

	err = pidfd_tgid(pidfd, &tgid);
	if (err)
		return err;
	if (!pidfd_alive(pidfd))
		return -ESRCH;
	request.tgid = tgid;
	err = adopt(s, &request);
	/* Whoever the pid belonged to if it died meanwhile, its exit hook took the tag with it. */
	return !err && !pidfd_alive(pidfd) ? -ESRCH : err;
}

int source_tag_descendants(struct source *s)
{
	int err;

	pthread_mutex_lock(&s->adopt_lock);
	err = adopt_descendants(s);
	pthread_mutex_unlock(&s->adopt_lock);
	return err;
}

/*
 * Twice at least: what was forked behind the iterator's back by a process that was gone before its
 * turn is nobody's descendant.
 */
int source_select_running(struct source *s, uint32_t *ret_left_alone)
{
	struct adopt request = {.mode = ADOPT_MATCHING};
	int err, passes = 0;

	pthread_mutex_lock(&s->adopt_lock);
	do
		err = adopt_locked(s, &request);
	while (!err && (request.added || ++passes < 2));
	pthread_mutex_unlock(&s->adopt_lock);
	if (!err && ret_left_alone)
		*ret_left_alone = request.skipped;
	return err;
}

int source_tag_of(struct source *s, pid_t tgid, struct tag *ret)
{
	uint32_t key = tgid;
	struct tag tag;

	if (bpf_map_lookup_elem(tags_fd(s), &key, &tag))
		return -errno;
	*ret = tag;
	return 0;
}

/* In batches: walking by key starts over whenever the key just seen is deleted. */
#define BATCH 1024

struct tag_batch {
	uint32_t keys[BATCH];
	struct tag tags[BATCH];
};

static int each_of_batch(const struct tag_batch *b, uint32_t count,
			 int (*each)(pid_t, const struct tag *, void *), void *data)
{
	int err = 0;

	for (uint32_t i = 0; i < count && !err; i++)
		err = each(b->keys[i], &b->tags[i], data);
	return err;
}

int source_each_tag(struct source *s, int (*each)(pid_t tgid, const struct tag *tag, void *data),
		    void *data)
{
	_cleanup_free_ struct tag_batch *b = malloc(sizeof(*b));
	uint32_t at, *previous = NULL, count;
	int err, end = 0;

	if (!b)
		return -ENOMEM;
	while (!end) {
		count = BATCH;
		end = bpf_map_lookup_batch(tags_fd(s), previous, &at, b->keys, b->tags, &count,
					   NULL);
		if (end && end != -ENOENT)
			return end;
		effort_walk(count);
		err = each_of_batch(b, count, each, data);
		if (err)
			return err;
		previous = &at;
	}
	return 0;
}

#define STEP 512 /* larger than any bucket: of what a batch is made */

int source_walk_tags(struct source *s, struct source_walk *w,
		     int (*each)(pid_t tgid, const struct tag *tag, void *data), void *data)
{
	_cleanup_free_ struct tag_batch *b = malloc(sizeof(*b));
	uint32_t at, count = STEP;
	int end, err;

	if (!b)
		return -ENOMEM;
	end = bpf_map_lookup_batch(tags_fd(s), w->on ? &w->at : NULL, &at, b->keys, b->tags, &count,
				   NULL);
	if (end && end != -ENOENT)
		return end;
	effort_walk(count);
	err = each_of_batch(b, count, each, data);
	*w = (struct source_walk){.on = !end && !err, .at = at};
	return err ?: !end;
}

uint32_t source_tags_max(const struct source *s)
{
	return s->max_tags;
}

struct live {
	uint64_t numbers[2]; /* of connections; 0: none */
	uint64_t cookie;
};

struct live_walk {
	void (*connection)(uint64_t number, void *data); /* NULL: nobody asks */
	void (*socket)(uint64_t cookie, void *data);     /* likewise */
	void *data;
};

static void live_hand_on(const struct live_walk *w, const struct live *l)
{
	for (size_t i = 0; w->connection && i < 2; i++)
		if (l->numbers[i])
			w->connection(l->numbers[i], w->data);
	if (w->socket && l->cookie)
		w->socket(l->cookie, w->data);
}

/* 1: there are more. The kernel hands out whole ones. */
static int live_step(int iter, const struct live_walk *w)
{
	struct live live[128];
	ssize_t n = read(iter, live, sizeof(live));

	for (ssize_t i = 0; i < n / (ssize_t)sizeof(*live); i++)
		live_hand_on(w, &live[i]);
	effort_walk(n > 0 ? n / sizeof(*live) : 0);
	return n >= 0 ? n > 0 : errno == EAGAIN || errno == EINTR ? 1 : -errno;
}

int source_walk_connections(struct source *s, int *iter,
			    void (*each)(uint64_t number, void *data), void *data)
{
	int more;

	if (*iter < 0)
		*iter = bpf_iter_create(s->live);
	if (*iter < 0)
		return -errno;
	more = live_step(*iter, &(struct live_walk){.connection = each, .data = data});
	if (more > 0)
		return more;
	close(*iter);
	*iter = -1;
	return more;
}

int source_each_socket(struct source *s, void (*each)(uint64_t cookie, void *data), void *data)
{
	const struct live_walk w = {.socket = each, .data = data};
	_cleanup_close_ int iter = bpf_iter_create(s->live);
	int more;

	if (iter < 0)
		return -errno;
	do
		more = live_step(iter, &w);
	while (more > 0);
	return more;
}

static int select_add(struct source *s, struct bpf_map *map, const void *key,
		      const struct selector *selector, enum selector_kind kind)
{
	if (!selector)
		return bpf_map_delete_elem(bpf_map__fd(map), key) ? -errno : 0;
	if (bpf_map_update_elem(bpf_map__fd(map), key, selector, BPF_ANY))
		return -errno;
	__atomic_fetch_or(&s->control->selectors, kind, __ATOMIC_SEQ_CST);
	return 0;
}

int source_select_exe(struct source *s, const struct selector_exe_key *key,
		      const struct selector *selector)
{
	return select_add(s, s->skeleton->maps.selectors_exe, key, selector, SELECT_EXE);
}

int source_select_uid(struct source *s, uint32_t uid, const struct selector *selector)
{
	return select_add(s, s->skeleton->maps.selectors_uid, &uid, selector, SELECT_UID);
}

int source_exe_told(struct source *s, const struct selector_exe_key *key, uint32_t id)
{
	int fd = bpf_map__fd(s->skeleton->maps.selectors_exe);
	struct selector_exe_key at, *previous = NULL;
	struct selector selector;

	if (!bpf_map_lookup_elem(fd, key, &selector) && selector.id == id)
		return 1;
	while (!bpf_map_get_next_key(fd, previous, &at)) {
		if (!bpf_map_lookup_elem(fd, &at, &selector) && selector.id == id)
			return 0;
		previous = &at;
	}
	return errno == ENOENT ? -ENOENT : -errno;
}

uint64_t source_places_ns(const struct source *s)
{
	return __atomic_load_n(&s->control->places_ns, __ATOMIC_RELAXED);
}

void source_set_places_ns(struct source *s, uint64_t boottime_ns)
{
	__atomic_store_n(&s->control->places_ns, boottime_ns, __ATOMIC_RELAXED);
}

#define KEY_MAX sizeof(struct selector_exe_key)

/*
 * The next key is asked for before this one goes: walking starts over at a key that is not there.
 */
static int keep_only(const struct bpf_map *map, enum selector_kind kind, source_keep_fn keep,
		     void *data, bool *ret_any)
{
	uint8_t key[KEY_MAX], next[KEY_MAX];
	size_t size = bpf_map__key_size(map);
	int fd = bpf_map__fd(map);
	bool any = false;
	int end;

	end = bpf_map_get_next_key(fd, NULL, next);
	while (!end) {
		memcpy(key, next, size);
		end = bpf_map_get_next_key(fd, key, next);
		if (keep(data, kind, key))
			any = true;
		else if (bpf_map_delete_elem(fd, key) && errno != ENOENT)
			return -errno;
	}
	*ret_any = any;
	return end == -ENOENT ? 0 : end;
}

int source_select_only(struct source *s, source_keep_fn keep, void *data)
{
	const struct {
		const struct bpf_map *map;
		enum selector_kind kind;
	} maps[] = {
		{s->skeleton->maps.selectors_exe, SELECT_EXE},
		{s->skeleton->maps.selectors_uid, SELECT_UID},
	};
	uint32_t kinds = s->control->patterns ? SELECT_CGROUP : 0;
	bool any = false;
	int err;

	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++) {
		err = keep_only(maps[i].map, maps[i].kind, keep, data, &any);
		if (err)
			return err;
		kinds |= any ? maps[i].kind : 0;
	}
	__atomic_store_n(&s->control->selectors, kinds, __ATOMIC_SEQ_CST);
	return 0;
}

/* On a descriptor of ours; again, if the table of descriptors was replaced meanwhile. */
static int run_on_fd(const struct bpf_program *program, void *context, size_t size)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = context, .ctx_size_in = size);

	do {
		if (bpf_prog_test_run_opts(bpf_program__fd(program), &opts))
			return -errno;
	} while ((int)opts.retval == -EAGAIN);
	return (int)opts.retval < 0 ? (int)opts.retval : 0;
}

int source_object_facts(struct source *s, int fd, struct object_facts *ret)
{
	struct identify context = {.fd = fd};
	int err;

	if (fd < 0)
		return -EBADF;
	err = run_on_fd(s->skeleton->progs.on_identify, &context, sizeof(context));
	if (err)
		return err;
	ret->id = context.id;
	ret->guard = context.guard;
	return 0;
}

int source_object_id(struct source *s, int fd, struct object_id *ret)
{
	struct object_facts facts;
	int err = source_object_facts(s, fd, &facts);

	if (!err)
		*ret = facts.id;
	return err;
}

int source_place(struct source *s, int fd, struct selector_exe_key *ret)
{
	struct locate context = {.fd = fd};
	int err;

	if (fd < 0)
		return -EBADF;
	err = run_on_fd(s->skeleton->progs.on_locate, &context, sizeof(context));
	if (!err)
		*ret = context.place;
	return err;
}
