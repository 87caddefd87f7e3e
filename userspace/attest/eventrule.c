/* SPDX-License-Identifier: Apache-2.0 */
/* eventlog: a policy's rules against what its events show. */
#include <string.h>

#include "attest/eventlog.h"

#define SEPARATED_PCRS 0xffu

/* UTF-16LE of ASCII characters: every other byte is zero. */
static bool is_wide(const struct reader *text)
{
	return text->left >= 2 && text->left % 2 == 0 && text->at[0] && !text->at[1];
}

static bool text_matches(struct reader text, const char *pattern)
{
	const size_t step = is_wide(&text) ? 2 : 1, len = strlen(pattern);
	const bool prefix = len && pattern[len - 1] == '*';
	const size_t compared = len - prefix;
	size_t chars;

	while (text.left && !text.at[text.left - 1])
		text.left--;
	chars = (text.left + step - 1) / step;
	if (prefix ? chars < compared : chars != compared)
		return false;
	for (size_t i = 0; i < chars; i++) {
		if (step == 2 && 2 * i + 1 < text.left && text.at[2 * i + 1])
			return false; /* a character beyond ASCII */
		if (i < compared && text.at[step * i] != (uint8_t)pattern[i])
			return false;
	}
	return true;
}

bool eventlog_rule_meets(const struct eventlog_rule *rule, uint32_t pcr, const uint8_t *digest,
			 size_t size, struct reader text)
{
	if (!(rule->pcrs & 1u << pcr))
		return false;
	for (size_t i = 0; i < rule->digests_count; i++)
		if (!memcmp(rule->digests + i * size, digest, size))
			return true;
	for (size_t i = 0; text.left && i < rule->texts_count; i++)
		if (text_matches(text, rule->texts[i]))
			return true;
	return false;
}

static bool meets(const struct eventlog *l, const struct eventlog_facts *f, size_t event,
		  const struct eventlog_rule *rule)
{
	const struct eventlog_event *e = &l->events[event];
	const struct eventlog_fact *fact = &f->events[event];

	return fact->kind != EVENTLOG_NOTHING && (!rule->early || fact->early) &&
	       eventlog_rule_meets(rule, e->pcr, eventlog_digest(l, e, f->alg),
				   tpm2_digest_size(f->alg), fact->text);
}

static bool meets_any(const struct eventlog *l, const struct eventlog_facts *f, size_t event,
		      const struct eventlog_rule *rules, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (meets(l, f, event, &rules[i]))
			return true;
	return false;
}

enum eventlog_finding eventlog_check(const struct eventlog *l, const struct eventlog_facts *f,
				     uint32_t closed, const struct eventlog_rule *rules,
				     size_t rules_count, size_t *ret_which)
{
	const uint32_t bad = closed & (f->unexplained | (SEPARATED_PCRS & ~f->separators));

	if (bad) {
		*ret_which = __builtin_ctz(bad);
		return EVENTLOG_FOUND_PCR;
	}
	for (size_t i = 0; i < l->count; i++) {
		const enum eventlog_kind kind = f->events[i].kind;

		if (kind == EVENTLOG_NOTHING || kind == EVENTLOG_SEPARATOR ||
		    kind == EVENTLOG_ACTION || !(closed & 1u << l->events[i].pcr) ||
		    meets_any(l, f, i, rules, rules_count))
			continue;
		*ret_which = i;
		return EVENTLOG_FOUND_EVENT;
	}
	for (size_t n = 0; n < rules_count; n++) {
		size_t met = 0;

		for (size_t i = 0; i < l->count; i++)
			met += meets(l, f, i, &rules[n]);
		if (met >= rules[n].least)
			continue;
		*ret_which = n;
		return EVENTLOG_FOUND_RULE;
	}
	return EVENTLOG_FOUND_NOTHING;
}
