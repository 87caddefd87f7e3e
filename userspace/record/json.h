/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json: protobuf messages as JSON objects, by their descriptors: a new field of a record shows by
 * itself.
 */
#pragma once

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "base/buffer.h"

/*
 * JSON being built. A failed allocation sticks, as in struct buffer. Values that functions return
 * or take are owned references; NULL is passed on.
 */
struct json_builder {
	bool failed;
	bool percent; /* text_utf8()'s: a percent sign becomes %25 */
	bool escaped; /* a byte that is no UTF-8 was met */
	struct buffer scratch;
};

/* Steals @value; a NULL one, or no @object to put it in, is a failed allocation. */
void json_put(struct json_builder *b, json_t *object, const char *key, json_t *value);
void json_add(struct json_builder *b, json_t *array, json_t *value);

json_t *json_text(struct json_builder *b, const void *data, size_t len);
json_t *json_hex(const void *data, size_t len);
json_t *json_uuid(const void *bytes);
/*
 * Beyond 2^53 most readers of JSON round: counts are numbers, identifiers and clocks are decimal
 * strings.
 */
json_t *json_decimal(uint64_t value);

/*
 * The fields of @message that are present, under the names of the .proto file; @mapped:
 * NULL-terminated names of those that have a home elsewhere. NULL when nothing is left, or when
 * memory is.
 */
json_t *json_of_message(struct json_builder *b, const ProtobufCMessage *message,
			const char *const *mapped);

/* json_of_message() into @object, nothing when nothing is left. @message may be NULL. */
void json_put_message(struct json_builder *b, json_t *object, const char *key,
		      const ProtobufCMessage *message, const char *const *mapped);
