/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/effort.h"
#include "daemon/cgroups.h"
#include "daemon/core.h"
#include "daemon/executables.h"
#include "daemon/peer.h"

/* What is read beside the loop: a process's exec can make whoever looks at it wait. */
struct facts {
	struct core *core;
	struct server_call *call;
	pid_t caller, asked; /* in the caller's namespace; */
	pid_t pid;	     /* in ours */
	int err;	     /* why it is not known */
	struct selector_exe_key exe; /* all zero: unknown */
	uid_t uid;
	char cgroup[PATH_MAX];
	const struct config_selector *by_cgroup;
};

static void read_facts(struct facts *f)
{
	const struct core *c = f->core;
	_cleanup_close_ int exe = -1;
	_cleanup_fclose_ FILE *cgroups = NULL;
	struct peer_status status = {};
	char path[64], line[PATH_MAX];

	snprintf(path, sizeof(path), "/proc/%d/exe", f->pid);
	exe = effort_open(path, O_PATH | O_CLOEXEC);
	(void)source_place(c->source, exe, &f->exe);
	f->uid = peer_status(f->pid, &status) == 0 ? status.uid[0] : (uid_t)-1; /* the real one */
	peer_status_clear(&status);
	snprintf(path, sizeof(path), "/proc/%d/cgroup", f->pid);
	cgroups = effort_fopen(path);
	while (cgroups && effort_gets(line, sizeof(line), cgroups)) {
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
		return executables_takes(selectors_executables(c->selectors), s, &f->exe);
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

static void answer(const struct facts *f)
{
	struct core *c = f->core;
	Affiant__V1__Response r = AFFIANT__V1__RESPONSE__INIT;
	Affiant__V1__Matched m = AFFIANT__V1__MATCHED__INIT;
	const struct config_agent *agent = NULL;
	const struct config_selector *by;
	_cleanup_free_ char *why = NULL;
	_cleanup_free_ Affiant__V1__SessionInfo *info = NULL;
	struct session *s;
	struct tag tag;

	core_drain(c);
	by = first_match(c, f, &agent);
	m.has_tagged = true;
	m.tagged = source_tag_of(c->source, f->pid, &tag) == 0;
	s = m.tagged ? session_find(&c->attribute->table, tag.session) : NULL;
	if (s && may_see(server_call_caller(f->call), s))
		m.session = info = session_info(c, s);
	if (by) {
		m.selector = by->words;
		m.agent = agent->name;
	}
	why = explain(by, f, m.tagged);
	m.why = why;
	r.answer_case = AFFIANT__V1__RESPONSE__ANSWER_MATCHED;
	r.matched = &m;
	server_answer(f->call, &r);
}

#define FACTS_NS (2 * CORE_SECOND_NS)

static void find(void *facts)
{
	struct facts *f = facts;
	const struct peer caller = {.pid = f->caller};

	f->err = peer_resolve(&caller, f->asked, &f->pid);
	if (!f->err)
		read_facts(f);
}

static void found(void *facts, int err)
{
	const struct facts *f = facts;

	if (err)
		server_refuse(f->call, "busy",
			      "process %d lets nobody look at it: it executes something, and a file "
			      "system does not answer",
			      f->asked);
	else if (f->err)
		server_refuse(f->call, "not_found",
			      "there is no process %d in the caller's pid namespace", f->asked);
	else
		answer(f);
}

void core_match(void *core, struct server_call *call, pid_t asked)
{
	const struct server_caller *caller = server_call_caller(call);
	struct core *c = core;
	struct facts *f = calloc(1, sizeof(*f));
	const struct aside_work work = {.key = aside_key(ASIDE_FOR_MATCH, caller->uid),
					.wait_ns = FACTS_NS,
					.run = find,
					.done = found,
					.free = free,
					.data = f};

	if (f) {
		f->core = c;
		f->call = call;
		f->caller = caller->pid;
		f->asked = asked;
		if (!aside_submit(c->aside, &work))
			return;
		free(f);
	}
	server_refuse(call, "busy", "too much is under way: try again later");
}
