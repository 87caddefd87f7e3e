/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cell: the pieces of compact.c's lines. What records hold gets out through here, and only
 * printable.
 */
#pragma once

#include <affiant/v1/record.pb-c.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "cli/compact.h"

enum colour { PLAIN, DIM, BOLD, RED, GREEN, YELLOW, CYAN };

struct line {
	const struct compact_style *style;
	struct buffer *out;
	struct buffer cell; /* the one that is being filled */
};

/* Bytes that somebody else chose; @word: a space is escaped too. */
void cell_bytes(struct line *l, const void *data, size_t len, bool word);
void cell_word(struct line *l, const char *text);

void cell_duration(struct line *l, uint64_t ns); /* "12.3ms" */
void cell_size(struct line *l, uint64_t bytes);  /* "5.24M", by thousands */
/* "1f1f1f1f1f1f:observed", "1f1f1f1f1f1f:unproven", "none:too_late", "none:claimed" */
void cell_digest(struct line *l, const Affiant__V1__Digest *d);
/* "[2001:db8::7]:443", "@abstract" */
void cell_endpoint(struct line *l, const Affiant__V1__Endpoint *e);

/*
 * Ends the cell: at least @width characters, "-" when it is empty. What is longer moves the rest:
 * nothing is cut.
 */
void cell_end(struct line *l, size_t width, enum colour colour);
