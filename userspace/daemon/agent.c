/* SPDX-License-Identifier: Apache-2.0 */
/* The 'agents' of a configuration file. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "daemon/account.h"
#include "daemon/interpret.h"
#include "daemon/pattern.h"
#include "daemon/schema.h"

#define KEY_SIZE 96

struct context {
	const struct document *document;
	char **ret_why;
	struct config *config;
	unsigned int agent; /* its place in the list */
};

static const struct {
	enum config_selector_kind kind;
	const char *key;
	size_t offset;
} kinds[] = {
	{CONFIG_SELECT_UNIT, "unit", offsetof(struct raw_selector, unit)},
	{CONFIG_SELECT_USER_UNIT, "user_unit", offsetof(struct raw_selector, user_unit)},
	{CONFIG_SELECT_CGROUP, "cgroup", offsetof(struct raw_selector, cgroup)},
	{CONFIG_SELECT_EXE, "exe", offsetof(struct raw_selector, exe)},
	{CONFIG_SELECT_USER, "user", offsetof(struct raw_selector, user)},
};

#define KINDS (sizeof(kinds) / sizeof(*kinds))

void interpret_agent_free(struct config_agent *a)
{
	for (size_t i = 0; i < a->selectors_count; i++) {
		free(a->selectors[i].pattern);
		free(a->selectors[i].value);
		free(a->selectors[i].words);
	}
	free(a->selectors);
	free(a->name);
}

/* @key: below "agents[N]", with its dot, or "". */
__attribute__((format(printf, 3, 4))) static int mistake(const struct context *x, const char *key,
							 const char *format, ...)
{
	_cleanup_free_ char *what = NULL;
	char path[KEY_SIZE];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&what, format, ap);
	va_end(ap);
	if (n < 0) {
		what = NULL;
		return -ENOMEM;
	}
	snprintf(path, sizeof(path), "agents[%u]%s", x->agent, key);
	return document_mistake(x->document, x->ret_why, path, "%s", what);
}

/* @unit: of a user_unit, whose user is in @s->uid. */
static int get_pattern(const struct context *x, const char *key, const char *unit,
		       struct config_selector *s)
{
	const char *wrong;

	if (x->config->patterns_count == PATTERNS_MAX)
		return mistake(x, key, "more than %d of unit, user_unit and cgroup in all",
			       PATTERNS_MAX);
	s->pattern = malloc(sizeof(*s->pattern));
	if (!s->pattern)
		return -ENOMEM;
	x->config->patterns_count++;
	wrong = unit				? pattern_of_user_unit(s->uid, unit, s->pattern)
		: s->kind == CONFIG_SELECT_UNIT ? pattern_of_unit(s->value, s->pattern)
						: pattern_of_path(s->value, s->pattern);
	return wrong ? mistake(x, key, "'%s' %s", unit ?: s->value, wrong) : 0;
}

static int check_user_unit(const struct context *x, const char *key,
			   const struct raw_user_unit *raw, struct config_selector *s)
{
	char below[KEY_SIZE + 8];

	snprintf(below, sizeof(below), "%s.user", key);
	if (account_user(raw->user, &s->uid))
		return mistake(x, below, "there is no user '%s' on this host", raw->user);
	snprintf(below, sizeof(below), "%s.unit", key);
	return get_pattern(x, below, raw->unit, s);
}

static int check_exe(const struct context *x, const char *key, const char *value)
{
	if (*value != '/' || value[strlen(value) - 1] == '/' || strchr(value, '*'))
		return mistake(x, key, "'%s' is not the absolute path of one file", value);
	return 0;
}

static int check_user(const struct context *x, const char *key, const char *value, uid_t *ret)
{
	if (account_user(value, ret))
		return mistake(x, key, "there is no user '%s' on this host", value);
	if (*ret == 0)
		return mistake(x, key,
			       "'%s' is root, who runs the host: select by unit, cgroup or exe",
			       value);
	return 0;
}

static int check_value(const struct context *x, const char *key, const struct raw_selector *raw,
		       struct config_selector *s)
{
	switch (s->kind) {
	case CONFIG_SELECT_UNIT:
	case CONFIG_SELECT_CGROUP:
		return get_pattern(x, key, NULL, s);
	case CONFIG_SELECT_USER_UNIT:
		return check_user_unit(x, key, raw->user_unit, s);
	case CONFIG_SELECT_EXE:
		return check_exe(x, key, s->value);
	case CONFIG_SELECT_USER:
		return check_user(x, key, s->value, &s->uid);
	}
	return -EINVAL;
}

static const char *kind_key(enum config_selector_kind kind)
{
	for (size_t i = 0; i < KINDS; i++)
		if (kinds[i].kind == kind)
			return kinds[i].key;
	return "?";
}

/* The agents so far, and the one that is being read. */
static const struct config_agent *agent_at(const struct context *x, const struct config_agent *self,
					   size_t i)
{
	return i < x->config->agents_count    ? &x->config->agents[i]
	       : i == x->config->agents_count ? self
					      : NULL;
}

/* Takes the same, however it is written. */
static bool is_same(const struct config_selector *a, const struct config_selector *b)
{
	if (a->pattern && b->pattern)
		return a->pattern->count == b->pattern->count &&
		       !memcmp(a->pattern->components, b->pattern->components,
			       sizeof(a->pattern->components));
	if (a->kind != b->kind)
		return false;
	return a->kind == CONFIG_SELECT_USER ? a->uid == b->uid : !strcmp(a->value, b->value);
}

/* Whose the same selector is: it would be open whose the process is. */
static const struct config_agent *taken_by(const struct context *x, const struct config_agent *self,
					   const struct config_selector *s)
{
	const struct config_agent *a;

	for (size_t i = 0; (a = agent_at(x, self, i)); i++)
		for (size_t k = 0; k < a->selectors_count; k++) {
			const struct config_selector *o = &a->selectors[k];

			if (is_same(o, s))
				return a;
		}
	return NULL;
}

static bool number_taken(const struct context *x, const struct config_agent *self, uint32_t id)
{
	const struct config_agent *a;

	for (size_t i = 0; (a = agent_at(x, self, i)); i++)
		for (size_t k = 0; k < a->selectors_count; k++)
			if (a->selectors[k].id == id)
				return true;
	return false;
}

/*
 * The first 32 bits of SHA-256 over agent, kind and value; the next free number should two ever be
 * equal.
 */
static int selector_number(const struct context *x, const struct config_agent *self,
			   struct config_selector *s)
{
	_cleanup_free_ char *seed = NULL;
	struct sha256 h;
	uint32_t id;
	int n = asprintf(&seed, "%s %s", self->name, s->words);
	int err;

	if (n < 0) {
		seed = NULL;
		return -ENOMEM;
	}
	err = sha256_of(seed, n, &h);
	if (err)
		return err;
	memcpy(&id, h.bytes, sizeof(id));
	while (!id || number_taken(x, self, id))
		id++;
	s->id = id;
	return 0;
}

/* Whether what runs already is taken: yes, unless it says otherwise. */
static int get_adopt(const struct context *x, unsigned int number, const char *text,
		     struct config_selector *s)
{
	char key[KEY_SIZE];

	snprintf(key, sizeof(key), ".selectors[%u].adopt", number);
	s->exec_only = text && !strcmp(text, "no");
	if (text && !s->exec_only && strcmp(text, "yes"))
		return mistake(x, key, "'%s' is not one of yes, no", text);
	return 0;
}

/* The one key that is there. */
static int get_kind(const struct context *x, const char *key, const struct raw_selector *raw,
		    enum config_selector_kind *ret, const void **ret_value)
{
	for (size_t i = 0; i < KINDS; i++) {
		const void *value = *(void *const *)((const char *)raw + kinds[i].offset);

		if (!value)
			continue;
		if (*ret_value)
			return mistake(x, key, "has both %s and %s: make it two selectors",
				       kind_key(*ret), kinds[i].key);
		*ret = kinds[i].kind;
		*ret_value = value;
	}
	if (!*ret_value)
		return mistake(x, key, "has none of unit, user_unit, cgroup, exe, user");
	return 0;
}

static int get_value(const struct context *x, const char *key, const void *raw,
		     struct config_selector *s)
{
	const struct raw_user_unit *two = raw;
	int n;

	if (s->kind != CONFIG_SELECT_USER_UNIT) {
		s->value = strdup(raw);
		return s->value ? 0 : -ENOMEM;
	}
	if (!two->user || !two->unit)
		return mistake(x, key, "needs both user and unit");
	n = asprintf(&s->value, "%s %s", two->user, two->unit);
	if (n < 0)
		s->value = NULL;
	return n < 0 ? -ENOMEM : 0;
}

static int get_selector(const struct context *x, const struct raw_selector *raw,
			unsigned int number, struct config_agent *a)
{
	struct config_selector *s = &a->selectors[a->selectors_count];
	const struct config_agent *other;
	const void *value = NULL;
	char key[KEY_SIZE];
	int err;

	snprintf(key, sizeof(key), ".selectors[%u]", number);
	err = get_kind(x, key, raw, &s->kind, &value);
	if (err)
		return err;
	if (x->config->selectors_count == CONFIG_SELECTORS_ALL_MAX)
		return mistake(x, key, "more than %d selectors in all", CONFIG_SELECTORS_ALL_MAX);

	snprintf(key, sizeof(key), ".selectors[%u].%s", number, kind_key(s->kind));
	err = get_value(x, key, value, s);
	if (!err && asprintf(&s->words, "%s %s", kind_key(s->kind), s->value) < 0)
		err = -ENOMEM;
	if (err) {
		free(s->value);
		return err;
	}
	err = check_value(x, key, raw, s);
	other = err ? NULL : taken_by(x, a, s);
	if (other)
		err = mistake(x, key, "'%s' is a selector of agent '%s' already", s->value,
			      other->name);
	err = err ?: get_adopt(x, number, raw->adopt, s) ?: selector_number(x, a, s);
	if (!err && s->pattern) {
		s->pattern->selector = s->id;
		s->pattern->flags = s->exec_only ? SELECTOR_EXEC_ONLY : 0;
	}
	x->config->selectors_count++;
	a->selectors_count++; /* from here on interpret_agent_free() has it */
	return err;
}

/* isolation: uid, and the user it speaks of: both or none. */
static int get_own_user(const struct context *x, const struct raw_agent *raw,
			struct config_agent *a)
{
	const struct config *c = x->config;

	if (raw->isolation && strcmp(raw->isolation, "uid"))
		return mistake(
			x, ".isolation",
			"'%s' is not one of uid (without it, each session says what it entered)",
			raw->isolation);
	if (raw->isolation && !raw->user)
		return mistake(x, ".isolation",
			       "'uid' needs the key 'user' beside it: the user that is this "
			       "agent's alone");
	if (!raw->user)
		return 0;
	if (!raw->isolation)
		return mistake(
			x, ".user",
			"goes with 'isolation: uid' only (to select by user, write a selector)");
	if (account_user(raw->user, &a->uid))
		return mistake(x, ".user", "there is no user '%s' on this host", raw->user);
	if (a->uid == 0)
		return mistake(x, ".user", "'%s' is root, and isolates from nobody", raw->user);
	for (size_t i = 0; i < c->agents_count; i++)
		if (c->agents[i].own_user && c->agents[i].uid == a->uid)
			return mistake(x, ".user", "'%s' is agent '%s's own user already",
				       raw->user, c->agents[i].name);
	a->own_user = true;
	return 0;
}

static int get_agent(const struct context *x, const struct raw_agent *raw, struct config_agent *a)
{
	char key[KEY_SIZE];
	int err;

	if (!raw->name)
		return mistake(x, "", "has no name");
	if (!config_name_valid(raw->name))
		return mistake(x, ".name",
			       "'%s' is not letters, digits, '.', '-' and '_', at most %d, or is "
			       "'" CONFIG_NAME_UNKNOWN "'",
			       raw->name, CONFIG_NAME_MAX);
	if (config_agent(x->config, raw->name))
		return mistake(x, ".name", "there is an agent '%s' already", raw->name);
	a->name = strdup(raw->name);
	a->selectors = calloc(raw->selectors_count + 1, sizeof(*a->selectors));
	if (!a->name || !a->selectors)
		return -ENOMEM;

	a->hash = x->config->hash.mode;
	snprintf(key, sizeof(key), "agents[%u].hash.mode", x->agent);
	err = interpret_mode(x->document, x->ret_why, key, raw->hash.mode, &a->hash)
		      ?: get_own_user(x, raw, a);
	for (unsigned int i = 0; !err && i < raw->selectors_count; i++)
		err = get_selector(x, &raw->selectors[i], i, a);
	return err;
}

int interpret_agents(const struct document *d, struct config *c, char **ret_why)
{
	const struct raw_config *raw = document_root(d);
	struct context x = {.document = d, .ret_why = ret_why, .config = c};
	struct config_agent *more;
	int err;

	for (unsigned int i = 0; raw && i < raw->agents_count; i++) {
		struct config_agent agent = {};

		x.agent = i;
		if (c->agents_count == CONFIG_AGENTS_MAX)
			return mistake(&x, "", "more than %d agents in all", CONFIG_AGENTS_MAX);
		err = get_agent(&x, &raw->agents[i], &agent);
		more = err ? NULL : reallocarray(c->agents, c->agents_count + 1, sizeof(*more));
		if (!more) {
			interpret_agent_free(&agent);
			return err ?: -ENOMEM;
		}
		c->agents = more;
		more[c->agents_count++] = agent;
	}
	return 0;
}
