/* SPDX-License-Identifier: Apache-2.0 */
/* reader: a cursor over bytes that somebody else chose. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct reader {
	const uint8_t *at;
	size_t left;
};

/* @data is borrowed for as long as the reader and the windows taken from it are used. */
struct reader reader_of(const void *data, size_t len);

/*
 * All getters: 0, or -EBADMSG when fewer bytes are left than asked for; then neither the reader nor
 * *ret changes.
 */
int reader_u8(struct reader *r, uint8_t *ret);
int reader_u16be(struct reader *r, uint16_t *ret);
int reader_u32be(struct reader *r, uint32_t *ret);
int reader_u64be(struct reader *r, uint64_t *ret);
int reader_u16le(struct reader *r, uint16_t *ret);
int reader_u32le(struct reader *r, uint32_t *ret);
int reader_u64le(struct reader *r, uint64_t *ret);

/* A base-128 varint (protobuf). Also -EBADMSG for one that does not fit 64 bits. */
int reader_varint(struct reader *r, uint64_t *ret);

/* A window of @len bytes, borrowed from the reader's own buffer. */
int reader_bytes(struct reader *r, size_t len, struct reader *ret);

/* Copies @len bytes to @ret. */
int reader_copy(struct reader *r, size_t len, void *ret);

/* -EBADMSG unless every byte was consumed: a signed structure has no tail. */
int reader_end(const struct reader *r);
