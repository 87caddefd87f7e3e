/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/claims.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attest/cmw.h"
#include "base/base64url.h"

static const char *const samples[] = {"small", "usual", "unproven", "large"};

static json_t *sample_of(const char *what, const char *name)
{
	char path[256];
	json_t *o;

	snprintf(path, sizeof(path), TEST_DATA "/attest/%s/%s.json", what, name);
	o = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(o);
	return o;
}

static json_t *sample(const char *name)
{
	return sample_of("claims", name);
}

static void test_round_trip(void **state)
{
	json_t *o, *again;
	struct claims c;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
		o = sample(samples[i]);
		memset(&c, 0xa5, sizeof(c));
		assert_int_equal(claims_parse(o, &c, &why), 0);
		assert_int_equal(claims_encode(&c, &again, &why), 0);
		assert_true(json_equal(o, again));
		json_decref(again);
		json_decref(o);
		claims_clear(&c);
	}
}

/* EAT has no empty list: where no file is known, there is no claim. */
static void test_no_files(void **state)
{
	json_t *o = sample("small"), *work, *again;
	struct claims c;
	const char *why;

	(void)state;
	work = json_object_get(json_object_get(o, "submods"), "workload");
	json_object_del(o, "measurements");
	json_array_clear(json_object_get(json_object_get(work, "process"), "files"));
	assert_int_equal(claims_parse(o, &c, &why), 0);
	assert_int_equal(c.files_count, 0);
	assert_int_equal(claims_encode(&c, &again, &why), 0);
	assert_true(json_equal(o, again));
	json_decref(again);
	json_decref(o);
	claims_clear(&c);
}

/* A text in a text: what has to be escaped is escaped twice, and has room for it. */
static void test_longest_path(void **state)
{
	json_t *o = sample("small"), *again;
	struct claims c, second;
	const char *why;

	(void)state;
	assert_int_equal(claims_parse(o, &c, &why), 0);
	json_decref(o);
	free(c.files[0].path);
	c.files[0].path = calloc(1, CLAIMS_PATH_MAX + 2);
	memset(c.files[0].path, 1, CLAIMS_PATH_MAX);
	assert_int_equal(claims_encode(&c, &again, &why), 0);
	assert_int_equal(claims_parse(again, &second, &why), 0);
	assert_string_equal(second.files[0].path, c.files[0].path);
	json_decref(again);
	claims_clear(&second);
	c.files[0].path[CLAIMS_PATH_MAX] = 1;
	assert_int_equal(claims_encode(&c, &again, &why), -EINVAL);
	assert_string_equal(why, "measurements");
	claims_clear(&c);
}

static void test_values(void **state)
{
	json_t *o = sample("usual");
	struct claims c;
	const char *why;

	(void)state;
	assert_int_equal(claims_parse(o, &c, &why), 0);
	json_decref(o);
	assert_string_equal(c.nonce, "mZ4vQ0h8T2a9Yc1LrB7uXw");
	assert_string_equal(c.sub, "spiffe://example.org/agent/research");
	assert_int_equal(c.ueid[0], 1);
	assert_int_equal(c.exp - c.iat, 300);
	assert_int_equal(c.custody, CLAIMS_OF_PROCESS);
	assert_int_equal(c.files_count, 6);
	assert_string_equal(c.files[1].path, "/usr/bin/python3.11");
	assert_int_equal(c.files[1].state, CLAIMS_OBSERVED);
	assert_int_equal(c.files[1].digest_len, 32);
	assert_int_equal(c.files[5].role, CLAIMS_MANIFEST);
	assert_int_equal(c.workload.process.pid, 4211);
	assert_int_equal(c.workload.process.files_count, 3);
	assert_int_equal(c.workload.ancestors_count, 1);
	assert_int_equal(c.workload.ancestors[0].files[0], 4);
	assert_false(c.workload.ancestors_cut);
	assert_true(c.workload.task.present);
	assert_int_equal(c.workload.task.expires, 1793601000);
	assert_string_equal(c.workload.principal, "alice@example.org");
	assert_int_equal(c.host_id[0], 0x5f);
	claims_clear(&c);
}

/* A reader of digests meets none that is not proven or, of a script, offered. */
static void test_states(void **state)
{
	json_t *o = sample("unproven");
	struct claims c;
	const char *why;

	(void)state;
	assert_int_equal(claims_parse(o, &c, &why), 0);
	json_decref(o);
	assert_int_equal(c.files[0].state, CLAIMS_OFFERED);
	assert_int_equal(c.files[0].digest_len, 32);
	assert_false(c.files[0].has_unproven);
	assert_int_equal(c.files[1].state, CLAIMS_UNPROVEN);
	assert_int_equal(c.files[1].digest_len, 0);
	assert_true(c.files[1].has_unproven);
	assert_int_equal(c.files[1].unproven.bytes[0], 0xca);
	assert_int_equal(c.files[3].state, CLAIMS_CLAIMED);
	assert_int_equal(c.files[3].digest_len, 0);
	assert_false(c.files[3].has_unproven);
	claims_clear(&c);
	for (int s = 0; s <= CLAIMS_CLAIMED + 1; s++)
		assert_int_equal(claims_state_proven(s),
				 s >= CLAIMS_KERNEL && s <= CLAIMS_OBSERVED);
	assert_string_equal(claims_state_word(CLAIMS_CLAIMED), "claimed");
	assert_null(claims_state_word(CLAIMS_CLAIMED + 1));
}

static void test_host_values(void **state)
{
	json_t *o = sample_of("host-claims", "usual");
	struct claims_host h;
	const char *why;

	(void)state;
	assert_int_equal(claims_host_parse(o, &h, &why), 0);
	json_decref(o);
	assert_int_equal(h.secure_boot, CLAIMS_SECURE_BOOT_ON);
	assert_true(h.boot_log);
	assert_false(h.systemd_log);
	assert_true(h.tpm.firmware == 0x2019102300163636);
	assert_int_equal(h.tpm.ak_name_len, 34);
	claims_host_clear(&h);
}

/* The bytes that are made are those whose digest is told. */
static void test_host_round_trip(void **state)
{
	struct sha256 digest, expected;
	struct claims_host h;
	json_t *o, *again;
	const char *why;
	char *text;

	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
		if (!strcmp(samples[i], "unproven"))
			continue; /* of workloads alone */
		o = sample_of("host-claims", samples[i]);
		memset(&h, 0xa5, sizeof(h));
		assert_int_equal(claims_host_parse(o, &h, &why), 0);
		assert_int_equal(claims_host_encode(&h, &text, &digest, &why), 0);
		assert_int_equal(sha256_of(text, strlen(text), &expected), 0);
		assert_memory_equal(&digest, &expected, sizeof(digest));
		again = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
		assert_true(json_equal(o, again));
		json_decref(again);
		json_decref(o);
		claims_host_clear(&h);
		free(text);
	}
}

/* The text that is at @index of @holder, which is JSON. */
struct inner {
	json_t *holder;
	size_t index;
	json_t *body; /* what changes */
};

static void write_inner(const struct inner *in)
{
	char *text = json_dumps(in->body, JSON_COMPACT);

	json_array_set_new(in->holder, in->index, json_string(text));
	free(text);
}

/*
 * Every value anywhere is taken away, and replaced by values of each type and at the edges: either
 * it is refused, and the reason names the claim, or what was read is written again. No change
 * passes unseen.
 */
struct change {
	json_t *root; /* of the changed document */
	bool host;    /* it is host claims */
	const struct inner *inner; /* it is changed in there */
	size_t refused, taken;
};

/* With the texts of the measurements as what they say: members have no order. */
static json_t *read_out(const json_t *o)
{
	json_t *copy = json_deep_copy(o), *list = json_object_get(copy, "measurements");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(json_array_get(list, i), 1));

		json_array_set_new(json_array_get(list, i), 1, json_loads(text, 0, NULL));
	}
	return copy;
}

static bool says_the_same(const json_t *a, const json_t *b)
{
	json_t *of_a = read_out(a), *of_b = read_out(b);
	bool same = json_equal(of_a, of_b);

	json_decref(of_a);
	json_decref(of_b);
	return same;
}

static bool is_prefix_of(const char *why, const char *path)
{
	size_t len = strlen(why);

	return !strncmp(why, path, len) && (path[len] == '.' || path[len] == '\0');
}

/* Claims that are compared: either can be blamed. */
static bool agrees_with(const char *why, const char *path)
{
	if (!strncmp(path, "measurements", 12))
		return strstr(why, ".files") || !strcmp(why, "submods.workload.manifest_roots");
	return (!strcmp(why, "exp") &&
		(!strcmp(path, "iat") || !strcmp(path, "submods.workload.task.expires")));
}

static void try_host(struct change *x, const char *path)
{
	struct claims_host h;
	struct sha256 digest;
	const char *why = NULL;
	json_t *again;
	char *text;

	memset(&h, 0xa5, sizeof(h));
	if (claims_host_parse(x->root, &h, &why) < 0) {
		x->refused++;
		assert_true(!strncmp(why, "host.", 5));
		if (!is_prefix_of(why + 5, path) && !is_prefix_of(path, why + 5))
			fail_msg("%s was changed, %s was blamed", path, why);
		return;
	}
	x->taken++;
	assert_int_equal(claims_host_encode(&h, &text, &digest, &why), 0);
	again = json_loads(text, 0, NULL);
	if (!says_the_same(x->root, again))
		fail_msg("%s: a change passed unseen", path);
	json_decref(again);
	free(text);
	claims_host_clear(&h);
}

static void try(struct change *x, const char *path)
{
	const char *why = NULL;
	struct claims c;
	json_t *again;

	if (x->inner)
		write_inner(x->inner);
	if (x->host) {
		try_host(x, path);
		return;
	}
	memset(&c, 0xa5, sizeof(c));
	if (claims_parse(x->root, &c, &why) < 0) {
		x->refused++;
		if (!is_prefix_of(why, path) && !is_prefix_of(path, why) && !agrees_with(why, path))
			fail_msg("%s was changed, %s was blamed", path, why);
		return;
	}
	x->taken++;
	assert_int_equal(claims_encode(&c, &again, &why), 0);
	if (!says_the_same(x->root, again))
		fail_msg("%s: a change passed unseen", path);
	json_decref(again);
	claims_clear(&c);
}

static void change_object(struct change *x, json_t *o, const char *path);

static void change_value(struct change *x, json_t *holder, const char *name, size_t index,
			 const char *path)
{
	static const char *const values[] = {
		"null", "true",  "false",       "-1",         "0",
		"1",    "7.5",   "1e3",         "4294967296", "9223372036854775807",
		"\"\"", "\"x\"", "\"missing\"", "[]",         "[[]]",
		"[0]",  "[-1]",  "[500]",       "{}",         "{\"id\":[]}",
	};
	json_t *old = name ? json_object_get(holder, name) : json_array_get(holder, index), *value;

	json_incref(old);
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		value = json_loads(values[i], JSON_DECODE_ANY, NULL);
		assert_non_null(value);
		if (name)
			json_object_set_new(holder, name, value);
		else
			json_array_set_new(holder, index, value);
		try(x, path);
	}
	if (name)
		json_object_set(holder, name, old);
	else
		json_array_set(holder, index, old);
	change_object(x, old, path);
	if (json_is_string(old) && *json_string_value(old) == '{') {
		struct inner in = {holder, index, json_loads(json_string_value(old), 0, NULL)};

		x->inner = &in;
		change_object(x, in.body, path);
		x->inner = NULL;
		json_array_set(holder, index, old);
		json_decref(in.body);
	}
	json_decref(old);
}

static void change_object(struct change *x, json_t *o, const char *path)
{
	json_t *copy = json_copy(o), *value; /* the order of members, while they come and go */
	char below[128];
	const char *name;
	size_t i;

	json_object_foreach(copy, name, value)
	{
		/* A member of what is a text is no claim by itself. */
		if (x->inner)
			snprintf(below, sizeof(below), "%s", path);
		else
			snprintf(below, sizeof(below), "%s%s%s", path, *path ? "." : "", name);
		json_object_del(o, name);
		try(x, below);
		json_object_set(o, name, value);
		change_value(x, o, name, 0, below);
	}
	if (json_is_array(o))
		for (i = 0; i < json_array_size(o); i++)
			change_value(x, o, NULL, i, path);
	json_decref(copy);
}

static void test_changes(void **state)
{
	struct change x = {};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		x.root = sample(samples[i]);
		change_object(&x, x.root, "");
		json_decref(x.root);
		if (i == 2)
			break; /* hosts have no such sample */
		x.host = true;
		x.root = sample_of("host-claims", samples[i]);
		change_object(&x, x.root, "");
		json_decref(x.root);
		x.host = false;
	}
	print_message("%zu refused, %zu taken\n", x.refused, x.taken);
	assert_true(x.refused > 3000);
}

static const struct {
	const char *path, *value, *why; /* why NULL: taken */
} edges[] = {
	{"eat_nonce", "\"12345678\"", NULL},
	{"eat_nonce", "\"1234567\"", "eat_nonce"},
	{"eat_nonce", "\"1234567 \"", "eat_nonce"},
	{"eat_nonce", "\"1234567\\\\\"", "eat_nonce"},
	{"eat_nonce", "\"1234567\\\"\"", "eat_nonce"},
	{"eat_nonce", "\"1234567\xc3\xbc\"", "eat_nonce"},
	{"eat_nonce", "[\"12345678\"]", "eat_nonce"},
	{"eat_profile", "\"tag:affiant.dev,2026:evidence#2\"", "eat_profile"},
	{"exp", "1793600000", "exp"},
	{"exp", "1793600001", NULL},
	{"exp", "1793601001", "exp"}, /* after the task's end */
	{"iss", "\"tag:affiant.dev,2026:host:00000000000000000000000000000000\"", NULL},
	{"iss", "\"tag:affiant.dev,2026:host:0000000000000000000000000000000\"", "iss"},
	{"iss", "\"tag:affiant.dev,2026:host:0000000000000000000000000000000A\"", "iss"},
	{"iss", "\"tag:affiant.dev,2026:hosts:00000000000000000000000000000000\"", "iss"},
	{"jti", "\"019A1C2D-3E4F-7A5B-8C6D-7E8F90A1B2C3\"", "jti"},
	{"sub", "\"https://example.org/agent\"", "sub"},
	{"key_custody", "\"none\"", "key_custody"},
	{"measurements", "[]", "measurements"},
	{"swversion", "[\"1.2.3\",16384]", NULL},
	{"swversion", "[\"\",16384]", "swversion"},
	{"unknown_claim", "{\"deep\":[1]}", NULL},
	{"submods.workload.manifest_roots", "[0]", "submods.workload.manifest_roots"},
	{"submods.workload.process.files", "[5]", "submods.workload.process.files"},
	{"submods.workload.process.files", "[6]", "submods.workload.process.files"},
	{"submods.workload.process.environment", "[\"LD_PRELOAD\"]", NULL},
	{"submods.workload.process.environment", "[\"A_NAME_OF_TOMORROW\"]", NULL},
	{"submods.workload.process.environment", "[]", "submods.workload.process.environment"},
	{"submods.workload.process.environment", "[7]", "submods.workload.process.environment"},
	{"submods.workload.process.environment", "[\"\"]", "submods.workload.process.environment"},
	{"submods.workload.process.environment", "[\"A B\"]",
	 "submods.workload.process.environment"},
	{"submods.workload.process.environment", "[\"A*B\"]",
	 "submods.workload.process.environment"},
	{"submods.workload.process.environment", "[\"A_NAME_OF_THIRTY_THREE_BYTES_33_33\"]",
	 "submods.workload.process.environment"},
	{"submods.workload.process.environment", "{}", "submods.workload.process.environment"},
	{"submods.workload.process.environment_cut", "true", NULL},
	{"submods.workload.process.environment_cut", "false",
	 "submods.workload.process.environment_cut"},
	{"submods.workload.ancestors_cut", "false", "submods.workload.ancestors_cut"},
	{"submods.workload.programs.cut", "false", "submods.workload.programs.cut"},
	{"submods.workload.folded", "true", NULL},
	{"submods.workload.folded", "false", "submods.workload.folded"},
	{"submods.workload.untagged_children", "true", NULL},
	{"submods.workload.untagged_children", "false", "submods.workload.untagged_children"},
	{"submods.workload.isolation", "\"lsm\"", "submods.workload.isolation"},
	{"submods.workload.principal.assurance", "\"verified\"",
	 "submods.workload.principal.assurance"},
	{"submods.host", "[\"JWT\",\"a.b.c\"]", "submods.host"},
	{"submods.host",
	 "[\"DIGEST\",[\"SHA-384\",\"XHfX_Y9R7QwqkT5GMm_20uoulcjs8WZ8cutyzMP8K0Y\"]]",
	 "submods.host"},
	{"submods.host",
	 "[\"DIGEST\",[\"SHA-256\",\"XHfX_Y9R7QwqkT5GMm_20uoulcjs8WZ8cutyzMP8K0\"]]",
	 "submods.host"},
	{"submods.host",
	 "[\"DIGEST\",[\"SHA-256\",\"XHfX_Y9R7QwqkT5GMm_20uoulcjs8WZ8cutyzMP8K0Y\"]]", NULL},
};

static json_t *at(json_t *o, const char *path, char last[static 64])
{
	char *copy = strdup(path), *save = NULL, *part = strtok_r(copy, ".", &save), *next;

	while ((next = strtok_r(NULL, ".", &save))) {
		o = json_object_get(o, part);
		part = next;
	}
	snprintf(last, 64, "%s", part);
	free(copy);
	return o;
}

static void test_edges(void **state)
{
	const char *why;
	struct claims c;
	char last[64];
	json_t *o, *holder;
	int err;

	(void)state;
	for (size_t i = 0; i < sizeof(edges) / sizeof(*edges); i++) {
		o = sample("usual");
		holder = at(o, edges[i].path, last);
		json_object_set_new(holder, last,
				    json_loads(edges[i].value, JSON_DECODE_ANY, NULL));
		why = "nothing";
		err = claims_parse(o, &c, &why);
		assert_int_equal(err, edges[i].why ? -EBADMSG : 0);
		assert_string_equal(why, edges[i].why ?: "nothing");
		if (!err)
			claims_clear(&c);
		json_decref(o);
	}
}

/* A private key is nobody's to send, and a curve of another size is no P-256. */
static void test_cnf(void **state)
{
	static const char *const bad[] = {"P-384", "P-256"};
	json_t *o, *jwk;
	const char *why;
	struct claims c;
	EVP_PKEY *key;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		o = sample("small");
		key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", bad[i]);
		jwk = jose_jwk(key, i == 1);
		json_object_set_new(json_object_get(o, "cnf"), "jwk", jwk);
		assert_int_equal(claims_parse(o, &c, &why), -EBADMSG);
		assert_string_equal(why, "cnf.jwk");
		EVP_PKEY_free(key);
		json_decref(o);
	}
}

/* A structure that is beyond its bounds makes no claims. */
static void test_encode_refuses(void **state)
{
	json_t *o = sample("usual"), *made = (json_t *)0xa5;
	const char *why = NULL;
	struct claims c;
	char *keep;

	(void)state;
	assert_int_equal(claims_parse(o, &c, &why), 0);
	json_decref(o);
	keep = c.workload.principal;
	c.workload.principal = (char[]){"\xff"}; /* must not become "none was named" */
	assert_int_equal(claims_encode(&c, &made, &why), -EINVAL);
	assert_string_equal(why, "submods.workload.principal");
	c.workload.principal = keep;
	keep = c.files[2].path;
	c.files[2].path = NULL; /* must not shift the files behind it */
	assert_int_equal(claims_encode(&c, &made, &why), -EINVAL);
	assert_string_equal(why, "measurements");
	c.files[2].path = keep;
	c.workload.task.scope[c.workload.task.scope_count++] = NULL;
	assert_int_equal(claims_encode(&c, &made, &why), -EINVAL);
	assert_string_equal(why, "submods.workload.task.scope");
	c.workload.task.scope_count--;
	c.exp = c.iat;
	assert_int_equal(claims_encode(&c, &made, &why), -EINVAL);
	assert_string_equal(why, "exp");
	assert_ptr_equal(made, (json_t *)0xa5);
	claims_clear(&c);
}

static const struct claims_file *file_of(const struct claims *c, const struct claims_process *p,
					 size_t i)
{
	assert_true(p->files[i] < c->files_count);
	return &c->files[p->files[i]];
}

static void test_fit(void **state)
{
	json_t *o = sample("large"), *json;
	size_t whole = json_dumpb(o, NULL, 0, JSON_COMPACT), len, before = CLAIMS_ANCESTORS_MAX;
	struct claims c, all;
	const char *why;

	(void)state;
	assert_int_equal(claims_parse(o, &all, &why), 0);
	assert_int_equal(all.files_count, CLAIMS_FILES_MAX);
	all.workload.ancestors_cut = false;
	for (size_t max = whole; max > 100; max -= 100) {
		assert_int_equal(claims_parse(o, &c, &why), 0);
		c.workload.ancestors_cut = false;
		assert_int_equal(claims_fit(&c, max, &json, &why), 0);
		len = json_dumpb(json, NULL, 0, JSON_COMPACT);
		assert_true(len <= max || c.workload.ancestors_count == 0);
		assert_true(c.workload.ancestors_count <= before);
		assert_int_equal(c.workload.ancestors_cut,
				 c.workload.ancestors_count < CLAIMS_ANCESTORS_MAX);
		before = c.workload.ancestors_count;
		/* What stays says what it said. */
		for (size_t i = 0; i < c.workload.process.files_count; i++)
			assert_string_equal(file_of(&c, &c.workload.process, i)->path,
					    file_of(&all, &all.workload.process, i)->path);
		for (size_t k = 0; k < c.workload.ancestors_count; k++)
			for (size_t i = 0; i < c.workload.ancestors[k].files_count; i++)
				assert_memory_equal(
					file_of(&c, &c.workload.ancestors[k], i)->digest,
					file_of(&all, &all.workload.ancestors[k], i)->digest, 32);
		assert_int_equal(c.workload.manifests_count, 8);
		for (size_t i = 0; i < 8; i++)
			assert_string_equal(c.files[c.workload.manifests[i]].path,
					    all.files[all.workload.manifests[i]].path);
		json_decref(json);
		if (before == 0)
			break;
		claims_clear(&c);
	}
	/* Nothing is left to leave out: it is as long as it is, and says all else. */
	assert_int_equal(claims_fit(&c, 100, &json, &why), 0);
	assert_int_equal(c.workload.process.files_count, all.workload.process.files_count);
	assert_int_equal(c.workload.task.scope_count, CLAIMS_SCOPES_MAX);
	json_decref(json);
	claims_clear(&c);
	json_decref(o);
	claims_clear(&all);
}

/*
 * How large evidence gets, as a CMW. The numbers printed are those of docs/evidence.md.
 */
static size_t size_of(const json_t *claims, unsigned int pcrs_count, unsigned int levels,
		      size_t signature_size)
{
	static const uint8_t zero[4096];
	size_t pcrs = pcrs_count * 32, path = 16 + levels * 32, size;
	json_t *header, *cmw;
	char *input, *token, *json;
	EVP_PKEY *key;

	assert_int_equal(jose_key_new(&key), 0);
	header = json_pack("{ssssso}", "alg", "ES256", "typ", "eat+jwt", "jwk",
			   jose_jwk(key, false));
	assert_int_equal(jose_signing_input(header, claims, &input), 0);
	assert_int_equal(jose_jws(key, input, &token), 0);
	cmw = cmw_collection(CMW_TYPE_EVIDENCE);
	cmw_add(cmw, "eat", "application/eat+jwt", token, strlen(token));
	cmw_add(cmw, "quote", "application/vnd.affiant.tpms-attest", zero, 195);
	cmw_add(cmw, "signature", "application/vnd.affiant.tpmt-signature", zero, signature_size);
	cmw_add(cmw, "pcrs", CMW_PCRS, zero, pcrs);
	cmw_add(cmw, "path", CMW_PATH, zero, path);
	json = json_dumps(cmw, JSON_COMPACT);
	size = strlen(json);
	free(json);
	free(token);
	free(input);
	json_decref(cmw);
	json_decref(header);
	EVP_PKEY_free(key);
	return size;
}

static void test_size(void **state)
{
	json_t *o, *json;
	const char *why;
	struct claims c;

	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
		o = sample(samples[i]);
		print_message(
			"%s: claims %zu, evidence %zu bytes (13 PCRs, ECDSA, alone in its batch)\n",
			samples[i], json_dumpb(o, NULL, 0, JSON_COMPACT), size_of(o, 13, 0, 72));
		json_decref(o);
	}
	/* The usual one is whole, and keeps to the bound. */
	o = sample("usual");
	assert_int_equal(claims_parse(o, &c, &why), 0);
	assert_int_equal(claims_fit(&c, CLAIMS_MAX, &json, &why), 0);
	assert_true(json_equal(o, json));
	assert_true(size_of(json, 13, 0, 72) <= CLAIMS_EVIDENCE_MAX);
	json_decref(json);
	json_decref(o);
	claims_clear(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_no_files),
		cmocka_unit_test(test_longest_path),   cmocka_unit_test(test_values),
		cmocka_unit_test(test_states),         cmocka_unit_test(test_changes),
		cmocka_unit_test(test_edges),          cmocka_unit_test(test_cnf),
		cmocka_unit_test(test_encode_refuses), cmocka_unit_test(test_fit),
		cmocka_unit_test(test_host_values),    cmocka_unit_test(test_host_round_trip),
		cmocka_unit_test(test_size),
	};

	return cmocka_run_group_tests_name("claims", tests, NULL, NULL);
}
