/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/note.h"

#include <errno.h>
#include <stdlib.h>

#include "collect/decode.h"

int note_new(uint16_t type, uint64_t sequence, uint64_t boottime_ns,
	     const ProtobufCMessage *message, struct event_header **ret)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	size_t padding = -len % 8;
	struct event_header *h;

	if (sizeof(*h) + len + padding > NOTE_SIZE_MAX)
		return -EMSGSIZE;
	h = calloc(1, sizeof(*h) + len + padding);
	if (!h)
		return -ENOMEM;
	h->boottime_ns = boottime_ns;
	h->sequence = sequence;
	h->cpu = NOTE_CPU;
	h->type = type;
	h->size = sizeof(*h) + len + padding;
	/* A note has no thread: the field says how much of the end is padding. */
	h->tid = padding;
	protobuf_c_message_pack(message, (uint8_t *)(h + 1));
	*ret = h;
	return 0;
}

const uint8_t *note_message(const struct event_header *h, size_t *ret_len)
{
	size_t len = h->size - sizeof(*h);

	/* The payload's padding is told in tid: protobuf does not end by itself. */
	if (h->tid > 7 || len < h->tid)
		return NULL;
	*ret_len = len - h->tid;
	return (const uint8_t *)(h + 1);
}
