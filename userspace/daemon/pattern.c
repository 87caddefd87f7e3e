/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/pattern.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const char *set_middle(struct component *c, const char *text, size_t len)
{
	if (len > PATTERN_MIDDLE_MAX)
		return "has more than 64 bytes between two '*'";
	c->middle_len = len;
	for (size_t i = 0; i < len; i++) {
		__u8 b = text[i];

		c->low[b & 15] |= 1ull << i;
		c->high[b >> 4] |= 1ull << i;
	}
	return NULL;
}

static const char *set_name(struct component *c, const char *text, size_t len)
{
	const char *end = text + len, *first = memchr(text, '*', len), *last;

	c->kind = COMPONENT_NAME;
	c->prefix_len = first ? first - text : (ptrdiff_t)len;
	memcpy(c->text, text, c->prefix_len);
	if (!first)
		return NULL;
	last = memrchr(text, '*', len);
	c->stars = 1 + (last != first);
	c->suffix_len = end - last - 1;
	memcpy(c->text + c->prefix_len, last + 1, c->suffix_len);
	if (last == first)
		return NULL;
	if (memchr(first + 1, '*', last - first - 1))
		return "has more than two '*' in one component";
	return set_middle(c, first + 1, last - first - 1);
}

static const char *add_component(struct pattern *p, const char *text, size_t len)
{
	struct component *c;

	if (p->count == PATTERN_COMPONENTS_MAX)
		return "has more than 16 components";
	if (len > PATTERN_NAME_MAX)
		return "has a component of more than 255 bytes";
	if (memchr(text, '?', len) || memchr(text, '[', len))
		return "has '?' or '[': only '*' stands for something else";
	c = &p->components[p->count++];
	if (len == 2 && !memcmp(text, "**", 2)) {
		c->kind = COMPONENT_BELOW;
		c->by_root = true;
		return NULL;
	}
	if (memmem(text, len, "**", 2))
		return "has '**' beside other bytes: it stands alone between two '/'";
	return set_name(c, text, len);
}

const char *pattern_of_path(const char *text, struct pattern *ret)
{
	const char *at = text, *wrong = NULL;

	memset(ret, 0, sizeof(*ret));
	while (!wrong && *at) {
		size_t len;

		len = *at == '/' ? strcspn(++at, "/") : 0;
		if (!len || (len <= 2 && !strncmp(at, "..", len)))
			return "is not a path below the root of cgroup2, as in "
			       "/system.slice/agent-*.service";
		wrong = add_component(ret, at, len);
		at += len;
	}
	if (wrong)
		return wrong;
	if (!ret->count)
		return "is empty";
	if (ret->components[ret->count - 1].kind != COMPONENT_NAME)
		return "ends in '**': what is below a cgroup that matches belongs to it anyway";
	return NULL;
}

static void add_slices(struct pattern *p, bool by_root)
{
	struct component *c = &p->components[p->count++];

	c->kind = COMPONENT_SLICES;
	c->by_root = by_root;
}

static const char *add_unit(struct pattern *p, const char *unit, bool by_root)
{
	static const char *const suffixes[] = {".service", ".scope", ".slice"};
	size_t len = strlen(unit);
	const char *wrong;

	if (strchr(unit, '/'))
		return "is not a unit's name: it has a '/'";
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
		size_t suffix = strlen(suffixes[i]);

		if (len <= suffix || strcmp(unit + len - suffix, suffixes[i]))
			continue;
		wrong = add_component(p, unit, len);
		p->components[p->count - 1].by_root = by_root;
		return wrong;
	}
	return "is not a unit's name: it ends in .service, .scope or .slice";
}

const char *pattern_of_unit(const char *unit, struct pattern *ret)
{
	memset(ret, 0, sizeof(*ret));
	add_slices(ret, true);
	return add_unit(ret, unit, true);
}

const char *pattern_of_user_unit(uid_t uid, const char *unit, struct pattern *ret)
{
	char path[96];
	const char *wrong;

	snprintf(path, sizeof(path), "/user.slice/user-%u.slice/user@%u.service", uid, uid);
	wrong = pattern_of_path(path, ret);
	if (wrong)
		return wrong;
	for (__u32 i = 0; i < ret->count; i++)
		ret->components[i].by_root = true;
	add_slices(ret, false);
	return add_unit(ret, unit, false);
}
