/* SPDX-License-Identifier: Apache-2.0 */
/* Files of tests/data/attest (its README says how they were made). Include after cmocka.h. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sample {
	uint8_t *data; /* on a heap of its own, to the byte: a sanitizer sees who reads behind it */
	size_t len;
};

static inline struct sample sample_copy(const void *data, size_t len)
{
	struct sample s = {.data = malloc(len ?: 1), .len = len};

	assert_non_null(s.data);
	memcpy(s.data, data, len);
	return s;
}

static inline struct sample sample_read(const char *name)
{
	struct sample s = {};
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), TEST_DATA "/attest/%s", name);
	f = fopen(path, "re");
	if (!f)
		fail_msg("%s", path);
	fseek(f, 0, SEEK_END);
	s.len = ftell(f);
	rewind(f);
	s.data = malloc(s.len ?: 1);
	assert_non_null(s.data);
	assert_int_equal(fread(s.data, 1, s.len, f), s.len);
	fclose(f);
	return s;
}

/*
 * With a NUL behind it, for text. sample_read() has none, so that a sanitizer sees what reads too
 * far.
 */
static inline struct sample sample_text(const char *name)
{
	struct sample s = sample_read(name);

	s.data = realloc(s.data, s.len + 1);
	assert_non_null(s.data);
	s.data[s.len] = '\0';
	return s;
}

static inline void sample_free(struct sample *s)
{
	free(s->data);
	*s = (struct sample){};
}

#define _cleanup_sample_ __attribute__((cleanup(sample_free)))
