/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value: one value of the configuration each, from text to what it means. NULL text keeps what *@to
 * is. Errors as document_mistake().
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "yaml/document.h"

#define KIB (1ULL << 10)
#define MIB (1ULL << 20)
#define GIB (1ULL << 30)
#define SECOND 1000000000ULL
#define MS 1000000ULL

struct values {
	const struct document *document;
	char **ret_why;
};

/* An absolute, plain path of at most @max bytes. */
int value_path(const struct values *x, const char *key, const char *text, size_t max, char **to);
int value_size(const struct values *x, const char *key, const char *text, uint64_t min,
	       uint64_t max, uint64_t *to);
int value_count(const struct values *x, const char *key, const char *text, uint64_t min,
		uint64_t max, uint64_t *to);
int value_duration(const struct values *x, const char *key, const char *text, uint64_t min_ns,
		   uint64_t max_ns, uint64_t *to);

/* Replaces *@to by a copy: 0 or -ENOMEM. */
int value_text(char **to, const char *text);
