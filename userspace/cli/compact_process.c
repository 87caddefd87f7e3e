/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/compact_process.h"

#include <string.h>

#include "record/hashes.h"

#define ARGV_SHOWN 200 /* bytes of the arguments on a line; how many more there are is said */

static const ProtobufCBinaryData *base_name(const ProtobufCBinaryData *path,
					    ProtobufCBinaryData *ret)
{
	const uint8_t *slash = path->len ? memrchr(path->data, '/', path->len) : NULL;
	size_t skip = slash ? (size_t)(slash - path->data) + 1 : 0;

	*ret = (ProtobufCBinaryData){path->len - skip, path->len ? path->data + skip : NULL};
	return ret;
}

/* The outermost script: what an interpreter runs says more than what it is. */
static const Affiant__V1__Step *script_of(const Affiant__V1__Process *p)
{
	for (size_t i = 0; i < p->n_chain; i++)
		if (p->chain[i]->kind == AFFIANT__V1__STEP_KIND__STEP_SCRIPT ||
		    p->chain[i]->kind == AFFIANT__V1__STEP_KIND__STEP_SCRIPT_ARGUMENT)
			return p->chain[i];
	return NULL;
}

static void add_executable(struct line *l, const Affiant__V1__Process *p)
{
	ProtobufCBinaryData name;

	if (p->executable && p->executable->has_path)
		base_name(&p->executable->path, &name);
	else if (p->has_comm)
		name = p->comm;
	else
		name = (ProtobufCBinaryData){1, (uint8_t *)"?"};
	cell_bytes(l, name.data, name.len, true);
}

/* "agent.py"; "agent.py?" when only argv named it: the process's own claim. */
static void add_script(struct line *l, const Affiant__V1__Step *script)
{
	ProtobufCBinaryData name;

	base_name(&script->path, &name);
	cell_bytes(l, name.data, name.len, true);
	if (script->named_by_argv)
		buffer_add_char(&l->cell, '?');
}

void compact_process(struct line *l, const Affiant__V1__Process *p)
{
	const Affiant__V1__Step *script = script_of(p);

	if (script && script->has_path)
		add_script(l, script);
	else
		add_executable(l, p);
	if (p->id)
		buffer_print(&l->cell, "[%u]", p->id->tgid);
}

/*
 * In quotes where it needs them; a quote inside is escaped, so that where an argument ends is never
 * in doubt.
 */
static void add_argument(struct line *l, const ProtobufCBinaryData *arg, size_t len)
{
	bool quote =
		!arg->len || memchr(arg->data, ' ', arg->len) || memchr(arg->data, '\'', arg->len);

	if (quote)
		buffer_add_char(&l->cell, '\'');
	for (size_t at = 0, end; at < len; at = end + 1) {
		const uint8_t *stop = memchr(arg->data + at, '\'', len - at);

		end = stop ? (size_t)(stop - arg->data) : len;
		cell_bytes(l, arg->data + at, end - at, false);
		if (stop)
			buffer_add_text(&l->cell, "\\x27");
	}
	if (quote)
		buffer_add_char(&l->cell, '\'');
}

void compact_arguments(struct line *l, const Affiant__V1__Process *p)
{
	size_t total = 0, shown = 0;

	for (size_t i = 0; i < p->n_argv; i++) {
		size_t room = shown < ARGV_SHOWN ? ARGV_SHOWN - shown : 0;
		size_t part = p->argv[i].len < room ? p->argv[i].len : room;

		total += p->argv[i].len;
		if (!room)
			continue;
		if (i)
			buffer_add_char(&l->cell, ' ');
		add_argument(l, &p->argv[i], part);
		shown += part;
	}
	if (total > shown)
		buffer_print(&l->cell, " (%zu bytes more)", total - shown);
	if (p->argv_cut)
		buffer_print(&l->cell, " (%u arguments, cut)", p->argc);
}

void compact_digest(struct line *l, const Affiant__V1__Process *p)
{
	const Affiant__V1__Step *script = script_of(p);
	const Affiant__V1__Digest *d = p->executable ? p->executable->digest : NULL;
	enum colour colour = hashes_proven(d) ? DIM : YELLOW;

	if (script && script->has_path) {
		add_script(l, script);
		buffer_add_char(&l->cell, '=');
		cell_digest(l, script->digest);
		buffer_add_char(&l->cell, ' ');
	}
	add_executable(l, p);
	buffer_add_char(&l->cell, '=');
	cell_digest(l, d);
	cell_end(l, 0, colour);
}
