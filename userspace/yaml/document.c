/* SPDX-License-Identifier: Apache-2.0 */
#include "yaml/document.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/cleanup.h"
#include "yaml/document_impl.h"

/* What libcyaml said: its message, then a backtrace from the inside out. */
struct complaint {
	char text[512];
	char path[DOCUMENT_PATH_SIZE];
	bool tracing;
};

static void marks_free(struct mark *marks)
{
	struct mark *m, *next;

	HASH_ITER (hh, marks, m, next) {
		HASH_DEL(marks, m);
		free(m);
	}
}

void document_free(struct document *d)
{
	if (!d)
		return;
	if (d->root)
		cyaml_free(&d->config, d->schema, d->root, 0);
	marks_free(d->marks);
	free(d->name);
	free(d);
}

DEFINE_CLEANUP(struct document *, document_free)

const void *document_root(const struct document *d)
{
	return d->root;
}

bool document_has(const struct document *d, const char *path)
{
	struct mark *m;

	HASH_FIND_STR(d->marks, path, m);
	return m;
}

size_t document_keys(const struct document *d)
{
	return HASH_COUNT(d->marks);
}

const char *document_empty(const struct document *d, bool (*but)(const char *path))
{
	for (const struct mark *m = d->marks; m; m = m->hh.next)
		if (m->empty && !(but && but(m->path)))
			return m->path;
	return NULL;
}

static unsigned int line_of(const struct document *d, const char *path)
{
	char at[DOCUMENT_PATH_SIZE];
	struct mark *m;

	for (snprintf(at, sizeof(at), "%s", path); *at; at[strlen(at) - 1] = '\0') {
		HASH_FIND_STR(d->marks, at, m);
		if (m)
			return m->line;
	}
	return 1;
}

__attribute__((format(printf, 5, 0))) static int mistake_v(const char *name, unsigned int line,
							   char **ret_why, const char *path,
							   const char *format, va_list ap)
{
	_cleanup_free_ char *what = NULL;

	*ret_why = NULL;
	if (vasprintf(&what, format, ap) < 0) {
		what = NULL;
		return -ENOMEM;
	}
	if (asprintf(ret_why, "%s:%u: %s%s%s", name, line, path, *path ? ": " : "", what) < 0) {
		*ret_why = NULL;
		return -ENOMEM;
	}
	return -EBADMSG;
}

int document_mistake(const struct document *d, char **ret_why, const char *path, const char *format,
		     ...)
{
	va_list ap;
	int err;

	va_start(ap, format);
	err = mistake_v(d->name, line_of(d, path), ret_why, path, format, ap);
	va_end(ap);
	return err;
}

int document_mistake_at(const struct document *d, size_t line, char **ret_why, const char *path,
			const char *format, ...)
{
	va_list ap;
	int err;

	va_start(ap, format);
	err = mistake_v(d->name, line + 1, ret_why, path, format, ap); /* libyaml counts from 0 */
	va_end(ap);
	return err;
}

/* ---- the second pass, after walk.c: libcyaml, whose log says what it did not like ---- */

static void path_prepend(struct complaint *c, const char *part)
{
	const char *dot = *c->path && *c->path != '[' ? "." : "";
	char path[DOCUMENT_PATH_SIZE];
	int len = snprintf(path, sizeof(path), "%s%s%s", part, dot, c->path);

	if (len > 0 && (size_t)len < sizeof(path)) /* the first pass let no longer one through */
		memcpy(c->path, path, len + 1);
}

/*
 * "Load: <what>", "Load: Backtrace:", then a line for each level:
 * "  in mapping field 'mode' (line: 6, column: 11)", "  in sequence entry '2' (...)" (counted from
 * 1).
 */
__attribute__((format(printf, 3, 0))) static void complaint_log(cyaml_log_t level, void *context,
								const char *format, va_list ap)
{
	struct complaint *c = context;
	char line[512], part[256];
	unsigned int entry;

	(void)level;
	vsnprintf(line, sizeof(line), format, ap);
	line[strcspn(line, "\n")] = '\0';

	if (!strcmp(line, "Load: Backtrace:"))
		c->tracing = true;
	else if (sscanf(line, " in mapping field '%255[^']'", part) == 1)
		path_prepend(c, part);
	else if (sscanf(line, " in sequence entry '%u'", &entry) == 1) {
		snprintf(part, sizeof(part), "[%u]", entry - 1);
		path_prepend(c, part);
	} else if (!c->tracing && !strncmp(line, "Load: ", 6))
		snprintf(c->text, sizeof(c->text), "%s", line + 6);
}

/* The fields of the mapping at @path, or NULL: @path is one that libcyaml has been to. */
static const cyaml_schema_field_t *fields_at(const cyaml_schema_value_t *schema, const char *path)
{
	const cyaml_schema_field_t *f;
	size_t len;

	while (*path) {
		if (*path == '[') {
			if (schema->type != CYAML_SEQUENCE)
				return NULL;
			schema = schema->sequence.entry;
			path += strcspn(path, "]");
			path += *path == ']';
			continue;
		}
		path += *path == '.';
		len = strcspn(path, ".[");
		if (schema->type != CYAML_MAPPING)
			return NULL;
		for (f = schema->mapping.fields; f->key; f++)
			if (strlen(f->key) == len && !memcmp(f->key, path, len))
				break;
		if (!f->key)
			return NULL;
		schema = &f->value;
		path += len;
	}
	return schema->type == CYAML_MAPPING ? schema->mapping.fields : NULL;
}

static int unknown_key(const struct document *d, const struct complaint *c, const char *key,
		       char **ret_why)
{
	const cyaml_schema_field_t *f = fields_at(d->schema, c->path);
	char keys[512] = "", path[2 * DOCUMENT_PATH_SIZE];
	size_t len = 0;

	for (; f && f->key && len < sizeof(keys); f++)
		len += snprintf(keys + len, sizeof(keys) - len, "%s%s", len ? ", " : "", f->key);
	snprintf(path, sizeof(path), "%s%s%s", c->path, *c->path ? "." : "", key);
	return document_mistake(d, ret_why, path, "no such key; there are %s", keys);
}

static int explain(const struct document *d, struct complaint *c, cyaml_err_t error, char **ret_why)
{
	static const struct {
		const char *expecting, *words;
	} kinds[] = {
		{"Expecting STRING,", "must be a single value"},
		{"Expecting SEQUENCE,", "must be a list"},
		{"Expecting MAPPING,", "must be keys with values"},
	};
	unsigned int max;
	char key[256];

	if (error == CYAML_ERR_OOM)
		return -ENOMEM;
	if (sscanf(c->text, "Unexpected key: %255s", key) == 1)
		return unknown_key(d, c, key, ret_why);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strncmp(c->text, kinds[i].expecting, strlen(kinds[i].expecting)))
			return document_mistake(d, ret_why, c->path, "%s", kinds[i].words);
	if (sscanf(c->text, "STRING length > %u", &max) == 1)
		return document_mistake(d, ret_why, c->path, "is longer than %u bytes", max);
	if (sscanf(c->text, "Excessive entries (%u max)", &max) == 1) {
		char *entry = strrchr(c->path, '[');

		if (entry) /* the one that there is no room for */
			*entry = '\0';
		return document_mistake(d, ret_why, c->path, "has more than %u entries", max);
	}
	return document_mistake(d, ret_why, c->path, "%s",
				*c->text ? c->text : cyaml_strerror(error));
}

int document_new(const char *name, const void *text, size_t len, const cyaml_schema_value_t *schema,
		 struct document **ret, char **ret_why)
{
	_cleanup_(document_freep) struct document *d = NULL;
	struct complaint complaint = {};
	cyaml_err_t error;
	int err;

	*ret_why = NULL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->schema = schema;
	d->config = (cyaml_config_t){
		.log_fn = complaint_log,
		.log_ctx = &complaint,
		.mem_fn = cyaml_mem,
		.log_level = CYAML_LOG_ERROR,
		.flags = CYAML_CFG_NO_ALIAS,
	};
	d->name = strdup(name);
	if (!d->name)
		return -ENOMEM;
	if (len > DOCUMENT_SIZE_MAX)
		return document_mistake(d, ret_why, "", "longer than %d bytes", DOCUMENT_SIZE_MAX);

	err = document_walk(d, text, len, ret_why);
	if (err)
		return err;
	error = cyaml_load_data(text, len, &d->config, schema, &d->root, NULL);
	if (error != CYAML_OK)
		return explain(d, &complaint, error, ret_why);
	d->config.log_fn = NULL; /* the complaint is gone, cyaml_free() has none */
	d->config.log_ctx = NULL;
	*ret = TAKE_PTR(d);
	return 0;
}
