/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "daemon/cgroups.h"
#include "daemon/core.h"
#include "daemon/executables.h"
#include "daemon/peer.h"

struct selectors {
	struct core *core;
	struct cgroups *cgroups;
	struct executables *executables;
	uint64_t left_alone;
};

void selectors_refresh(struct selectors *s)
{
	bool any = executables_look(s->executables);

	any |= cgroups_repair(s->cgroups, core_boottime_ns());
	if (any)
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

	switch (kind) {
	case SELECT_CGROUP: /* cgroups.c */
		return true;
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

	err = cgroups_start(s->cgroups);
	if (err)
		return err;
	(void)executables_look(s->executables);
	err = source_select_only(s->core->source, is_ours, s);
	if (err)
		return err;
	err = source_select_running(s->core->source, &left_alone);
	if (err)
		log_error("selectors: not all that runs already is tracked: %s", strerror(-err));
	else
		cgroups_started(s->cgroups);
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
	case CONFIG_SELECT_USER_UNIT:
	case CONFIG_SELECT_CGROUP:
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
	err = cgroups_new(c, &s->cgroups) ?: executables_new(c, on_moved, s, &s->executables);
	for (size_t i = 0; !err && i < c->config->agents_count; i++)
		for (size_t n = 0; !err && n < c->config->agents[i].selectors_count; n++)
			err = add(s, &c->config->agents[i].selectors[n]);
	if (err) {
		selectors_free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void selectors_free(struct selectors *s)
{
	if (!s)
		return;
	cgroups_free(s->cgroups);
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
	const struct config_selector *by_cgroup;
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
	f->by_cgroup = *f->cgroup ? cgroups_selector(c, f->cgroup) : NULL;
}

static bool takes(const struct core *c, const struct config_selector *s, const struct facts *f)
{
	switch (s->kind) {
	case CONFIG_SELECT_UNIT:
	case CONFIG_SELECT_USER_UNIT:
	case CONFIG_SELECT_CGROUP:
		return s == f->by_cgroup;
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
		[CONFIG_SELECT_USER_UNIT] = "cgroup",
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
