/* SPDX-License-Identifier: Apache-2.0 */
/*
 * document: one YAML text, loaded by libcyaml into a struct of strings, that knows the line of
 * every key, so that a mistake found later is still told where it was made.
 *
 * Stricter than YAML: one document, no aliases, no key twice, no empty values. All scalars of a
 * schema are strings (libcyaml takes "1x" for 1 and "maybe" for true): who uses them converts them.
 */
#pragma once

#include <cyaml/cyaml.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define DOCUMENT_SIZE_MAX (1024 * 1024)
#define DOCUMENT_DEPTH_MAX 8
#define DOCUMENT_KEYS_MAX 16384

struct document;

/*
 * @name stands in messages; @schema is borrowed for the document's life. -EBADMSG with *@ret_why a
 * line for a person (to be freed), -ENOMEM (then *@ret_why may be NULL).
 */
int document_new(const char *name, const void *text, size_t len, const cyaml_schema_value_t *schema,
		 struct document **ret, char **ret_why);
void document_free(struct document *d);

/* What the schema describes; NULL when the text holds nothing but comments. */
const void *document_root(const struct document *d);

/* Whether that key or entry is there: of an empty list the struct shows nothing. */
bool document_has(const struct document *d, const char *path);

/* How many keys and entries there are. */
size_t document_keys(const struct document *d);

/*
 * The first key or entry whose value says nothing: "", [] or {}; NULL: there is none. Those that
 * @but (may be NULL) answers yes to are passed over. Borrowed.
 */
const char *document_empty(const struct document *d, bool (*but)(const char *path));

/*
 * -EBADMSG with "name:line: path: text" in *@ret_why; -ENOMEM. @path is as in
 * "agents[2].hash.mode"; "" for the whole. A path that isn't there is told with the line of the
 * nearest one above it that is.
 */
int document_mistake(const struct document *d, char **ret_why, const char *path, const char *format,
		     ...) __attribute__((format(printf, 4, 5)));
