/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/redact.h"

#include "base/cleanup.h"

#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#define MARK "[redacted]"

struct redact {
	char **flags;
	size_t flags_count;
	regex_t *patterns;
	size_t patterns_count;
};

int redact_new(char *const *flags, size_t flags_count, char *const *patterns, size_t patterns_count,
	       struct redact **ret)
{
	struct redact *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->flags = calloc(flags_count + 1, sizeof(*r->flags));
	r->patterns = calloc(patterns_count + 1, sizeof(*r->patterns));
	if (!r->flags || !r->patterns) {
		redact_free(r);
		return -ENOMEM;
	}
	for (size_t i = 0; i < flags_count; i++) {
		r->flags[r->flags_count] = strdup(flags[i]);
		if (!r->flags[r->flags_count++]) {
			redact_free(r);
			return -ENOMEM;
		}
	}
	for (size_t i = 0; i < patterns_count; i++) {
		if (regcomp(&r->patterns[i], patterns[i], REG_EXTENDED | REG_ICASE)) {
			redact_free(r);
			return -EINVAL;
		}
		r->patterns_count++;
	}
	*ret = r;
	return 0;
}

void redact_free(struct redact *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->flags_count; i++)
		free(r->flags[i]);
	for (size_t i = 0; i < r->patterns_count; i++)
		regfree(&r->patterns[i]);
	free(r->flags);
	free(r->patterns);
	free(r);
}

/* @text with every match of @regex cut; NULL when there is none, or no memory. */
static char *cut_all(const regex_t *regex, const char *text)
{
	/* Each cut adds at most the mark; an empty match ends it. */
	char *out = NULL;
	size_t len = 0;
	FILE *f = NULL;
	regmatch_t m[2];
	int flags = 0;

	while (!regexec(regex, text, 2, m, flags)) {
		regmatch_t cut = m[1].rm_so >= 0 ? m[1] : m[0];

		if (cut.rm_eo == cut.rm_so || m[0].rm_eo == 0)
			break;
		if (!f && !(f = open_memstream(&out, &len)))
			return NULL;
		fwrite(text, 1, cut.rm_so, f);
		fputs(MARK, f);
		text += cut.rm_eo;
		flags = REG_NOTBOL;
	}
	if (!f)
		return NULL;
	fputs(text, f);
	fclose(f);
	return out;
}

/* "--token=abc" loses its value; "--token" announces it: *@next. */
static char *cut_flag(const struct redact *r, const char *argument, bool *next)
{
	for (size_t i = 0; i < r->flags_count; i++) {
		size_t len = strlen(r->flags[i]);
		char *out = NULL;

		if (strncmp(argument, r->flags[i], len))
			continue;
		if (!argument[len])
			*next = true;
		if (argument[len] != '=')
			continue;
		if (asprintf(&out, "%s=" MARK, r->flags[i]) < 0)
			return NULL;
		return out;
	}
	return NULL;
}

char *redact_argument(const struct redact *r, const char *argument, bool *next)
{
	char *out;

	if (*next) {
		*next = false;
		return strdup(MARK);
	}
	out = cut_flag(r, argument, next);
	for (size_t i = 0; i < r->patterns_count; i++) {
		char *cut = cut_all(&r->patterns[i], out ?: argument);

		if (cut) {
			free(out);
			out = cut;
		}
	}
	return out;
}
