/* SPDX-License-Identifier: Apache-2.0 */
/* codec: the bytes of a Record (proto/affiant/v1/record.proto). The stored bytes are the record. */
#pragma once

#include <affiant/v1/record.pb-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

/*
 * Packs @r into @buffer, and @more behind it: bytes of fields that @r leaves out, packed before by record_pack_part().
 * Protobuf fields come in any order, so argv and digests are serialised once an exec, not once a record.
 * -EMSGSIZE when they don't fit.
 */
int record_pack(const Affiant__V1__Record *r, const void *more, size_t more_len, uint8_t *buffer,
		size_t size, size_t *ret_len);

/* Packs a Record that has some fields only, e.g. 'process': *@ret is the caller's to free. */
int record_pack_part(const Affiant__V1__Record *part, uint8_t **ret, size_t *ret_len);

/*
 * Unpacks and checks: exactly one body, no field twice, ids and digests of the right length, enums in range,
 * ports within 16 bits. -EBADMSG otherwise, -ENOTSUP when the body is of a later version.
 * *@ret: record_free().
 */
int record_unpack(const void *data, size_t len, Affiant__V1__Record **ret);
void record_free(Affiant__V1__Record *r);
DEFINE_CLEANUP(Affiant__V1__Record *, record_free)

/* The same address, port, scope and path; neither may be NULL. */
bool endpoint_equal(const Affiant__V1__Endpoint *a, const Affiant__V1__Endpoint *b);

/*
 * What record_unpack() checks of any message, for the messages of the local API: -EBADMSG when an enum, an id, a
 * digest or a port is out of range, anywhere in it.
 */
int message_check(const ProtobufCMessage *message);
