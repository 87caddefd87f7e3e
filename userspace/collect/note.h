/* SPDX-License-Identifier: Apache-2.0 */
/* note: what the daemon adds to the journal between the kernel's events (decode.h, state.proto). */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

#include "event.h"

/*
 * Frames @message as an event of type @type (enum note_type): *@ret is the caller's to free,
 * ret->size its length. -EMSGSIZE: larger than a note can be.
 */
int note_new(uint16_t type, uint64_t sequence, uint64_t boottime_ns,
	     const ProtobufCMessage *message, struct event_header **ret);

/* The message behind @h, a decoded note: *@ret_len bytes. NULL: it contradicts itself. */
const uint8_t *note_message(const struct event_header *h, size_t *ret_len);
