/* SPDX-License-Identifier: Apache-2.0 */
#include "yaml/document.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <yaml.h>

#include "base/cleanup.h"

#define PATH_SIZE 512

/* Where a key or a list's entry stands. */
struct mark {
	UT_hash_handle hh;
	unsigned int line;
	bool empty;
	char path[];
};

struct document {
	char *name;
	struct mark *marks;
	const cyaml_schema_value_t *schema;
	cyaml_config_t config;
	void *root;
};

/* What libcyaml said: its message, then a backtrace from the inside out. */
struct complaint {
	char text[512];
	char path[PATH_SIZE];
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
	char at[PATH_SIZE];
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

__attribute__((format(printf, 5, 6))) static int mistake_at(const struct document *d, size_t line,
							    char **ret_why, const char *path,
							    const char *format, ...)
{
	va_list ap;
	int err;

	va_start(ap, format);
	err = mistake_v(d->name, line + 1, ret_why, path, format, ap); /* libyaml counts from 0 */
	va_end(ap);
	return err;
}

/* ---- first pass: libyaml's events, for lines and for what libcyaml lets through ---- */

struct level {
	bool mapping;
	bool value;      /* of a mapping: the next event is a key's value */
	size_t entry;    /* of a list; of a mapping, how many keys it has had */
	size_t path_len; /* of the path of the mapping or list itself */
};

struct walk {
	struct document *document;
	char **ret_why;
	char path[PATH_SIZE];
	size_t path_len;
	struct level levels[DOCUMENT_DEPTH_MAX];
	size_t depth;
	size_t documents;
};

static int mark_add(struct walk *w, size_t line)
{
	struct document *d = w->document;
	struct mark *m;

	HASH_FIND(hh, d->marks, w->path, w->path_len, m);
	if (m)
		return mistake_at(d, line, w->ret_why, w->path, "is there twice, first in line %u",
				  m->line);
	if (HASH_COUNT(d->marks) >= DOCUMENT_KEYS_MAX)
		return mistake_at(d, line, w->ret_why, "", "more than %d keys", DOCUMENT_KEYS_MAX);

	m = calloc(1, sizeof(*m) + w->path_len + 1);
	if (!m)
		return -ENOMEM;
	m->line = line + 1;
	memcpy(m->path, w->path, w->path_len);
	HASH_ADD(hh, d->marks, path, w->path_len, m);
	return 0;
}

/* Extends the path by ".key", or by "[entry]" where @key is NULL. */
static int path_push(struct walk *w, size_t line, const char *key, size_t entry)
{
	size_t room = sizeof(w->path) - w->path_len;
	char *end = w->path + w->path_len;
	int len = key ? snprintf(end, room, "%s%s", w->path_len ? "." : "", key)
		      : snprintf(end, room, "[%zu]", entry);

	if (len < 0 || (size_t)len >= room) {
		*end = '\0';
		return mistake_at(w->document, line, w->ret_why, w->path,
				  "a key too long below it");
	}
	w->path_len += len;
	return mark_add(w, line);
}

/* A key holds what a path in a message can show, and what cannot be mistaken for a path's own dots.
 */
static bool key_plain(const yaml_event_t *e)
{
	const unsigned char *key = e->data.scalar.value;

	for (size_t i = 0; i < e->data.scalar.length; i++)
		if (!((key[i] >= 'a' && key[i] <= 'z') || (key[i] >= 'A' && key[i] <= 'Z') ||
		      (key[i] >= '0' && key[i] <= '9') || key[i] == '_' || key[i] == '-'))
			return false;
	return e->data.scalar.length > 0;
}

static void mark_empty(struct walk *w)
{
	struct mark *m;

	HASH_FIND(hh, w->document->marks, w->path, w->path_len, m);
	if (m)
		m->empty = true;
}

/* The end of a value, whatever it was: the path goes back to the mapping or list that holds it. */
static void value_end(struct walk *w)
{
	struct level *l;

	if (!w->depth)
		return;
	l = &w->levels[w->depth - 1];
	if (l->mapping)
		l->value = false;
	w->path_len = l->path_len;
	w->path[w->path_len] = '\0';
}

static bool value_missing(const yaml_event_t *e)
{
	const char *text = (const char *)e->data.scalar.value;

	return e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!*text || !strcmp(text, "~") || !strcasecmp(text, "null"));
}

static int walk_scalar(struct walk *w, const yaml_event_t *e)
{
	size_t line = e->start_mark.line;

	if (strlen((const char *)e->data.scalar.value) != e->data.scalar.length)
		return mistake_at(w->document, line, w->ret_why, w->path, "holds a NUL character");
	if (w->depth && value_missing(e))
		return mistake_at(w->document, line, w->ret_why, w->path,
				  "has no value: give one, or leave the key out");
	if (!e->data.scalar.length)
		mark_empty(w);
	value_end(w);
	return 0;
}

static int walk_open(struct walk *w, const yaml_event_t *e)
{
	if (w->depth == DOCUMENT_DEPTH_MAX)
		return mistake_at(w->document, e->start_mark.line, w->ret_why, w->path,
				  "nested too deeply");
	w->levels[w->depth++] = (struct level){
		.mapping = e->type == YAML_MAPPING_START_EVENT,
		.path_len = w->path_len,
	};
	return 0;
}

/* Before a value: a mapping's key extends the path and is done, a list's entry extends it and goes
 * on. */
static int walk_name(struct walk *w, const yaml_event_t *e, bool *ret_done)
{
	struct level *l = w->depth ? &w->levels[w->depth - 1] : NULL;
	size_t line = e->start_mark.line;

	*ret_done = false;
	if (!l || (l->mapping && l->value))
		return 0;
	if (!l->mapping)
		return path_push(w, line, NULL, l->entry++);

	if (e->type != YAML_SCALAR_EVENT || !key_plain(e))
		return mistake_at(w->document, line, w->ret_why, w->path,
				  "has a key that is not a plain word");
	*ret_done = l->value = true;
	l->entry++;
	return path_push(w, line, (const char *)e->data.scalar.value, 0);
}

static int walk_event(struct walk *w, const yaml_event_t *e)
{
	bool done;
	int err;

	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (w->documents++)
			return mistake_at(w->document, e->start_mark.line, w->ret_why, "",
					  "a second document: "
					  "one file holds one");
		return 0;
	case YAML_ALIAS_EVENT:
		return mistake_at(w->document, e->start_mark.line, w->ret_why, w->path,
				  "is an alias: write the value itself");
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		if (!w->levels[--w->depth].entry)
			mark_empty(w);
		value_end(w);
		return 0;
	case YAML_SCALAR_EVENT:
	case YAML_MAPPING_START_EVENT:
	case YAML_SEQUENCE_START_EVENT:
		err = walk_name(w, e, &done);
		if (err || done)
			return err;
		return e->type == YAML_SCALAR_EVENT ? walk_scalar(w, e) : walk_open(w, e);
	default:
		return 0;
	}
}

static int walk(struct document *d, const void *text, size_t len, char **ret_why)
{
	struct walk w = {.document = d, .ret_why = ret_why};
	yaml_parser_t parser;
	yaml_event_t event;
	bool end = false;
	int err = 0;

	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, text, len);
	while (!err && !end) {
		if (!yaml_parser_parse(&parser, &event)) {
			/* The reader (bad UTF-8, control characters) sets no mark, only an offset.
			 */
			size_t line = parser.problem_mark.line;

			if (parser.error == YAML_READER_ERROR)
				for (size_t i = line = 0; i < parser.problem_offset && i < len; i++)
					line += ((const char *)text)[i] == '\n';
			err = parser.error == YAML_MEMORY_ERROR
				      ? -ENOMEM
				      : mistake_at(d, line, ret_why, "", "not YAML: %s",
						   parser.problem ?: "the parser doesn't say why");
			break;
		}
		end = event.type == YAML_STREAM_END_EVENT;
		err = walk_event(&w, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return err;
}

/* ---- second pass: libcyaml, whose log says what it did not like ---- */

static void path_prepend(struct complaint *c, const char *part)
{
	const char *dot = *c->path && *c->path != '[' ? "." : "";
	char path[PATH_SIZE];
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
	char keys[512] = "", path[2 * PATH_SIZE];
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

	err = walk(d, text, len, ret_why);
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
