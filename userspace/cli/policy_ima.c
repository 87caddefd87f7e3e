/* SPDX-License-Identifier: Apache-2.0 */
/* policy: what it says of IMA; the allowlists. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attest/tpm2.h"
#include "base/digest.h"
#include "cli/policy_impl.h"

#define mistake(x, key, ...) document_mistake((x)->document, (x)->ret_why, key, __VA_ARGS__)

#define GLOB_MAX 4096 /* bytes: no path is longer */
#define SPACE " \t"

/*
 * Paths that IMA has begin with a slash. Of other names, as of memory files, nothing is known but
 * what a process chose: they pass by a digest alone. NULL, or what is wrong with it.
 */
static const char *glob_mistake(const char *glob)
{
	const size_t len = strlen(glob);
	size_t backslashes = 0;

	if (*glob != '/')
		return "the glob does not begin with '/'";
	if (len > GLOB_MAX)
		return "the glob is longer than any path";
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)glob[i] < ' ' || glob[i] == 0x7f)
			return "the glob has a control character";
	while (backslashes < len && glob[len - 1 - backslashes] == '\\')
		backslashes++;
	return backslashes % 2 ? "the glob ends in a backslash that stands for nothing" : NULL;
}

static const char *get_digest(const char *text, struct affiant_ima_file *to)
{
	static const struct {
		const char *name;
		uint16_t alg;
	} algs[] = {{"sha256:", TPM2_SHA256}, {"sha384:", TPM2_SHA384}, {"sha512:", TPM2_SHA512}};
	size_t len;

	for (size_t i = 0; i < sizeof(algs) / sizeof(*algs); i++) {
		const char *hex = text + strlen(algs[i].name);

		if (strncmp(text, algs[i].name, strlen(algs[i].name)))
			continue;
		to->alg = algs[i].alg;
		return hex_decode(hex, strlen(hex), to->digest, sizeof(to->digest), &len) ||
				       len != tpm2_digest_size(to->alg)
			       ? "the digest is not as many lower case hexadecimal digits as its "
				 "algorithm has"
			       : NULL;
	}
	return "a line is 'sha256:<hex> [glob]', sha384, sha512, or 'any <glob>'";
}

/* NULL, or what is wrong with it. */
static const char *get_line(char *line, struct affiant_ima_file *to)
{
	size_t word = strcspn(line, SPACE);
	char *glob = line + word + strspn(line + word, SPACE);
	const char *wrong = *glob ? glob_mistake(glob) : NULL;

	line[word] = '\0';
	to->glob = *glob ? glob : NULL;
	if (strcmp(line, "any"))
		return get_digest(line, to) ?: wrong;
	return to->glob ? wrong : "'any' needs a glob: it would take every file";
}

/* A comment begins with '#', at the line's beginning or behind white space. */
static void strip(char *line)
{
	size_t len = strlen(line);

	for (char *at = strchr(line, '#'); at; at = strchr(at + 1, '#'))
		if (at == line || strchr(SPACE, at[-1])) {
			len = at - line;
			break;
		}
	while (len && strchr(SPACE "\r", line[len - 1]))
		len--;
	line[len] = '\0';
}

static size_t count_lines(const char *text)
{
	size_t lines = 1;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

static int bad_line(struct policy_reading *x, const char *key, const char *name, size_t number,
		    const char *why)
{
	return mistake(x, key, "%s:%zu: %s", name, number, why);
}

static int get_allowlist(struct policy_reading *x, const char *key, const char *name,
			 struct affiant_ima_file *to, char *text, size_t len, size_t *count)
{
	const char *why;
	size_t number = 0;
	char *next;

	/* What stands behind it would be passed over without a word. */
	if (strlen(text) != len)
		return bad_line(x, key, name, count_lines(text), "there is a NUL");
	if (!strncmp(text, "\xef\xbb\xbf", 3))
		return bad_line(x, key, name, 1, "there is a byte order mark: save it without");
	for (char *line = text; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		number++;
		strip(line);
		line += strspn(line, SPACE);
		if (!*line)
			continue;
		why = get_line(line, &to[*count]);
		if (why)
			return bad_line(x, key, name, number, why);
		(*count)++;
	}
	return 0;
}

static int get_allowlists(struct policy_reading *x, const struct raw_texts *names)
{
	struct affiant_ima *ima = &x->policy->rules.ima;
	char **texts = policy_alloc(x->policy, names->count, sizeof(*texts)), key[64];
	size_t *lens = policy_alloc(x->policy, names->count, sizeof(*lens)), lines = 0;
	struct affiant_ima_file *files;
	int err = texts && lens ? 0 : -ENOMEM;

	for (unsigned int i = 0; !err && i < names->count; i++) {
		snprintf(key, sizeof(key), "ima.allowlist[%u]", i);
		err = policy_read(x, key, names->items[i], POLICY_FILE_MAX, &texts[i], &lens[i]);
		lines += err ? 0 : count_lines(texts[i]);
	}
	files = err ? NULL : policy_alloc(x->policy, lines, sizeof(*files));
	if (!files)
		return err ?: -ENOMEM;
	for (unsigned int i = 0; !err && i < names->count; i++) {
		snprintf(key, sizeof(key), "ima.allowlist[%u]", i);
		err = get_allowlist(x, key, names->items[i], files, texts[i], lens[i],
				    &ima->allowed_count);
	}
	ima->allowed = files;
	return err;
}

int policy_ima(struct policy_reading *x, const struct raw_ima *raw)
{
	static const char *const yes_not[] = {"yes", "no", NULL};
	static const char *const refused_any[] = {"refused", "any", NULL};
	static const char *const templates[] = {"known", "any", NULL};
	struct affiant_ima *ima = &x->policy->rules.ima;

	return policy_flag(x, "ima.required", raw->required, yes_not, &ima->not_required) ?:
	       policy_flag(x, "ima.violations", raw->violations, refused_any, &ima->allow_violations) ?:
	       policy_flag(x, "ima.padded", raw->padded, refused_any, &ima->allow_padded) ?:
	       policy_flag(x, "ima.templates", raw->templates, templates, &ima->allow_unknown_templates) ?:
	       get_allowlists(x, &raw->allowlist);
}
