/* SPDX-License-Identifier: Apache-2.0 */
/* pb: what filling in a message of protobuf-c takes. */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* An optional field: absent differs from zero. */
#define SET(message, field, value)                                                                 \
	do {                                                                                       \
		(message)->has_##field = true;                                                     \
		(message)->field = (value);                                                        \
	} while (0)

/* Borrows: for messages on the stack, which are packed and never freed. */
static inline ProtobufCBinaryData pb_bytes(const void *data, size_t len)
{
	return (ProtobufCBinaryData){.data = (uint8_t *)data, .len = len};
}

/* Copies: for messages that *__free_unpacked() frees. Without memory it is empty. */
static inline ProtobufCBinaryData pb_copy(const void *data, size_t len)
{
	ProtobufCBinaryData b = {.data = malloc(len ?: 1)};

	if (b.data && len) {
		memcpy(b.data, data, len);
		b.len = len;
	}
	return b;
}
