/* SPDX-License-Identifier: Apache-2.0 */
/* document_impl: a document's parts, for document.c and walk.c alone. */
#pragma once

#include <stdbool.h>
#include <uthash.h>

#include "yaml/document.h"

#define DOCUMENT_PATH_SIZE 512

/* Where a key or a list's entry stands. */
struct mark {
	UT_hash_handle hh;
	unsigned int line; /* from 1 */
	bool empty;        /* it has no value, or one without anything in it */
	char path[];
};

struct document {
	char *name;
	struct mark *marks; /* owned, by their paths */
	const cyaml_schema_value_t *schema;
	cyaml_config_t config;
	void *root;
};

/* As document_mistake(), of line @line as libyaml counts: from 0. */
__attribute__((format(printf, 5, 6))) int document_mistake_at(const struct document *d, size_t line,
							      char **ret_why, const char *path,
							      const char *format, ...);

/*
 * The first pass over @text, by libyaml's events: fills d->marks, and refuses what libcyaml lets
 * through: keys that are there twice, aliases, a second document. 0, -ENOMEM, or -EBADMSG with
 * *@ret_why as of document_mistake().
 */
int document_walk(struct document *d, const void *text, size_t len, char **ret_why);
