/* SPDX-License-Identifier: Apache-2.0 */
/* forgery: ways to change evidence, and the state of the one case that runs. For test_forgery.c. */
#pragma once

#include "forge.h"

static struct forge f;

/* ---- ways to change it ---- */

static void set(json_t *o, const char *name, json_t *value)
{
	assert_non_null(o);
	assert_int_equal(json_object_set_new(o, name, value), 0);
}

static json_t *workload(void)
{
	return at(f.payload, "submods", "workload");
}

static void other_digest(json_t *measurements, size_t i)
{
	json_t *o = forge_body(measurements, i);

	set(o, "digested-measurement",
	    json_pack("[is]", 1, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
	forge_set_body(measurements, i, 296, o);
}

/* A member of the collection, or of its host evidence. */
static struct bytes member(json_t *o, const char *name)
{
	const char *text = json_string_value(json_array_get(json_object_get(o, name), 1));
	struct bytes b = {};

	assert_int_equal(base64url_decode(text, strlen(text), b.data, sizeof(b.data), &b.len), 0);
	return b;
}

static void replace(json_t *o, const char *name, const struct bytes *b)
{
	char *text = base64url_new(b->data, b->len);

	assert_int_equal(json_array_set_new(json_object_get(o, name), 1, json_string(text)), 0);
	free(text);
}

static void append(json_t *o, const char *name)
{
	struct bytes b = member(o, name);

	add(&b, "", 1);
	replace(o, name, &b);
}

static void flip(json_t *o, const char *name, size_t byte)
{
	struct bytes b = member(o, name);

	b.data[byte] ^= 1;
	replace(o, name, &b);
}

/* A token of the attacker's own, in place of the genuine one. */
static void sign_anew(EVP_PKEY *key)
{
	char *input, *token;

	assert_int_equal(jose_signing_input(f.header, f.payload, &input), 0);
	assert_int_equal(jose_jws(key, input, &token), 0);
	free(f.token);
	free(input);
	f.token = token;
	forge_wrap(&f);
}

static void as_text(void)
{
	f.text = json_dumps(f.collection, JSON_COMPACT);
	json_decref(f.collection);
	f.collection = NULL;
}
