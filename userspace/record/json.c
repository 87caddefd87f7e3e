/* SPDX-License-Identifier: Apache-2.0 */
#include "record/json.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/text.h"
#include "base/uuid.h"
#include "record/words.h"

void json_put(struct json_builder *b, json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new_nocheck(object, key, value))
		b->failed = true;
}

void json_add(struct json_builder *b, json_t *array, json_t *value)
{
	if (json_array_append_new(array, value))
		b->failed = true;
}

json_t *json_text(struct json_builder *b, const void *data, size_t len)
{
	buffer_clear(&b->scratch);
	if (text_utf8(&b->scratch, data, len, b->percent))
		b->escaped = true;
	if (buffer_error(&b->scratch))
		return NULL;
	return json_stringn_nocheck(b->scratch.data ?: "", b->scratch.len);
}

json_t *json_hex(const void *data, size_t len)
{
	char *text = malloc(2 * len + 1);
	json_t *value = NULL;

	if (text) {
		hex_encode(data, len, text);
		value = json_stringn_nocheck(text, 2 * len);
	}
	free(text);
	return value;
}

json_t *json_uuid(const void *bytes)
{
	char text[UUID_TEXT_SIZE];
	struct uuid id;

	memcpy(id.bytes, bytes, sizeof(id.bytes));
	uuid_format(&id, text);
	return json_string_nocheck(text);
}

json_t *json_decimal(uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	return json_string_nocheck(text);
}

static json_t *json_bits(uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, value);
	return json_string_nocheck(text);
}

static json_t *json_address(const ProtobufCBinaryData *bytes)
{
	char text[INET6_ADDRSTRLEN];

	if (bytes->len != 4 && bytes->len != 16)
		return json_hex(bytes->data, bytes->len);
	inet_ntop(bytes->len == 4 ? AF_INET : AF_INET6, bytes->data, text, sizeof(text));
	return json_string_nocheck(text);
}

/*
 * How a field looks whose type alone doesn't say it. Names mean the same in all messages of
 * record.proto.
 */
enum look { LOOK_DEFAULT, LOOK_UUID, LOOK_HEX, LOOK_ADDRESS, LOOK_DECIMAL, LOOK_BITS };

static const struct {
	const char *name;
	ProtobufCType type;
	enum look look;
} looks[] = {
	{"id", PROTOBUF_C_TYPE_BYTES, LOOK_UUID},
	{"boot_id", PROTOBUF_C_TYPE_BYTES, LOOK_UUID},
	{"session", PROTOBUF_C_TYPE_BYTES, LOOK_UUID},
	{"host", PROTOBUF_C_TYPE_BYTES, LOOK_HEX},
	{"sha256", PROTOBUF_C_TYPE_BYTES, LOOK_HEX},
	{"unproven_sha256", PROTOBUF_C_TYPE_BYTES, LOOK_HEX},
	{"verity", PROTOBUF_C_TYPE_BYTES, LOOK_HEX},
	{"build_id", PROTOBUF_C_TYPE_BYTES, LOOK_HEX},
	{"root", PROTOBUF_C_TYPE_BYTES, LOOK_HEX},
	{"bpf_sha256", PROTOBUF_C_TYPE_BYTES, LOOK_HEX},
	{"config_sha256", PROTOBUF_C_TYPE_BYTES, LOOK_HEX},
	{"epoch", PROTOBUF_C_TYPE_BYTES, LOOK_HEX},
	{"address", PROTOBUF_C_TYPE_BYTES, LOOK_ADDRESS},
	{"boottime_ns", PROTOBUF_C_TYPE_UINT64, LOOK_DECIMAL},
	{"start_boottime_ns", PROTOBUF_C_TYPE_UINT64, LOOK_DECIMAL},
	{"wall_ns", PROTOBUF_C_TYPE_UINT64, LOOK_DECIMAL},
	{"expires_wall_ns", PROTOBUF_C_TYPE_UINT64, LOOK_DECIMAL},
	{"cookie", PROTOBUF_C_TYPE_UINT64, LOOK_DECIMAL},
	{"number", PROTOBUF_C_TYPE_UINT64, LOOK_DECIMAL},
	{"inode", PROTOBUF_C_TYPE_UINT64, LOOK_DECIMAL},
	{"cgroup_id", PROTOBUF_C_TYPE_UINT64, LOOK_DECIMAL},
	{"cap_effective", PROTOBUF_C_TYPE_UINT64, LOOK_BITS},
	{"cap_permitted", PROTOBUF_C_TYPE_UINT64, LOOK_BITS},
};

static enum look look_of(const ProtobufCFieldDescriptor *field)
{
	for (size_t i = 0; i < sizeof(looks) / sizeof(*looks); i++)
		if (looks[i].type == field->type && !strcmp(looks[i].name, field->name))
			return looks[i].look;
	return LOOK_DEFAULT;
}

static json_t *of_bytes(struct json_builder *b, enum look look, const ProtobufCBinaryData *bytes)
{
	switch (look) {
	case LOOK_UUID:
		return bytes->len == UUID_SIZE ? json_uuid(bytes->data)
					       : json_hex(bytes->data, bytes->len);
	case LOOK_HEX:
		return json_hex(bytes->data, bytes->len);
	case LOOK_ADDRESS:
		return json_address(bytes);
	default:
		return json_text(b, bytes->data, bytes->len);
	}
}

static json_t *of_uint64(enum look look, uint64_t value)
{
	if (look == LOOK_BITS)
		return json_bits(value);
	if (look == LOOK_DECIMAL || value > INT64_MAX)
		return json_decimal(value);
	return json_integer(value);
}

static json_t *of_value(struct json_builder *b, const ProtobufCFieldDescriptor *field,
			const void *value)
{
	const char *text;

	switch (field->type) {
	case PROTOBUF_C_TYPE_BYTES:
		return of_bytes(b, look_of(field), value);
	case PROTOBUF_C_TYPE_STRING:
		text = *(char *const *)value;
		return json_text(b, text, strlen(text));
	case PROTOBUF_C_TYPE_MESSAGE:
		return json_of_message(b, *(ProtobufCMessage *const *)value, NULL) ?: json_object();
	case PROTOBUF_C_TYPE_ENUM:
		return json_string_nocheck(word_of(field->descriptor, *(const int *)value));
	case PROTOBUF_C_TYPE_BOOL:
		return json_boolean(*(const protobuf_c_boolean *)value);
	case PROTOBUF_C_TYPE_UINT64:
		return of_uint64(look_of(field), *(const uint64_t *)value);
	case PROTOBUF_C_TYPE_INT32:
		return json_integer(*(const int32_t *)value);
	case PROTOBUF_C_TYPE_UINT32:
		return json_integer(*(const uint32_t *)value);
	default: /* no other type is in record.proto, which a test sees to */
		return NULL;
	}
}

static json_t *of_array(struct json_builder *b, const ProtobufCFieldDescriptor *field,
			const void *member, size_t count)
{
	size_t size =
		field->type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData) : sizeof(void *);
	const uint8_t *elements = *(uint8_t *const *)member;
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_add(b, array, of_value(b, field, elements + i * size));
	return array;
}

static bool is_among(const char *const *names, const char *name)
{
	for (; names && *names; names++)
		if (!strcmp(*names, name))
			return true;
	return false;
}

/* NULL: the field is absent. */
static json_t *of_field(struct json_builder *b, const ProtobufCMessage *m,
			const ProtobufCFieldDescriptor *field)
{
	const uint8_t *member = (const uint8_t *)m + field->offset;
	const void *quantifier = (const uint8_t *)m + field->quantifier_offset;
	bool present;
	json_t *value;

	if (field->label == PROTOBUF_C_LABEL_REPEATED) {
		size_t count = *(const size_t *)quantifier;

		value = count ? of_array(b, field, member, count) : NULL;
		present = count;
	} else {
		if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
			present = *(const uint32_t *)quantifier == field->id;
		else if (field->type == PROTOBUF_C_TYPE_MESSAGE ||
			 field->type == PROTOBUF_C_TYPE_STRING)
			present = *(void *const *)member != NULL;
		else
			present = *(const protobuf_c_boolean *)quantifier;
		value = present ? of_value(b, field, member) : NULL;
	}
	if (present && !value)
		b->failed = true;
	return value;
}

json_t *json_of_message(struct json_builder *b, const ProtobufCMessage *m,
			const char *const *mapped)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;
	json_t *object = NULL;

	for (unsigned int i = 0; i < d->n_fields; i++) {
		json_t *value;

		if (is_among(mapped, d->fields[i].name))
			continue;
		value = of_field(b, m, &d->fields[i]);
		if (!value)
			continue;
		if (!object)
			object = json_object();
		json_put(b, object, d->fields[i].name, value);
	}
	return object;
}

void json_put_message(struct json_builder *b, json_t *object, const char *key,
		      const ProtobufCMessage *message, const char *const *mapped)
{
	json_t *value = message ? json_of_message(b, message, mapped) : NULL;

	if (value)
		json_put(b, object, key, value);
}
