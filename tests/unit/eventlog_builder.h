/* SPDX-License-Identifier: Apache-2.0 */
/* Event logs to order. Include after cmocka.h. */
#pragma once

#include <endian.h>
#include <string.h>

#include "attest/eventlog.h"
#include "attest/hash.h"

#define STRANGE_ALG 0x7fff /* in no registry */
#define STRANGE_SIZE 24

struct builder {
	uint8_t data[65536];
	size_t len;
	size_t last; /* where the last event begins */
};

static inline void put(struct builder *b, const void *data, size_t len)
{
	assert_true(b->len + len <= sizeof(b->data));
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

static inline void put_u32(struct builder *b, uint32_t value)
{
	value = htole32(value);
	put(b, &value, 4);
}

static inline void put_u16(struct builder *b, uint16_t value)
{
	value = htole16(value);
	put(b, &value, 2);
}

/* The header: SHA-1, SHA-256 and an algorithm that nobody knows */
static inline void put_header(struct builder *b)
{
	static const uint8_t zeros[20];

	b->last = b->len;
	put_u32(b, 0);
	put_u32(b, EV_NO_ACTION);
	put(b, zeros, 20);
	put_u32(b, 16 + 12 + 3 * 4 + 1 + 2);
	put(b, "Spec ID Event03", 16);
	put_u32(b, 0);
	put(b, "\0\2\0\2", 4);
	put_u32(b, 3);
	put_u16(b, TPM2_SHA1);
	put_u16(b, 20);
	put_u16(b, TPM2_SHA256);
	put_u16(b, 32);
	put_u16(b, STRANGE_ALG);
	put_u16(b, STRANGE_SIZE);
	put(b, "\2hi", 3);
}

/* An event whose digest is that of @measured, and whose data are @data */
static inline void put_event(struct builder *b, uint32_t pcr, uint32_t type, const void *measured,
			     size_t measured_len, const void *data, size_t len)
{
	static const uint8_t strange[STRANGE_SIZE] = {1};
	uint8_t digest[TPM2_DIGEST_MAX];

	b->last = b->len;
	put_u32(b, pcr);
	put_u32(b, type);
	put_u32(b, 3);
	put_u16(b, TPM2_SHA1);
	assert_int_equal(hash_of(TPM2_SHA1, measured, measured_len, digest), 0);
	put(b, digest, 20);
	put_u16(b, STRANGE_ALG); /* in another order than the header's */
	put(b, strange, sizeof(strange));
	put_u16(b, TPM2_SHA256);
	assert_int_equal(hash_of(TPM2_SHA256, measured, measured_len, digest), 0);
	put(b, digest, 32);
	put_u32(b, len);
	put(b, data, len);
}

static inline void put_data(struct builder *b, uint32_t pcr, uint32_t type, const void *data,
			    size_t len)
{
	put_event(b, pcr, type, data, len, data, len);
}

static inline void put_text(struct builder *b, uint32_t pcr, uint32_t type, const char *text)
{
	put_data(b, pcr, type, text, strlen(text));
}

static inline void put_separator(struct builder *b, uint32_t pcr)
{
	put_data(b, pcr, EV_SEPARATOR, "\0\0\0", 4);
}

/* UEFI_VARIABLE_DATA of a global variable, returned in @ret */
static inline size_t variable(const char *name, const void *content, size_t len, uint8_t *ret)
{
	static const uint8_t guid[16] = {0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11,
					 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c};
	const uint64_t sizes[2] = {htole64(strlen(name)), htole64(len)};
	size_t at = 32;

	memcpy(ret, guid, 16);
	memcpy(ret + 16, sizes, 16);
	for (; *name; name++) {
		ret[at++] = *name;
		ret[at++] = 0;
	}
	memcpy(ret + at, content, len);
	return at + len;
}

static inline void put_variable(struct builder *b, uint32_t pcr, uint32_t type, const char *name,
				const void *content, size_t len)
{
	uint8_t data[512];
	size_t n = variable(name, content, len, data);

	put_data(b, pcr, type, data, n);
}

static inline struct eventlog *parsed(const struct builder *b)
{
	struct eventlog *l = NULL;

	assert_int_equal(eventlog_parse(b->data, b->len, &l), 0);
	return l;
}
