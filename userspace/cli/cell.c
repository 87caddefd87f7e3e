/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cell.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

#include "base/digest.h"
#include "base/text.h"
#include "record/hashes.h"
#include "record/socketname.h"
#include "record/words.h"

static const char *const sequences[] = {
	[DIM] = "\x1b[2m",    [BOLD] = "\x1b[1m",    [RED] = "\x1b[1;31m",
	[GREEN] = "\x1b[32m", [YELLOW] = "\x1b[33m", [CYAN] = "\x1b[36m",
};

void cell_bytes(struct line *l, const void *data, size_t len, bool word)
{
	text_printable(&l->cell, data, len,
		       (word ? TEXT_WORD : 0) | (l->style->ascii ? TEXT_ASCII : 0));
}

void cell_word(struct line *l, const char *text)
{
	cell_bytes(l, text, strlen(text), true);
}

static size_t characters(const struct buffer *b)
{
	size_t count = 0;

	for (size_t i = 0; i < b->len; i++)
		count += ((uint8_t)b->data[i] & 0xc0) != 0x80;
	return count;
}

void cell_end(struct line *l, size_t width, enum colour colour)
{
	size_t count;

	if (!l->cell.len)
		buffer_add_char(&l->cell, '-');
	count = characters(&l->cell);
	if (l->style->colour && colour)
		buffer_add_text(l->out, sequences[colour]);
	buffer_add(l->out, l->cell.data, l->cell.len);
	if (l->style->colour && colour)
		buffer_add_text(l->out, "\x1b[0m");
	for (size_t i = count; i < width; i++)
		buffer_add_char(l->out, ' ');
	buffer_add_char(l->out, ' ');
	l->out->failed |= l->cell.failed;
	buffer_clear(&l->cell);
}

/* Three digits are enough for a person; %g would turn to exponents from 999.5 on. */
void cell_duration(struct line *l, uint64_t ns)
{
	static const char *const units[] = {"us", "ms", "s"};
	double value = ns / 1e3;
	int unit = 0;

	for (; value >= 999.5 && unit < 2; unit++)
		value /= 1000;
	buffer_print(&l->cell, value < 999.5 ? "%.3g%s" : "%.0f%s", value, units[unit]);
}

void cell_size(struct line *l, uint64_t bytes)
{
	static const char units[] = "BKMGTPE";
	double value = bytes;
	int unit = 0;

	for (; value >= 999.5 && unit < 6; unit++)
		value /= 1000;
	buffer_print(&l->cell, unit ? "%.3g%c" : "%.0f%c", value, units[unit]);
}

void cell_digest(struct line *l, const Affiant__V1__Digest *d)
{
	const ProtobufCBinaryData *bytes = hashes_stated(d);
	const char *state = word_of(&affiant__v1__hash_state__descriptor, d ? (int)d->state : -1);
	char hex[13] = "";

	if (bytes && bytes->len >= 6)
		hex_encode(bytes->data, 6, hex);
	/* What it is worth, the state says; also whether it is fs-verity's. */
	buffer_print(&l->cell, "%s:%s", *hex ? hex : "none", state);
}

static void cell_socket(struct line *l, const Affiant__V1__Endpoint *e)
{
	_cleanup_buffer_ struct buffer name = {};

	socketname_add(&name, e);
	l->cell.failed |= name.failed;
	cell_bytes(l, name.data, name.len, true);
}

void cell_endpoint(struct line *l, const Affiant__V1__Endpoint *e)
{
	char text[INET6_ADDRSTRLEN];

	if (e->has_path) {
		cell_socket(l, e);
		return;
	}
	if (!e->has_address || (e->address.len != 4 && e->address.len != 16)) {
		buffer_add_char(&l->cell, '?');
		return;
	}
	inet_ntop(e->address.len == 4 ? AF_INET : AF_INET6, e->address.data, text, sizeof(text));
	if (e->has_scope_id && e->scope_id)
		buffer_print(&l->cell, "[%s%%%u]", text, e->scope_id);
	else
		buffer_print(&l->cell, e->address.len == 4 ? "%s" : "[%s]", text);
	if (e->has_port)
		buffer_print(&l->cell, ":%u", e->port);
}
