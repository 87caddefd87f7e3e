/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/executables.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>

#include "base/cleanup.h"
#include "base/effort.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/pb.h"
#include "daemon/joining.h"
#include "daemon/location.h"
#include "daemon/turn.h"

#define WATCHES_MAX 256 /* of one path: 40 links, and what they lead through */
#define GRACE_NS (5 * CORE_SECOND_NS)
/* Who may write on the way to an executable can't keep the daemon busy: so often a second. */
#define LOOKS_PER_SECOND 10

struct program {
	const struct config_selector *selector;
	struct selector_exe_key key; /* what the kernel was told */
	struct selector_exe_key old; /* before, for a while: an exec of it may be under way */
	bool told, old_told;
	uint64_t moved_ns; /* when 'old' became that */
	uint64_t looked_ns;
	int *watches;
	size_t watches_count;
	int watch_err; /* why not all of the way is watched (-errno), 0: it is */
	int err;       /* why the path leads nowhere (-errno), 0: it does */
	uint64_t gaps, gap_from_ns, gap_to_ns;
};

struct executables {
	struct core *core;
	void (*moved)(void *data);
	void *data;
	struct program *programs;
	size_t count;
	int inotify;
	int inotify_err;
	sd_event_source *source;
	bool said_watch, said_refused; /* in the log, once */
};

/* ---- what the kernel is told ---- */

static bool key_is(const struct selector_exe_key *a, const struct selector_exe_key *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/*
 * What stands for a path that leads nowhere: no executable has it. A later daemon learns from it
 * that this one had looked.
 */
static void key_of_nothing(const struct program *p, struct selector_exe_key *ret)
{
	*ret = (struct selector_exe_key){0};
	snprintf(ret->name, sizeof(ret->name), "%u", p->selector->id);
}

static bool is_nothing(const struct selector_exe_key *key)
{
	return !key->inode && !key->device;
}

static struct selector selector_of(const struct executables *x, const struct program *p)
{
	return (struct selector){.id = p->selector->id,
				 .session = joining_session(x->core, p->selector->id),
				 .flags = p->selector->exec_only ? SELECTOR_EXEC_ONLY : 0};
}

static int tell_kernel(struct executables *x, const struct program *p,
		       const struct selector_exe_key *key)
{
	struct selector selector = selector_of(x, p);
	int err = source_select_exe(x->core->source, key, &selector);

	if (err && !x->said_refused)
		log_error("selectors: %s is not tracked: %s%s", p->selector->words, strerror(-err),
			  err == -E2BIG ? " (4096 of a kind are the most)" : "");
	x->said_refused |= err != 0;
	return err;
}

/* Two paths may have led to the same place. */
static void forget_old(struct executables *x, struct program *p)
{
	p->old_told = false;
	for (size_t i = 0; i < x->count; i++)
		if (x->programs[i].told && key_is(&x->programs[i].key, &p->old)) {
			(void)tell_kernel(x, &x->programs[i], &p->old);
			return;
		}
	(void)source_select_exe(x->core->source, &p->old, NULL);
}

/* ---- gaps ---- */

static void tell_gap(const struct executables *x, struct program *p, uint64_t from, uint64_t to)
{
	selectors_tell_gap(x->core, from, to, p->selector->words);
	p->gaps++;
	p->gap_from_ns = from;
	p->gap_to_ns = to;
}

/*
 * Whether the path may have led to @key since the last look at it, and when that was: this
 * daemon's, or an earlier one's, which told the kernel something else; or since the kernel's maps
 * were made anew, which nobody has told anything yet. Of what leads nowhere, nothing runs.
 * *@ret_from 0: nobody knows.
 */
static bool was_unseen(const struct executables *x, const struct program *p,
		       const struct selector_exe_key *key, uint64_t *ret_from)
{
	uint64_t looked_ns = p->looked_ns ?: source_places_ns(x->core->source);
	struct source_epoch epoch;

	if (is_nothing(key))
		return false;
	source_get_epoch(x->core->source, &epoch);
	*ret_from = looked_ns ?: epoch.made_ns;
	return p->looked_ns || (!looked_ns && epoch.made_ns) ||
	       source_exe_told(x->core->source, key, p->selector->id) == 0;
}

/* ---- watching the way there ---- */

struct watching {
	struct executables *x;
	int watches[WATCHES_MAX];
	size_t count;
	int err;
};

static void watch(struct watching *w, int fd, uint32_t mask)
{
	char path[32];
	int wd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	wd = w->count < WATCHES_MAX ? inotify_add_watch(w->x->inotify, path, mask | IN_MASK_ADD)
				    : -1;
	if (wd < 0) {
		w->err = w->x->inotify_err
				 ?: w->count == WATCHES_MAX
				    ? -E2BIG
				    : limit_as(-errno, -ENOSPC, LIMIT_INOTIFY_WATCHES);
		if (w->x->inotify_err)
			(void)limit_of_instances(w->x->inotify_err, LIMIT_INOTIFY_INSTANCES);
		return;
	}
	for (size_t i = 0; i < w->count; i++)
		if (w->watches[i] == wd)
			return;
	w->watches[w->count++] = wd;
}

/*
 * What goes away or is moved says so itself: no other file beside it makes a noise. A directory
 * that is removed while somebody is in it does not, and what is not there yet can't.
 */
static void watch_name(void *watching, int dir, int fd, bool is_dir)
{
	if (fd >= 0)
		watch(watching, fd, IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB);
	if (fd < 0)
		watch(watching, dir, IN_CREATE | IN_MOVED_TO);
	else if (is_dir)
		watch(watching, dir, IN_DELETE);
}

static bool is_watched(const struct executables *x, int wd, const struct program *but)
{
	for (size_t i = 0; i < x->count; i++) {
		const struct program *p = &x->programs[i];

		for (size_t n = 0; p != but && n < p->watches_count; n++)
			if (p->watches[n] == wd)
				return true;
	}
	return false;
}

/* From now on @w's watches are the program's; those that nobody needs any more go. */
static void keep_watches(struct executables *x, struct program *p, const struct watching *w)
{
	int *now = malloc((w->count ?: 1) * sizeof(*now));

	if (!now)
		return; /* some too many */
	memcpy(now, w->watches, w->count * sizeof(*now));
	for (size_t i = 0; i < p->watches_count; i++) {
		bool kept = is_watched(x, p->watches[i], p);

		for (size_t n = 0; !kept && n < w->count; n++)
			kept = now[n] == p->watches[i];
		if (!kept)
			(void)inotify_rm_watch(x->inotify, p->watches[i]);
	}
	free(p->watches);
	p->watches = now;
	p->watches_count = w->count;
	p->watch_err = w->err;
	if (w->err && !x->said_watch)
		log_warning("selectors: changes on the way to %s are looked for every 5 seconds "
			    "only: %s (raise fs.inotify.max_user_watches and "
			    "fs.inotify.max_user_instances)",
			    p->selector->value, strerror(-w->err));
	x->said_watch |= w->err != 0;
}

/* ---- where it is ---- */

/*
 * The kernel's word of what was opened there: it may be a file that is mounted over another. Where
 * there is none, one may be put.
 */
static int find_key(struct executables *x, struct program *p, struct selector_exe_key *ret)
{
	struct watching w = {.x = x};
	struct location l;
	struct object_facts dir;
	int err;

	err = location_find(p->selector->value, &x->core->answering, watch_name, &w, &l);
	keep_watches(x, p, &w);
	if (err)
		return err;
	if (l.file >= 0) {
		err = source_place(x->core->source, l.file, ret);
	} else {
		err = source_object_facts(x->core->source, l.dir, &dir);
		*ret = (struct selector_exe_key){.inode = dir.id.inode,
						 .device = dir.id.device,
						 .generation = dir.id.generation,
						 .owner = dir.guard.owner};
		memcpy(ret->name, l.name, strlen(l.name));
	}
	location_clear(&l);
	return err;
}

/* The kernel matches by @key from now on. */
static void move(struct executables *x, struct program *p, const struct selector_exe_key *key)
{
	if (tell_kernel(x, p, key))
		return;
	if (p->old_told && !key_is(&p->old, key))
		forget_old(x, p);
	p->old = p->key;
	p->old_told = p->told;
	p->moved_ns = core_boottime_ns();
	p->key = *key;
	p->told = true;
}

/* Returns whether it leads somewhere else. */
static bool renew(struct executables *x, struct program *p)
{
	uint64_t now = core_boottime_ns(), from;
	struct selector_exe_key key;
	bool moved, unseen;

	p->err = find_key(x, p, &key);
	if (p->err)
		key_of_nothing(p, &key);
	moved = !p->told || !key_is(&key, &p->key);
	unseen = moved && was_unseen(x, p, &key, &from);
	if (moved)
		move(x, p, &key);
	if (unseen)
		tell_gap(x, p, from, core_boottime_ns());
	p->looked_ns = now;
	return moved && !is_nothing(&key);
}

bool executables_look(struct executables *x)
{
	uint64_t now = core_boottime_ns();
	bool any = false;

	for (size_t i = 0; i < x->count; i++) {
		struct program *p = &x->programs[i];

		any |= renew(x, p);
		if (p->old_told && now > p->moved_ns + GRACE_NS)
			forget_old(x, p);
	}
	source_set_places_ns(x->core->source, now);
	return any;
}

void executables_tell(struct executables *x)
{
	for (size_t i = 0; i < x->count; i++)
		if (x->programs[i].old_told)
			(void)tell_kernel(x, &x->programs[i], &x->programs[i].old);
	for (size_t i = 0; i < x->count; i++)
		if (x->programs[i].told)
			(void)tell_kernel(x, &x->programs[i], &x->programs[i].key);
}

/* ---- what inotify says ---- */

static bool concerns(const struct program *p, const struct inotify_event *e)
{
	if (e->mask & IN_Q_OVERFLOW)
		return true;
	for (size_t i = 0; i < p->watches_count; i++)
		if (p->watches[i] == e->wd)
			return true;
	return false;
}

static void mark(const struct executables *x, const struct inotify_event *e, bool *dirty)
{
	for (size_t i = 0; i < x->count; i++)
		dirty[i] |= concerns(&x->programs[i], e);
}

/* Files that are removed beside a directory of ours say nothing, nor does the same once more. */
static void mark_all(const struct executables *x, const char *events, size_t len, bool *dirty)
{
	const struct inotify_event *e;
	int last = 0;

	for (size_t at = 0; at < len; at += sizeof(*e) + e->len) {
		e = (const void *)(events + at);
		if (e->mask == IN_DELETE || e->wd == last)
			continue;
		last = e->wd;
		mark(x, e, dirty);
	}
}

static int on_event(sd_event_source *source, int fd, uint32_t revents, void *executables)
{
	char buffer[16384] __attribute__((aligned(8)));
	struct executables *x = executables;
	_cleanup_free_ bool *dirty = calloc(x->count ?: 1, sizeof(*dirty));
	bool any = false;
	ssize_t n;

	(void)source, (void)revents;
	if (!dirty)
		return 0; /* in five seconds */
	while (effort_goes_on() && (n = effort_read(fd, buffer, sizeof(buffer))) > 0)
		mark_all(x, buffer, n, dirty);
	for (size_t i = 0; i < x->count; i++)
		if (dirty[i])
			any |= renew(x, &x->programs[i]);
	if (any)
		x->moved(x->data);
	return 0;
}

/* ---- all of them ---- */

bool executables_has(const struct executables *x, const struct selector_exe_key *key)
{
	for (size_t i = 0; i < x->count; i++) {
		const struct program *p = &x->programs[i];

		if ((p->told && key_is(&p->key, key)) || (p->old_told && key_is(&p->old, key)))
			return true;
	}
	return false;
}

bool executables_takes(const struct executables *x, const struct config_selector *by,
		       const struct selector_exe_key *place)
{
	for (size_t i = 0; i < x->count; i++)
		if (x->programs[i].selector == by)
			return x->programs[i].told && key_is(&x->programs[i].key, place);
	return false;
}

int executables_add(struct executables *x, const struct config_selector *by)
{
	struct program *more = reallocarray(x->programs, x->count + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	x->programs = more;
	more[x->count++] = (struct program){.selector = by};
	return 0;
}

/* Without inotify there is the look every five seconds, which is no reason not to start. */
static int start_watching(struct executables *x)
{
	int err;

	x->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (x->inotify < 0) {
		x->inotify_err = -errno;
		return 0;
	}
	err = sd_event_add_io(x->core->event, &x->source, x->inotify, EPOLLIN, on_event, x);
	if (err >= 0)
		err = sd_event_source_set_ratelimit(x->source, 1000000, LOOKS_PER_SECOND);
	return err < 0 ? err : 0;
}

int executables_new(struct core *c, void (*moved)(void *data), void *data,
		    struct executables **ret)
{
	struct executables *x = calloc(1, sizeof(*x));
	int err;

	if (!x)
		return -ENOMEM;
	*x = (struct executables){.core = c, .moved = moved, .data = data, .inotify = -1};
	err = start_watching(x);
	if (err) {
		executables_free(x);
		return err;
	}
	*ret = x;
	return 0;
}

void executables_free(struct executables *x)
{
	if (!x)
		return;
	sd_event_source_unref(x->source);
	closep(&x->inotify);
	for (size_t i = 0; i < x->count; i++)
		free(x->programs[i].watches);
	free(x->programs);
	free(x);
}

/* ---- affiant status ---- */

Affiant__V1__SelectorGap **executables_gaps(const struct executables *x, size_t *ret_count)
{
	Affiant__V1__SelectorGap **list =
		malloc((x->count ?: 1) * (sizeof(*list) + sizeof(**list)));
	Affiant__V1__SelectorGap *at = (void *)(list + (x->count ?: 1));

	*ret_count = 0;
	for (size_t i = 0; list && i < x->count; i++) {
		const struct program *p = &x->programs[i];
		int err = p->err ?: p->watch_err;

		if (!err && !p->gaps)
			continue;
		affiant__v1__selector_gap__init(at);
		at->selector = p->selector->words;
		SET(at, gaps, p->gaps);
		if (p->gap_from_ns)
			SET(at, from_boottime_ns, p->gap_from_ns);
		if (p->gaps)
			SET(at, to_boottime_ns, p->gap_to_ns);
		if (err)
			at->error = (char *)strerrordesc_np(-err);
		SET(at, leads_nowhere, p->err != 0);
		list[(*ret_count)++] = at++;
	}
	return list;
}
