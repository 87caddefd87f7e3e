/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <uthash.h>

#include "base/cleanup.h"
#include "base/digest.h"
#include "base/log.h"
#include "daemon/core.h"
#include "daemon/executables.h"
#include "daemon/peer.h"

/* A cgroup that a selector takes: told to the kernel. */
struct chosen {
	UT_hash_handle hh;
	uint64_t id;
	uint64_t round;
};

struct selectors {
	struct core *core;
	struct chosen *cgroups;
	struct executables *executables;
	uint64_t left_alone;
	bool wants_cgroups;
	bool refused; /* by the kernel's maps: said once */
	uint64_t round;
	int inotify;
	sd_event_source *watch;
};

/* Whatever it would have taken stays untracked: that must not go unsaid. */
static bool is_refused(struct selectors *s, const char *what, int err)
{
	if (err < 0 && !s->refused)
		log_error("selectors: %s is not tracked: %s%s", what, strerror(-err),
			  err == -E2BIG ? " (4096 of a kind are the most)" : "");
	s->refused |= err < 0;
	return err < 0;
}

/* ---- cgroups ---- */

/*
 * One session for each instance: its key is the same for every cgroup below it, and after a
 * restart.
 */
static uint64_t instance_key(const struct core *c, uint32_t selector, const char *path, size_t len)
{
	struct {
		uint8_t boot_id[16];
		uint32_t selector;
		char path[PATH_MAX];
	} seed = {.selector = selector};
	struct sha256 h;
	uint64_t key;

	memcpy(seed.boot_id, c->boot_id, 16);
	memcpy(seed.path, path, len < PATH_MAX ? len : PATH_MAX - 1);
	if (sha256_of(&seed, sizeof(seed), &h) < 0)
		return 0;
	memcpy(&key, h.bytes, sizeof(key));
	return key;
}

static const struct config_selector *cgroup_selector(const struct core *c, const char *path,
						     const struct config_agent **ret_agent,
						     size_t *ret_len)
{
	for (size_t i = 0; i < c->config->agents_count; i++) {
		const struct config_agent *a = &c->config->agents[i];

		for (size_t n = 0; n < a->selectors_count; n++) {
			const struct config_selector *s = &a->selectors[n];

			if (s->kind != CONFIG_SELECT_UNIT && s->kind != CONFIG_SELECT_CGROUP)
				continue;
			*ret_len = config_selector_cgroup(s, path);
			if (*ret_len) {
				*ret_agent = a;
				return s;
			}
		}
	}
	return NULL;
}

/*
 * A cgroup's id is its directory's inode number. Returns whether the kernel was told something new.
 */
static bool choose(struct selectors *s, uint64_t id, const char *path)
{
	const struct config_agent *agent;
	const struct config_selector *by;
	struct selector selector;
	struct chosen *known;
	size_t len;

	HASH_FIND(hh, s->cgroups, &id, sizeof(id), known);
	if (known) {
		known->round = s->round;
		return false;
	}
	by = cgroup_selector(s->core, path, &agent, &len);
	if (!by)
		return false;
	selector = (struct selector){.session = instance_key(s->core, by->id, path, len),
				     .id = by->id,
				     .flags = by->exec_only ? SELECTOR_EXEC_ONLY : 0};
	if (is_refused(s, path, source_select_cgroup(s->core->source, id, &selector)))
		return false;
	known = calloc(1, sizeof(*known));
	if (!known)
		return true;
	known->id = id;
	known->round = s->round;
	HASH_ADD(hh, s->cgroups, id, sizeof(known->id), known);
	return true;
}

/* Below @path, which is relative to the hierarchy's root and begins with '/'. */
static bool walk(struct selectors *s, const char *path, unsigned int depth)
{
	char full[PATH_MAX];
	_cleanup_closedir_ DIR *d = NULL;
	struct dirent *e;
	struct stat st;
	bool any = false;

	if (snprintf(full, sizeof(full), "%s%s", s->core->cgroup_root, path) >= (int)sizeof(full))
		return false;
	d = opendir(full);
	if (!d || fstat(dirfd(d), &st) < 0)
		return false;
	/* The watch comes before the look, so that what is made in between is told. */
	(void)inotify_add_watch(s->inotify, full, IN_CREATE | IN_ONLYDIR);
	any = choose(s, st.st_ino, path);
	while (depth < 32 && (e = readdir(d))) {
		char below[PATH_MAX];

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		if (snprintf(below, sizeof(below), "%s/%s", strcmp(path, "/") ? path : "",
			     e->d_name) < (int)sizeof(below))
			any |= walk(s, below, depth + 1);
	}
	return any;
}

static void forget_gone(struct selectors *s)
{
	struct chosen *c, *next;

	HASH_ITER (hh, s->cgroups, c, next) {
		if (c->round == s->round)
			continue;
		(void)source_select_cgroup(s->core->source, c->id, NULL);
		HASH_DEL(s->cgroups, c);
		free(c);
	}
}

static int on_cgroup(sd_event_source *source, int fd, uint32_t revents, void *selectors)
{
	char buffer[16384] __attribute__((aligned(8)));
	struct selectors *s = selectors;

	(void)source, (void)revents;
	while (read(fd, buffer, sizeof(buffer)) > 0)
		;
	s->round++;
	/* Something may run there by now: it is taken as it is. */
	if (walk(s, "/", 0))
		(void)source_select_running(s->core->source, NULL);
	return 0;
}

/* Whether there is anything new. */
static bool look(struct selectors *s)
{
	bool any = executables_look(s->executables);

	if (s->wants_cgroups) {
		s->round++;
		any |= walk(s, "/", 0);
		forget_gone(s);
	}
	return any;
}

void selectors_refresh(struct selectors *s)
{
	if (look(s))
		(void)source_select_running(s->core->source, NULL);
}

/* ---- all of them ---- */

static void on_moved(void *selectors)
{
	const struct selectors *s = selectors;

	(void)source_select_running(s->core->source, NULL);
}

static bool is_ours(void *selectors, enum selector_kind kind, const void *key)
{
	const struct selectors *s = selectors;
	const struct config *config = s->core->config;
	const struct chosen *cgroup;

	switch (kind) {
	case SELECT_CGROUP:
		HASH_FIND(hh, s->cgroups, key, sizeof(cgroup->id), cgroup);
		return cgroup;
	case SELECT_EXE:
		return executables_has(s->executables, key);
	case SELECT_UID:
		for (size_t i = 0; i < config->agents_count; i++)
			for (size_t n = 0; n < config->agents[i].selectors_count; n++)
				if (config->agents[i].selectors[n].kind == CONFIG_SELECT_USER &&
				    !memcmp(&config->agents[i].selectors[n].uid, key,
					    sizeof(uid_t)))
					return true;
		return false;
	}
	return false;
}

/*
 * What an earlier daemon told goes after what holds now: in between, what both want is matched
 * without a break. Then nothing that runs is taken by what holds no more.
 */
int selectors_start(struct selectors *s)
{
	uint32_t left_alone = 0;
	int err;

	(void)look(s);
	err = source_select_only(s->core->source, is_ours, s);
	if (err)
		return err;
	err = source_select_running(s->core->source, &left_alone);
	if (err)
		log_error("selectors: not all that runs already is tracked: %s", strerror(-err));
	s->left_alone = left_alone;
	if (left_alone)
		log_notice("selectors: %u processes that run already are left alone (adopt: no)",
			   left_alone);
	return 0;
}

uint64_t selectors_left_alone(const struct selectors *s)
{
	return s->left_alone;
}

const struct executables *selectors_executables(const struct selectors *s)
{
	return s->executables;
}

static int add(struct selectors *s, const struct config_selector *by)
{
	struct selector selector = {.id = by->id,
				    .flags = by->exec_only ? SELECTOR_EXEC_ONLY : 0};

	switch (by->kind) {
	case CONFIG_SELECT_UNIT:
	case CONFIG_SELECT_CGROUP:
		s->wants_cgroups = true;
		return 0;
	case CONFIG_SELECT_USER:
		return source_select_uid(s->core->source, by->uid, &selector);
	case CONFIG_SELECT_EXE:
		return executables_add(s->executables, by);
	}
	return -EINVAL;
}

int selectors_new(struct core *c, struct selectors **ret)
{
	struct selectors *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->core = c;
	s->inotify = -1;
	err = executables_new(c, on_moved, s, &s->executables);
	for (size_t i = 0; !err && i < c->config->agents_count; i++)
		for (size_t n = 0; !err && n < c->config->agents[i].selectors_count; n++)
			err = add(s, &c->config->agents[i].selectors[n]);
	if (!err && s->wants_cgroups) {
		s->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		err = sd_event_add_io(c->event, &s->watch, s->inotify, EPOLLIN, on_cgroup, s);
		err = err < 0 ? err : 0;
	}
	if (err) {
		selectors_free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void selectors_free(struct selectors *s)
{
	struct chosen *c, *next;

	if (!s)
		return;
	HASH_ITER (hh, s->cgroups, c, next) {
		HASH_DEL(s->cgroups, c);
		free(c);
	}
	sd_event_source_unref(s->watch);
	closep(&s->inotify);
	executables_free(s->executables);
	free(s);
}

bool selectors_find(void *core, uint32_t id, struct attribute_selector *ret)
{
	const struct core *c = core;
	const struct config_agent *agent;
	const struct config_selector *s = config_selector(c->config, id, &agent);

	if (!s)
		return false;
	*ret = (struct attribute_selector){
		.agent = agent->name, .words = s->words, .own_user = agent->own_user};
	return true;
}

/* ---- affiant match ---- */

struct facts {
	struct selector_exe_key exe; /* all zero: unknown */
	uid_t uid;
	char cgroup[PATH_MAX];
};

static void read_facts(const struct core *c, pid_t pid, struct facts *f)
{
	_cleanup_close_ int exe = -1;
	_cleanup_fclose_ FILE *cgroups = NULL;
	struct peer_status status = {};
	char path[64], line[PATH_MAX];

	memset(f, 0, sizeof(*f));
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	exe = open(path, O_PATH | O_CLOEXEC);
	(void)source_place(c->source, exe, &f->exe);
	f->uid = peer_status(pid, &status) == 0 ? status.uid[0] : (uid_t)-1; /* the real one */
	peer_status_clear(&status);
	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	cgroups = fopen(path, "re");
	while (cgroups && fgets(line, sizeof(line), cgroups)) {
		if (strncmp(line, "0::", 3))
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(f->cgroup, sizeof(f->cgroup), "%s", line + 3);
	}
}

static bool takes(const struct core *c, const struct config_selector *s, const struct facts *f)
{
	switch (s->kind) {
	case CONFIG_SELECT_UNIT:
	case CONFIG_SELECT_CGROUP:
		return *f->cgroup && config_selector_cgroup(s, f->cgroup);
	case CONFIG_SELECT_USER:
		return f->uid == s->uid;
	case CONFIG_SELECT_EXE:
		return executables_takes(c->selectors->executables, s, &f->exe);
	}
	return false;
}

/* In the order of the kernel's programs: cgroup, executable, user. */
static const struct config_selector *first_match(const struct core *c, const struct facts *f,
						 const struct config_agent **ret_agent)
{
	const struct config_selector *best = NULL;

	for (size_t i = 0; i < c->config->agents_count; i++) {
		const struct config_agent *a = &c->config->agents[i];

		for (size_t n = 0; n < a->selectors_count; n++) {
			const struct config_selector *s = &a->selectors[n];

			if (!takes(c, s, f) || (best && best->kind <= s->kind))
				continue;
			best = s;
			*ret_agent = a;
		}
	}
	return best;
}

static char *explain(const struct config_selector *by, const struct facts *f, bool tagged)
{
	static const char *const what[] = {
		[CONFIG_SELECT_UNIT] = "cgroup",
		[CONFIG_SELECT_CGROUP] = "cgroup",
		[CONFIG_SELECT_EXE] = "executable",
		[CONFIG_SELECT_USER] = "user",
	};
	char *why = NULL;
	int n;

	if (by)
		n = asprintf(&why, "its %s is what the selector names%s", what[by->kind],
			     tagged ? ""
			     : by->exec_only
				     ? "; it ran already, and is left alone (adopt: no) until it "
				       "executes something"
				     : "; it is taken when it executes something");
	else
		n = asprintf(&why, "no selector names its cgroup (%s), its executable or its user",
			     *f->cgroup ? f->cgroup : "unknown");
	return n < 0 ? NULL : why;
}

/* What sessions there are is for readers; who opened one knows of it. */
static bool may_see(const struct server_caller *caller, const struct session *s)
{
	return caller->roles & (SERVER_ROLE_READER | SERVER_ROLE_ROOT) ||
	       s->head->session_started->launcher_uid == caller->uid;
}

void core_match(void *core, struct server_call *call, pid_t pid)
{
	struct core *c = core;
	Affiant__V1__Response r = AFFIANT__V1__RESPONSE__INIT;
	Affiant__V1__Matched m = AFFIANT__V1__MATCHED__INIT;
	const struct config_agent *agent = NULL;
	const struct config_selector *by;
	_cleanup_free_ char *why = NULL;
	_cleanup_free_ Affiant__V1__SessionInfo *info = NULL;
	struct session *s;
	struct facts f;
	struct tag tag;

	core_drain(c);
	read_facts(c, pid, &f);
	by = first_match(c, &f, &agent);
	m.has_tagged = true;
	m.tagged = source_tag_of(c->source, pid, &tag) == 0;
	s = m.tagged ? session_find(&c->attribute->table, tag.session) : NULL;
	if (s && may_see(server_call_caller(call), s))
		m.session = info = session_info(c, s);
	if (by) {
		m.selector = by->words;
		m.agent = agent->name;
	}
	why = explain(by, &f, m.tagged);
	m.why = why;
	r.answer_case = AFFIANT__V1__RESPONSE__ANSWER_MATCHED;
	r.matched = &m;
	server_answer(call, &r);
}
