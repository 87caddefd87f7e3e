/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/cgroups.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/effort.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/text.h"
#include "collect/loss.h"
#include "daemon/core.h"
#include "match.h"

DEFINE_CLEANUP(struct sha256_context *, sha256_free)

#define DEPTH_MAX 256 /* each level takes a descriptor while the walk is below it */
#define REPAIR_NS (60 * CORE_SECOND_NS)
#define TRIES_MAX 8

struct cgroups {
	struct core *core;
	const struct pattern *patterns[PATTERNS_MAX];
	uint32_t count;
	uint64_t generation;
	bool changed; /* by this start */
	bool told; /* that something is not looked at: said once */
	bool lost;
	bool walking; /* beside the loop */
	uint64_t repaired_ns;
};

static void add_patterns(struct cgroups *g)
{
	const struct config *c = g->core->config;

	for (size_t i = 0; i < c->agents_count; i++)
		for (size_t n = 0; n < c->agents[i].selectors_count; n++)
			if (c->agents[i].selectors[n].pattern && g->count < PATTERNS_MAX)
				g->patterns[g->count++] = c->agents[i].selectors[n].pattern;
}

/* The states in the kernel are of exactly these patterns, in this order. */
static int make_generation(struct cgroups *g)
{
	_cleanup_(sha256_freep) struct sha256_context *sum = NULL;
	struct sha256 digest;
	int err = sha256_new(&sum);

	for (uint32_t i = 0; !err && i < g->count; i++)
		err = sha256_update(sum, g->patterns[i], sizeof(*g->patterns[i]));
	err = err ?: sha256_final(sum, &digest);
	if (err)
		return err;
	memcpy(&g->generation, digest.bytes, sizeof(g->generation));
	g->generation = g->count ? g->generation | 1 : 0;
	return 0;
}

int cgroups_new(struct core *c, struct cgroups **ret)
{
	struct cgroups *g = calloc(1, sizeof(*g));
	int err;

	if (!g)
		return -ENOMEM;
	g->core = c;
	add_patterns(g);
	err = make_generation(g);
	if (err) {
		free(g);
		return err;
	}
	*ret = g;
	return 0;
}

void cgroups_free(struct cgroups *g)
{
	free(g);
}

/* ---- the walk ---- */

/* Beside the loop, but at the start: an agent makes as many cgroups as it likes below its own. */
struct walk {
	const struct cgroups *g;
	const struct aside *aside; /* whose thread it is; NULL: the loop's */
	void (*found)(void *data);
	void *data;
	bool any; /* a cgroup that matches was not known */
	bool lost; /* something is not looked at: the first such, and why */
	char name[NAME_MAX + 1];
	int err;
};

static const char *reason(int err)
{
	switch (err) {
	case -E2BIG:
		return "there is room for 65536, and half of it for what others than root make";
	case -ELOOP:
		return "they lie deeper than 256";
	}
	return strerror(-err);
}

static void cant(struct walk *w, const char *name, int err)
{
	if (w->lost)
		return;
	w->lost = true;
	w->err = err;
	snprintf(w->name, sizeof(w->name), "%s", name);
}

/* In the loop. */
static void tell_lost(struct cgroups *g, const struct walk *w)
{
	struct buffer shown = {0};

	g->lost = w->lost;
	if (w->lost && !g->told) {
		g->core->attribute->dropped[LOSS_CGROUP]++;
		text_printable(&shown, w->name, strlen(w->name), 0);
		buffer_add_char(&shown, '\0');
		log_error("selectors: the cgroup %s and those below it are not looked at: %s",
			  buffer_error(&shown) ? "?" : shown.data, reason(w->err));
		buffer_done(&shown);
	}
	g->told = w->lost;
}

static uint64_t new_session(void)
{
	uint64_t key = 0;

	while (!key && getrandom(&key, sizeof(key), 0) < 0 && errno == EINTR)
		;
	return key | 1;
}

/* As the kernel does for one that is made: on_mkdir. */
static void derive(const struct cgroups *g, const struct cgroup_state *parent, const char *name,
		   bool by_root, struct cgroup_state *ret)
{
	struct pattern_step step = {.by_root = by_root, .len = strlen(name)};

	*ret = (struct cgroup_state){.generation = g->generation,
				     .selector = parent->selector,
				     .by_others = !by_root};
	if (parent->selector.session || step.len > PATTERN_NAME_MAX)
		return;
	memcpy(step.name, name, step.len);
	for (uint32_t i = 0; i < g->count; i++) {
		if (!(parent->alive >> i & 1))
			continue;
		step.from = parent->at[i];
		pattern_step(g->patterns[i], &step);
		if (pattern_matched(g->patterns[i], &step)) {
			*ret = (struct cgroup_state){
				.generation = g->generation,
				.selector = {.session = new_session(),
					     .id = g->patterns[i]->selector,
					     .flags = g->patterns[i]->flags},
				.by_others = !by_root};
			return;
		}
		ret->at[i] = step.to;
		ret->alive |= (uint64_t)(step.to != 0) << i;
	}
}

static bool is_nothing(const struct cgroup_state *s)
{
	return !s->alive && !s->selector.session;
}

/*
 * Gives the cgroup its state, unless the kernel has; *@s is what holds then. A match that the
 * patterns of before made, too, is of the same session: @first, it is not the parent's.
 */
static int settle(struct walk *w, uint64_t id, bool first, struct cgroup_state *s)
{
	struct source *source = w->g->core->source;
	struct cgroup_state known;
	int err = 0;

	for (int i = 0; i < TRIES_MAX; i++) {
		bool there = source_cgroup_get(source, id, &known) == 0;

		if (there && known.generation == s->generation) {
			*s = known;
			return 0;
		}
		if (is_nothing(s))
			return there ? source_cgroup_drop(source, id), 0 : 0;
		if (there && first && known.selector.id == s->selector.id && known.selector.session)
			s->selector.session = known.selector.session;
		err = source_cgroup_put(source, id, s, there);
		if (err != -EEXIST && err != -ENOENT)
			break;
	}
	w->any |= !err && s->selector.session;
	return err;
}

static void walk(struct walk *w, int parent, const char *name, bool by_root,
		 const struct cgroup_state *above, unsigned int depth);

static void walk_below(struct walk *w, DIR *d, const char *name, const struct cgroup_state *state,
		       unsigned int depth)
{
	struct dirent *e;
	struct stat st;
	bool by_root;

	if (fstat(dirfd(d), &st) < 0)
		return;
	by_root = st.st_uid == 0 && !(st.st_mode & (S_IWGRP | S_IWOTH));
	while (!(w->aside && aside_stopping(w->aside)) && (e = effort_readdir(d))) {
		if (e->d_type != DT_DIR || !strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (depth == DEPTH_MAX) {
			cant(w, name, -ELOOP);
			return;
		}
		walk(w, dirfd(d), e->d_name, by_root, state, depth + 1);
	}
}

/*
 * The state comes before the look at what is below: a cgroup that is made there meanwhile is either
 * seen by the look, or gets its state in the kernel. One that is half made while its parent gets
 * its own is waited for.
 */
static void walk(struct walk *w, int parent, const char *name, bool by_root,
		 const struct cgroup_state *above, unsigned int depth)
{
	struct cgroup_state state = *above;
	_cleanup_closedir_ DIR *d = NULL;
	struct stat st;
	int err, fd;

	fd = effort_openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	d = fd < 0 ? NULL : effort_fdopendir(fd);
	if (!d || fstat(fd, &st) < 0) {
		err = -errno;
		if (!d)
			closep(&fd);
		if (err != -ENOENT && err != -ENODEV) /* gone meanwhile */
			cant(w, name, err);
		return;
	}
	if (depth)
		derive(w->g, above, name, by_root, &state);
	err = settle(w, st.st_ino, !above->selector.session, &state);
	if (err)
		cant(w, name, err);
	if (err || is_nothing(&state))
		return;
	/* What was removed before its state came would keep it for good. */
	if (faccessat(fd, "cgroup.procs", F_OK, 0) < 0) {
		(void)source_cgroup_drop(w->g->core->source, st.st_ino);
		return;
	}
	err = source_cgroup_barrier(w->g->core->source);
	if (err)
		cant(w, name, err);
	walk_below(w, d, name, &state, depth);
}

static void walk_all(void *walking)
{
	struct walk *w = walking;
	const struct cgroups *g = w->g;
	struct cgroup_state root = {.generation = g->generation};

	for (uint32_t i = 0; i < g->count; i++) {
		root.at[i] = pattern_start(g->patterns[i]);
		root.alive |= 1ull << i;
	}
	walk(w, source_cgroup_fd(g->core->source), ".", true, &root, 0);
}

static void walked(void *walking, int err)
{
	struct walk *w = walking;
	struct cgroups *g = (struct cgroups *)w->g;

	(void)err;
	g->walking = false;
	tell_lost(g, w);
	if (w->any)
		w->found(w->data);
}

int cgroups_start(struct cgroups *g)
{
	struct source *source = g->core->source;
	int err;

	g->changed = !g->count || source_patterns(source) != g->generation;
	if (!g->changed)
		return 0;
	err = source_patterns_set(source, g->patterns, g->count, g->generation);
	if (err)
		return err;
	if (g->count) {
		struct walk w = {.g = g};

		walk_all(&w);
		tell_lost(g, &w);
	}
	return 0;
}

void cgroups_started(struct cgroups *g)
{
	uint64_t since;

	if (!g->changed)
		return;
	since = source_patterns_walked(g->core->source);
	/* What the patterns of before took, and these too, nobody looked for in between. */
	if (since && g->count)
		selectors_tell_gap(g->core, since, core_boottime_ns(),
				   "unit, user_unit and cgroup selectors: they were set anew");
}

/*
 * A user with cgroups to make can fill the table: then a walk can't help, and costs. So not too
 * often.
 */
void cgroups_repair(struct cgroups *g, uint64_t now_ns, void (*found)(void *data), void *data)
{
	struct walk *w;
	struct aside_work work = {
		.wait_ns = ASIDE_ENDS, .run = walk_all, .done = walked, .free = free};

	g->lost |= source_cgroups_lost(g->core->source);
	if (!g->count || !g->lost || g->walking ||
	    (g->repaired_ns && now_ns - g->repaired_ns < REPAIR_NS))
		return;
	work.data = w = malloc(sizeof(*w));
	if (!w)
		return;
	*w = (struct walk){.g = g, .aside = g->core->aside, .found = found, .data = data};
	g->walking = true;
	if (!aside_submit(g->core->aside, &work)) {
		g->repaired_ns = now_ns;
		return;
	}
	g->walking = false;
	free(w);
}

const struct config_selector *cgroups_selector(const struct core *c, const char *path)
{
	char full[PATH_MAX];
	struct cgroup_state state;
	struct stat st;

	if (!c->cgroup_root ||
	    snprintf(full, sizeof(full), "%s%s", c->cgroup_root, path) >= (int)sizeof(full) ||
	    stat(full, &st) < 0 || source_cgroup_get(c->source, st.st_ino, &state) < 0 ||
	    state.generation != source_patterns(c->source) || !state.selector.session)
		return NULL;
	return config_selector(c->config, state.selector.id, NULL);
}
