/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/pb.h"
#include "daemon/cgroups.h"
#include "daemon/core.h"
#include "daemon/executables.h"
#include "daemon/joining.h"

struct selectors {
	struct core *core;
	struct cgroups *cgroups;
	struct executables *executables;
	uint64_t left_alone;
	bool selecting, again; /* what runs is looked at beside the loop, and once more after that */
};

/* ---- what runs already, over all tasks of the host: beside the loop ---- */

static void select_running(void *core)
{
	(void)source_select_running(((struct core *)core)->source, NULL);
}

static void on_moved(void *selectors);

static void selected(void *core, int err)
{
	struct selectors *s = ((struct core *)core)->selectors;
	bool again = s->again;

	(void)err;
	s->selecting = s->again = false;
	if (again)
		on_moved(s);
}

/* What a selector takes has moved: those that were asked for while a look goes on get one more. */
static void on_moved(void *selectors)
{
	struct selectors *s = selectors;
	const struct aside_work work = {.wait_ns = ASIDE_ENDS,
					.run = select_running,
					.done = selected,
					.data = s->core};

	s->again |= s->selecting;
	if (s->selecting)
		return;
	s->selecting = true;
	if (aside_submit(s->core->aside, &work))
		s->selecting = false;
}

void selectors_refresh(struct selectors *s)
{
	if (executables_look(s->executables))
		on_moved(s);
	cgroups_repair(s->cgroups, core_boottime_ns(), on_moved, s);
}

void selectors_tell_gap(struct core *c, uint64_t from_ns, uint64_t to_ns, const char *what)
{
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__Gap gap = AFFIANT__V1__GAP__INIT;

	SET(&gap, reason, AFFIANT__V1__GAP_REASON__GAP_SELECTORS);
	if (from_ns)
		SET(&gap, from_boottime_ns, from_ns);
	SET(&gap, to_boottime_ns, to_ns);
	gap.what = (char *)what;
	r.body_case = AFFIANT__V1__RECORD__BODY_GAP;
	r.gap = &gap;
	core_tell(c, &r);
}

static int tell_user(struct selectors *s, const struct config_selector *by)
{
	struct selector selector = {.id = by->id,
				    .session = joining_session(s->core, by->id),
				    .flags = by->exec_only ? SELECTOR_EXEC_ONLY : 0};

	return source_select_uid(s->core->source, by->uid, &selector);
}

/* ---- all of them ---- */

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

/* What was selected by cgroup has a session of its own in any case. */
void selectors_tell(struct selectors *s)
{
	const struct config *config = s->core->config;

	executables_tell(s->executables);
	for (size_t i = 0; i < config->agents_count; i++)
		for (size_t n = 0; n < config->agents[i].selectors_count; n++)
			if (config->agents[i].selectors[n].kind == CONFIG_SELECT_USER)
				(void)tell_user(s, &config->agents[i].selectors[n]);
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
	selectors_tell(s);
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
	switch (by->kind) {
	case CONFIG_SELECT_UNIT:
	case CONFIG_SELECT_USER_UNIT:
	case CONFIG_SELECT_CGROUP:
		return 0;
	case CONFIG_SELECT_USER:
		return tell_user(s, by);
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
