/* SPDX-License-Identifier: Apache-2.0 */
#include "record/codec.h"

#include <errno.h>
#include <string.h>

#include "base/reader.h"
#include "record/segment.h"

#define FIELD_FIRST_BODY 20
#define FIELD_LAST_BODY 39 /* not all are given: a later version's */

void record_free(Affiant__V1__Record *r)
{
	affiant__v1__record__free_unpacked(r, NULL);
}

static bool bytes_equal(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b)
{
	return a->len == b->len && (!a->len || !memcmp(a->data, b->data, a->len));
}

bool endpoint_equal(const Affiant__V1__Endpoint *a, const Affiant__V1__Endpoint *b)
{
	return bytes_equal(&a->address, &b->address) && a->port == b->port &&
	       a->scope_id == b->scope_id && bytes_equal(&a->path, &b->path) &&
	       bytes_equal(&a->resolved, &b->resolved);
}

/* Bytes fields whose length says something; @other 0: no other length. */
static const struct length {
	const ProtobufCMessageDescriptor *message;
	const char *field;
	size_t len, other;
} lengths[] = {
	{&affiant__v1__record__descriptor, "id", 16},
	{&affiant__v1__record__descriptor, "boot_id", 16},
	{&affiant__v1__record__descriptor, "host", 16},
	{&affiant__v1__session__descriptor, "id", 16},
	{&affiant__v1__opener__descriptor, "session", 16},
	{&affiant__v1__digest__descriptor, "sha256", 32},
	{&affiant__v1__digest__descriptor, "unproven_sha256", 32},
	{&affiant__v1__endpoint__descriptor, "address", 4, 16},
	{&affiant__v1__manifest__descriptor, "root", 32},
	{&affiant__v1__manifest_path__descriptor, "root", 32},
	{&affiant__v1__manifest_file__descriptor, "sha256", 32},
	{&affiant__v1__daemon_started__descriptor, "bpf_sha256", 32},
	{&affiant__v1__daemon_started__descriptor, "config_sha256", 32},
	{&affiant__v1__daemon_started__descriptor, "epoch", 16},
};

static int check_length(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *field,
			const ProtobufCBinaryData *bytes)
{
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		const struct length *l = &lengths[i];

		if (l->message == m->descriptor && !strcmp(l->field, field->name))
			return bytes->len == l->len || (l->other && bytes->len == l->other)
				       ? 0
				       : -EBADMSG;
	}
	return 0;
}

static int message_check(const ProtobufCMessage *m);

static int check_value(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *field,
		       const void *value)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_ENUM:
		return protobuf_c_enum_descriptor_get_value(field->descriptor, *(const int *)value)
			       ? 0
			       : -EBADMSG;
	case PROTOBUF_C_TYPE_BYTES:
		return check_length(m, field, value);
	case PROTOBUF_C_TYPE_UINT32:
		return *(const uint32_t *)value <= UINT16_MAX || strcmp(field->name, "port")
			       ? 0
			       : -EBADMSG;
	case PROTOBUF_C_TYPE_MESSAGE:
		return message_check(*(ProtobufCMessage *const *)value);
	default:
		return 0;
	}
}

static size_t element_size(const ProtobufCFieldDescriptor *field)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_ENUM:
		return sizeof(int);
	case PROTOBUF_C_TYPE_UINT32:
		return sizeof(uint32_t);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		/* strings and messages: no other repeated field is in the schema */
		return sizeof(void *);
	}
}

/* Messages are not recursive: the depth is that of the schema. */
static int message_check(const ProtobufCMessage *m)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;
	int err = 0;

	for (unsigned int i = 0; i < d->n_fields && !err; i++) {
		const ProtobufCFieldDescriptor *field = &d->fields[i];
		const uint8_t *member = (const uint8_t *)m + field->offset;
		const void *quantifier = (const uint8_t *)m + field->quantifier_offset;
		bool by_pointer = field->type == PROTOBUF_C_TYPE_MESSAGE ||
				  field->type == PROTOBUF_C_TYPE_STRING;

		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			const uint8_t *array = *(uint8_t *const *)member;

			for (size_t n = 0; n < *(const size_t *)quantifier && !err; n++)
				err = check_value(m, field, array + n * element_size(field));
		} else if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
			if (*(const uint32_t *)quantifier == field->id)
				err = check_value(m, field, member);
		} else if (by_pointer ? *(void *const *)member != NULL
				      : *(const protobuf_c_boolean *)quantifier) {
			err = check_value(m, field, member);
		}
	}
	return err;
}

static int skip_field(struct reader *r, unsigned int wire_type)
{
	struct reader window;
	uint64_t value;
	int err;

	switch (wire_type) {
	case 0:
		return reader_varint(r, &value);
	case 1:
		return reader_bytes(r, 8, &window);
	case 2:
		err = reader_varint(r, &value);
		return err ?: reader_bytes(r, value, &window);
	case 5:
		return reader_bytes(r, 4, &window);
	default:
		return -EBADMSG; /* groups: proto2 has them, this schema does not */
	}
}

static bool is_later(uint64_t number)
{
	return number > FIELD_LAST_BODY ||
	       (number >= FIELD_FIRST_BODY &&
		!protobuf_c_message_descriptor_get_field(&affiant__v1__record__descriptor, number));
}

/*
 * No field of a Record is repeated. protobuf-c would take the last body of several, and merge two
 * processes into one that never was.
 */
static int check_fields(const void *data, size_t len)
{
	struct reader r = reader_of(data, len);
	bool later = false;
	uint64_t seen = 0;
	int bodies = 0;

	while (r.left) {
		uint64_t tag, number;
		int err = reader_varint(&r, &tag) ?: skip_field(&r, tag & 7);

		if (err)
			return err;
		number = tag >> 3;
		if (is_later(number)) {
			later = true;
			continue;
		}
		if (!number || seen & UINT64_C(1) << number)
			return -EBADMSG;
		seen |= UINT64_C(1) << number;
		bodies += number >= FIELD_FIRST_BODY;
	}
	if (bodies == 1)
		return 0;
	return !bodies && later ? -ENOTSUP : -EBADMSG;
}

int record_unpack(const void *data, size_t len, Affiant__V1__Record **ret)
{
	_cleanup_(record_freep) Affiant__V1__Record *r = NULL;
	int err;

	if (len > SEGMENT_PAYLOAD_MAX)
		return -EBADMSG;
	err = check_fields(data, len);
	if (err)
		return err;
	r = affiant__v1__record__unpack(NULL, len, data);
	if (!r)
		return -EBADMSG;
	if (!r->has_id || !r->has_sequence)
		return -EBADMSG;
	err = message_check(&r->base);
	if (err)
		return err;
	*ret = TAKE_PTR(r);
	return 0;
}
