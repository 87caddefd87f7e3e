/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <yaml.h>

#include "yaml/document_impl.h"

struct level {
	bool mapping;
	bool value;      /* of a mapping: the next event is a key's value */
	size_t entry;    /* of a list; of a mapping, how many keys it has had */
	size_t path_len; /* of the path of the mapping or list itself */
};

struct walk {
	struct document *document;
	char **ret_why;
	char path[DOCUMENT_PATH_SIZE];
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
		return document_mistake_at(d, line, w->ret_why, w->path,
					   "is there twice, first in line %u", m->line);
	if (HASH_COUNT(d->marks) >= DOCUMENT_KEYS_MAX)
		return document_mistake_at(d, line, w->ret_why, "", "more than %d keys",
					   DOCUMENT_KEYS_MAX);

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
		return document_mistake_at(w->document, line, w->ret_why, w->path,
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
		return document_mistake_at(w->document, line, w->ret_why, w->path,
					   "holds a NUL character");
	if (w->depth && value_missing(e))
		return document_mistake_at(w->document, line, w->ret_why, w->path,
					   "has no value: give one, or leave the key out");
	if (!e->data.scalar.length)
		mark_empty(w);
	value_end(w);
	return 0;
}

static int walk_open(struct walk *w, const yaml_event_t *e)
{
	if (w->depth == DOCUMENT_DEPTH_MAX)
		return document_mistake_at(w->document, e->start_mark.line, w->ret_why, w->path,
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
		return document_mistake_at(w->document, line, w->ret_why, w->path,
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
			return document_mistake_at(w->document, e->start_mark.line, w->ret_why, "",
						   "a second document: "
						   "one file holds one");
		return 0;
	case YAML_ALIAS_EVENT:
		return document_mistake_at(w->document, e->start_mark.line, w->ret_why, w->path,
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

int document_walk(struct document *d, const void *text, size_t len, char **ret_why)
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
				      : document_mistake_at(
						d, line, ret_why, "", "not YAML: %s",
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
