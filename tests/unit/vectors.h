/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/data/attest/vectors.json, which tests/oracle/vectors.py computes without our code. Include
 * after cmocka.h.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static inline json_t *vectors_load(const char *name)
{
	json_t *all =
		json_load_file(TEST_DATA "/attest/vectors.json", JSON_REJECT_DUPLICATES, NULL);
	json_t *one = json_incref(json_object_get(all, name));

	json_decref(all);
	assert_non_null(one);
	return one;
}

static inline const char *vector_text(const json_t *o, const char *name)
{
	const char *text = json_string_value(json_object_get(o, name));

	assert_non_null(text);
	return text;
}

/* Hexadecimal to bytes; returns how many. */
static inline size_t vector_bytes(const char *hex, uint8_t *ret, size_t size)
{
	size_t len = strlen(hex) / 2;

	assert_true(len <= size);
	for (size_t i = 0; i < len; i++) {
		unsigned int byte;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		ret[i] = byte;
	}
	return len;
}
