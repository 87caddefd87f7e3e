/* SPDX-License-Identifier: Apache-2.0 */
/*
 * price: bytes that the records of an event take in the ledger, about, as far as the event itself
 * tells: a replay has to come to the same. What they took beyond it (scripts, links, long names of
 * control groups) is charged later, by a NOTE_FOLD.
 *
 * Measured on the release daemon; docs/samples/sizes.tsv has records of each kind.
 */
#pragma once

#include "collect/decode.h"
#include "collect/table.h"

enum price {
	PRICE_RECORD = 112,  /* its frame, ids and times */
	PRICE_PROCESS = 40,  /* its ids and its parent's */
	PRICE_ANCESTOR = 24, /* and the path */
	PRICE_IMAGE = 230, /* numbers, namespaces, digest, build id; and the event's paths, argv */
	PRICE_LOADER = 96,
	PRICE_ARGV_MAX = 2048, /* of arguments, more is not in a record */

	PRICE_CONNECT = 76, /* with its outcome, which belongs to it */
	PRICE_ASKED = 24,   /* another address than was reached */
	PRICE_OPENER = 40,
	PRICE_CLOSE = 64,
	PRICE_UNIX = 50, /* and the path */
	PRICE_EXEC = 10, /* and the file's and the interpreter's name */
	PRICE_EXIT = 12,
	PRICE_UNTRACKED = 24,
	PRICE_LISTENING = 60,

	PRICE_FOLDED = 40, /* without what it says */
};

/* What an image takes of each record of its processes. */
static inline uint32_t price_image(const struct event_exec *e)
{
	return PRICE_IMAGE + (exec_has_loader(e) ? PRICE_LOADER : 0) + e->exe_len + e->cwd_len +
	       (e->argv_len < PRICE_ARGV_MAX ? e->argv_len : PRICE_ARGV_MAX);
}

static inline uint64_t price_session(const struct session *s)
{
	return PRICE_RECORD + s->packed_len;
}

/* Of a record of @a, without its body. */
static inline uint64_t price_actor(const struct actor *a)
{
	const struct lineage *l = a->lineage;
	uint64_t price = price_session(a->session) + PRICE_PROCESS + a->image->weight;

	for (unsigned int i = 0; l && i < l->count; i++) {
		const struct image *image = l->up[i].image;

		price += PRICE_ANCESTOR + (image && image->exe ? image->exe->len : 0);
	}
	return price;
}
