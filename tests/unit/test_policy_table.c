/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of docs/token-services.md ("Policy"): it has each key of the schema and no other, what it says of an absent
 * and of an empty value is what happens, and what it refuses with are codes that there are.
 */
#include "cli/policy.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attest/verify.h"
#include "base/cleanup.h"
#include "cli/policy_impl.h"

#define ROWS_MAX 128
#define CELLS 6

enum { KEY, WHAT, ABSENT, EMPTY, CODES, TIER };

static struct row {
	char *cells[CELLS];
	bool in_schema, checked;
} rows[ROWS_MAX];
static size_t rows_count;

/* ---- the table ---- */

static char *trim(char *text)
{
	text += strspn(text, " ");
	for (size_t len = strlen(text); len && text[len - 1] == ' '; len--)
		text[len - 1] = '\0';
	return text;
}

static void add_row(char *line)
{
	struct row *r = &rows[rows_count];
	char *cell = line + 1, *end;
	size_t n = 0;

	for (; (end = strstr(cell, "|")); cell = end + 1, n++) {
		*end = '\0';
		assert_true(n < CELLS);
		r->cells[n] = strdup(trim(cell));
	}
	if (n != CELLS)
		fail_msg("a row has %zu cells: %s", n, r->cells[0]);
	assert_true(++rows_count < ROWS_MAX);
}

static int read_table(void **state)
{
	FILE *f = fopen(TEST_DATA "/../../docs/token-services.md", "r");
	bool inside = false;
	char *line = NULL;
	size_t size = 0;

	(void)state;
	assert_non_null(f);
	while (getline(&line, &size, f) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "| key | what passes", 19))
			inside = true;
		else if (inside && *line != '|')
			inside = false;
		else if (inside && line[1] == ' ')
			add_row(line);
	}
	free(line);
	fclose(f);
	assert_true(rows_count > 50);
	return 0;
}

static int free_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < rows_count; i++)
		for (size_t k = 0; k < CELLS; k++)
			free(rows[i].cells[k]);
	return 0;
}

static struct row *row_of(const char *key)
{
	struct row *found = NULL;
	char cell[128];

	snprintf(cell, sizeof(cell), "`%s`", key);
	for (size_t i = 0; i < rows_count; i++)
		if (!strcmp(rows[i].cells[KEY], cell)) {
			if (found)
				fail_msg("%s: two rows", key);
			found = &rows[i];
		}
	if (!found)
		fail_msg("%s: has no row", key);
	return found;
}

/* ---- an empty value ---- */

/* "a[].b" with that value, in the third line; how deep it is says how many braces there are. */
static void policy_text(const char *key, const char *value, char *ret, size_t size)
{
	char closing[16] = "", part[64];
	size_t len = snprintf(ret, size, "# a policy\n# of one key\n"), deep = 0;

	while (*key) {
		size_t n = strcspn(key, ".");
		bool list = n > 2 && !strncmp(key + n - 2, "[]", 2);
		bool agent = list && !strncmp(key, "agents", 6);

		snprintf(part, sizeof(part), "%.*s", (int)(list ? n - 2 : n), key);
		len += snprintf(ret + len, size - len, deep ? "%s: %s%s" : "%s: %s%s", part,
				list ? "[{" : key[n] ? "{" : "",
				agent && strcmp(key + n, ".id") ? "id: spiffe://example.org/a, "
								: "");
		if (key[n])
			closing[deep++] = list ? ']' : '}';
		key += n + !!key[n];
	}
	len += snprintf(ret + len, size - len, "%s", value);
	while (deep--)
		len += snprintf(ret + len, size - len, closing[deep] == ']' ? "}]" : "}");
	snprintf(ret + len, size - len, "\n");
}

/* As messages have it: of every list its first entry. */
static void path_of(const char *key, char *ret)
{
	for (; *key; key++) {
		*ret++ = *key;
		if (key[0] == '[')
			*ret++ = '0';
	}
	*ret = '\0';
}

static void check_empty(const char *key, enum cyaml_type type)
{
	const char *value = type == CYAML_MAPPING ? "{}" : type == CYAML_STRING ? "''" : "[]";
	char text[512], path[128], begin[160];
	const struct row *r = row_of(key);
	struct policy *p = NULL;
	char *why = NULL;
	int err;

	policy_text(key, value, text, sizeof(text));
	err = policy_parse("p", text, strlen(text), -1, &p, &why);
	if (strcmp(r->cells[EMPTY], "mistake")) {
		assert_string_equal(key, "agents[].environment");
		assert_string_equal(r->cells[EMPTY], "none may be set");
		if (err)
			fail_msg("%s", why);
		assert_false(policy_rules(p)->agents[0].allow_any_environment);
		assert_int_equal(policy_rules(p)->agents[0].environment.count, 0);
		policy_free(p);
		return;
	}
	path_of(key, path);
	snprintf(begin, sizeof(begin), "p:3: %s: is empty", path);
	if (!err || !why || strncmp(why, begin, strlen(begin)))
		fail_msg("%s is %s, not %s", text, why ?: "taken", begin);
	free(why);
}

/* ---- the schema ---- */

static void walk(const cyaml_schema_field_t *fields, const char *prefix)
{
	for (const cyaml_schema_field_t *f = fields; f->key; f++) {
		char key[128], below[136];

		snprintf(key, sizeof(key), "%s%s", prefix, f->key);
		row_of(key)->in_schema = true;
		check_empty(key, f->value.type);
		snprintf(below, sizeof(below), "%s%s.", key,
			 f->value.type == CYAML_SEQUENCE ? "[]" : "");
		if (f->value.type == CYAML_MAPPING)
			walk(f->value.mapping.fields, below);
		else if (f->value.type == CYAML_SEQUENCE &&
			 f->value.sequence.entry->type == CYAML_MAPPING)
			walk(f->value.sequence.entry->mapping.fields, below);
	}
}

static void test_schema(void **state)
{
	(void)state;
	walk(policy_schema.mapping.fields, "");
	for (size_t i = 0; i < rows_count; i++)
		if (!rows[i].in_schema)
			fail_msg("%s: is no key", rows[i].cells[KEY]);
}

/* An entry that says nothing is as bad as a list that has none. */
static void test_empty_entries(void **state)
{
	static const char *const texts[] = {
		"hosts: [{}]\n",
		"agents: [{}]\n",
		"boot: {rules: [{}]}\n",
		"boot: {values: [{}]}\n",
		"trust: {tpm: ['']}\n",
		"boot: {closed: ['']}\n",
		"agents: [{id: spiffe://a/b, isolation: ['']}]\n",
		"agents: [{id: spiffe://a/b, environment: ['']}]\n",
		"agents: [{id: spiffe://a/b, task: \"\"}]\n",
		"",
		"# nothing\n",
		"{}\n",
		"[]\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct policy *p = NULL;
		char *why = NULL;

		if (!policy_parse("p", texts[i], strlen(texts[i]), -1, &p, &why))
			fail_msg("taken: %s", texts[i]);
		assert_non_null(why);
		if (strncmp(why, "p:1: ", 5))
			fail_msg("%s", why);
		free(why);
	}
}

/* ---- an absent one ---- */

static const char usual[] =
	"max_age: 1m\n"
	"hosts: [{ueid: AQIDBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA}]\n"
	"boot:\n"
	"  values: [{pcr: 4}]\n"
	"  rules:\n"
	"    - {pcrs: [8], texts: [a]}\n"
	"    - {pcrs: [8], digests: "
	"[0000000000000000000000000000000000000000000000000000000000000000]}\n"
	"agents: [{id: spiffe://example.org/a}]\n";

static const struct affiant_policy *parsed(const char *text, struct policy **ret)
{
	char *why = NULL;

	if (policy_parse("p", text, strlen(text), -1, ret, &why))
		fail_msg("%s", why);
	return policy_rules(*ret);
}

static bool none(struct affiant_digests d)
{
	return !d.any && !d.count;
}

static void absent(const char *key, const char *said, bool holds)
{
	struct row *r = row_of(key);

	assert_string_equal(r->cells[ABSENT], said);
	if (!holds)
		fail_msg("%s, absent: not '%s'", key, said);
	assert_false(r->checked);
	r->checked = true;
}

static void absent_mistake(const char *key, const char *text, const char *begin)
{
	struct policy *p = NULL;
	char *why = NULL;

	if (!policy_parse("p", text, strlen(text), -1, &p, &why))
		fail_msg("taken: %s", text);
	if (strncmp(why, begin, strlen(begin)))
		fail_msg("%s, not %s", why, begin);
	free(why);
	absent(key, "mistake", true);
}

static void check_whole(void)
{
	struct policy *whole;
	const struct affiant_policy *p = parsed("max_age: 7m\n", &whole);

	absent("trust", "nobody's", !p->tpm_roots_count && !p->ak_roots_count);
	absent("hosts", "none passes", !p->hosts_count);
	absent("agents", "none passes", !p->agents_count);
	absent("boot", "as its keys", p->boot.mode == AFFIANT_BOOT_LOG && p->boot.kernels.any);
	absent("boot.values", "nothing is asked", !p->boot.values_count);
	absent("boot.rules", "nothing is asked", !p->boot.rules_count);
	absent("ima", "as its keys", !p->ima.not_required && !p->ima.allowed_count);
	absent("daemon", "none passes",
	       none(p->daemon.executables) && none(p->daemon.configurations) &&
		       none(p->daemon.bpf));
	absent("skew", "`5s`", p->skew == 5);
	policy_free(whole);
	p = parsed("skew: 7s\n", &whole);
	absent("max_age", "`5m`", p->max_age == 300);
	policy_free(whole);
}

static void check_host(const struct affiant_policy *p)
{
	const struct affiant_host *h = &p->hosts[0];

	absent("trust.tpm", "nobody's", !p->tpm_roots_count);
	absent("trust.software_tpm", "nobody's", !p->tpm_roots_count);
	absent("trust.enrolment", "nobody's", !p->ak_roots_count);
	absent("trust.allow_software_tpm", "`no`", !p->allow_software_tpm);
	absent("trust.firmware", "not asked for", p->any_firmware && !p->firmware_count);
	absent("hosts[].asset", "no name", !h->asset);
	absent("hosts[].agents", "none passes", !h->agents.count);
	absent("hosts[].ek_certificate", "`required`", !h->no_ek_certificate && !h->hardware);
	absent_mistake("hosts[].ueid", "hosts: [{asset: a}]\n", "p:1: hosts[0].ueid: ");
}

static void check_boot(const struct affiant_boot *b)
{
	absent("boot.mode", "`log`", b->mode == AFFIANT_BOOT_LOG);
	absent("boot.values[].values", "none passes", none(b->values[0].values));
	absent("boot.rules[].digests", "`texts` says which",
	       none(b->rules[0].digests) && b->rules[0].texts.count == 1);
	absent("boot.rules[].texts", "`digests` says which",
	       !b->rules[1].texts.count && b->rules[1].digests.count == 1);
	absent("boot.rules[].least", "`1`", b->rules[0].least == 1);
	absent("boot.rules[].early", "`no`", !b->rules[0].early);
	absent("boot.closed", "nothing is asked", !b->closed);
	absent("boot.kernels", "not asked for", b->kernels.any);
	absent("boot.kernels_lock_down", "`no`", !b->kernels_lock_down);
	absent("boot.secure_boot", "`required`", !b->allow_secure_boot_off);
	absent("boot.debugger", "`refused`", !b->allow_debugger);
	absent("boot.dma_protection", "`required`", !b->allow_dma_unprotected);
	absent("boot.kexec", "`refused`", !b->allow_kexec);
	absent_mistake("boot.values[].pcr", "boot: {values: [{values: [any]}]}\n",
		       "p:1: boot.values[0].pcr: ");
	absent_mistake("boot.rules[].pcrs", "boot: {rules: [{texts: [a]}]}\n",
		       "p:1: boot.rules[0].pcrs: ");
}

static void check_measured(const struct affiant_policy *p)
{
	absent("ima.required", "`yes`", !p->ima.not_required);
	absent("ima.allowlist", "none passes", !p->ima.allowed_count);
	absent("ima.violations", "`refused`", !p->ima.allow_violations);
	absent("ima.padded", "`refused`", !p->ima.allow_padded);
	absent("ima.templates", "`known`", !p->ima.allow_unknown_templates);
	absent("daemon.executables", "none passes", none(p->daemon.executables));
	absent("daemon.configurations", "none passes", none(p->daemon.configurations));
	absent("daemon.bpf", "none passes", none(p->daemon.bpf));
}

static void check_files(const struct affiant_agent *a)
{
	absent("agents[].executables", "none passes", none(a->executables));
	absent("agents[].scripts", "none passes", none(a->scripts));
	absent("agents[].interpreters", "none passes", none(a->interpreters));
	absent("agents[].loaders", "none passes", none(a->loaders));
	absent("agents[].arguments", "none passes", none(a->arguments));
	absent("agents[].manifests", "none passes", none(a->manifests));
	absent("agents[].ancestors", "none passes", none(a->ancestors));
	absent("agents[].programs", "not asked for", a->programs.any);
	absent("agents[].hash_states", "what is proven: the first four",
	       a->states == AFFIANT_STATES_PROVEN);
}

static void check_agent(const struct affiant_agent *a)
{
	check_files(a);
	absent("agents[].environment", "not asked for", a->allow_any_environment);
	absent("agents[].tier", "`runtime-measured`", a->minimum == AFFIANT_UNATTESTED);
	absent("agents[].isolation", "`landlock`, `uid`", a->isolations == AFFIANT_ISOLATED);
	absent("agents[].key_custody", "both", a->custodies == AFFIANT_ANY_CUSTODY);
	absent("agents[].late_sessions", "`refused`", !a->allow_late);
	absent("agents[].folded_sessions", "`any`", a->allow_folded);
	absent("agents[].untagged_children", "`refused`", !a->allow_untagged_children);
	absent("agents[].lost", "`any`", a->max_lost == AFFIANT_ANY_LOST);
	absent("agents[].principal", "`refused`", !a->allow_asserted && !a->require_principal);
	absent("agents[].task", "`any`", !a->require_task);
	absent_mistake("agents[].id", "agents: [{task: any}]\n", "p:1: agents[0].id: ");
}

static void test_absent(void **state)
{
	struct policy *whole;
	const struct affiant_policy *p = parsed(usual, &whole);

	(void)state;
	check_whole();
	check_host(p);
	check_boot(&p->boot);
	check_measured(p);
	check_agent(&p->agents[0]);
	policy_free(whole);
	for (size_t i = 0; i < rows_count; i++)
		if (!rows[i].checked)
			fail_msg("%s: nothing tells what its absence means", rows[i].cells[KEY]);
}

/* ---- codes and tiers ---- */

static bool is_code(const char *word)
{
	for (size_t i = 1; i < VERIFY_CODES_END; i++)
		if (!strcmp(verify_code_name(i), word))
			return true;
	return false;
}

static bool is_tier(const char *word)
{
	for (size_t i = 0; i < AFFIANT_TIERS; i++)
		if (!strcmp(verify_tier_word(i), word))
			return true;
	return !strcmp(word, "none") || !strcmp(word, "no") || !strcmp(word, "yes") ||
	       !strcmp(word, "none-software");
}

static void check_words(const char *cell, bool (*is)(const char *word))
{
	char copy[256], *rest = copy, *word;

	snprintf(copy, sizeof(copy), "%s", cell);
	while (strsep(&rest, "`") && (word = strsep(&rest, "`")))
		if (!is(word))
			fail_msg("'%s' in '%s'", word, cell);
}

static void test_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < rows_count; i++) {
		check_words(rows[i].cells[CODES], is_code);
		check_words(rows[i].cells[TIER], is_tier);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schema),
		cmocka_unit_test(test_empty_entries),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, read_table, free_table);
}
