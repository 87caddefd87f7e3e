/* SPDX-License-Identifier: Apache-2.0 */
#include "record/frame.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/reader.h"

static const char magic[8] = {'A', 'F', 'F', 'I', 'A', 'N', 'T', '1'};

#define VERSION 1
#define CRC_FROM 8 /* a frame's CRC covers what follows it; the length it covers by its extent */

static uint8_t *put32(uint8_t *at, uint32_t value)
{
	value = htole32(value);
	return mempcpy(at, &value, sizeof(value));
}

static uint8_t *put64(uint8_t *at, uint64_t value)
{
	value = htole64(value);
	return mempcpy(at, &value, sizeof(value));
}

static uint32_t crc_of(const uint8_t *data, size_t len)
{
	return crc32(0, data, len);
}

void segment_header_encode(const struct segment_header *h, uint8_t ret[static SEGMENT_HEADER_SIZE])
{
	uint8_t *at = mempcpy(ret, magic, sizeof(magic));

	at = put32(at, VERSION);
	at = put32(at, SEGMENT_HEADER_SIZE);
	at = put64(at, h->index);
	at = put64(at, h->first_sequence);
	at = mempcpy(at, h->boot_id, sizeof(h->boot_id));
	at = put64(at, h->wall_ns);
	at = put32(at, 0);
	put32(at, crc_of(ret, SEGMENT_HEADER_SIZE - 4));
}

int segment_header_decode(const void *data, size_t len, struct segment_header *ret)
{
	struct reader r = reader_of(data, len);
	struct segment_header h;
	uint32_t version, size, zero, crc;
	char found[sizeof(magic)];
	int err;

	err = reader_copy(&r, sizeof(found), found) ?:
	      reader_u32le(&r, &version) ?:
	      reader_u32le(&r, &size) ?:
	      reader_u64le(&r, &h.index) ?:
	      reader_u64le(&r, &h.first_sequence) ?:
	      reader_copy(&r, sizeof(h.boot_id), h.boot_id) ?:
	      reader_u64le(&r, &h.wall_ns) ?:
	      reader_u32le(&r, &zero) ?:
	      reader_u32le(&r, &crc);
	if (err)
		return err;
	if (memcmp(found, magic, sizeof(magic)) || version != VERSION || zero ||
	    size != SEGMENT_HEADER_SIZE || crc != crc_of(data, SEGMENT_HEADER_SIZE - 4))
		return -EBADMSG;
	*ret = h;
	return 0;
}

size_t frame_size(size_t len)
{
	return SEGMENT_FRAME_HEADER_SIZE + ((len + 7) & ~(size_t)7);
}

void frame_encode(const struct segment_frame *frame, uint8_t *ret)
{
	size_t padding = frame_size(frame->len) - SEGMENT_FRAME_HEADER_SIZE - frame->len;
	uint8_t *at = put32(ret, frame->len) + 4;

	at = put64(at, frame->sequence);
	at = put64(at, frame->source);
	at = put32(at, frame->part);
	at = put32(at, 0);
	if (frame->len)
		at = mempcpy(at, frame->payload, frame->len);
	memset(at, 0, padding);
	put32(ret + 4, crc_of(ret + CRC_FROM, at - ret - CRC_FROM));
}

int frame_decode(const uint8_t *data, size_t len, struct segment_frame *ret, size_t *ret_size)
{
	struct reader r = reader_of(data, len), payload;
	uint32_t length, crc, flags;
	struct segment_frame f;
	size_t size;
	int err;

	err = reader_u32le(&r, &length) ?:
	      reader_u32le(&r, &crc) ?:
	      reader_u64le(&r, &f.sequence) ?:
	      reader_u64le(&r, &f.source) ?:
	      reader_u32le(&r, &f.part) ?:
	      reader_u32le(&r, &flags);
	if (err)
		return 0;
	if (length > SEGMENT_PAYLOAD_MAX || flags)
		return -EBADMSG;
	size = frame_size(length);
	if (len < size || reader_bytes(&r, length, &payload))
		return 0;
	if (crc != crc_of(data + CRC_FROM, SEGMENT_FRAME_HEADER_SIZE - CRC_FROM + length))
		return -EBADMSG;
	for (size_t i = SEGMENT_FRAME_HEADER_SIZE + length; i < size; i++)
		if (data[i])
			return -EBADMSG;

	f.payload = payload.at;
	f.len = length;
	*ret = f;
	*ret_size = size;
	return length ? 1 : -ENODATA;
}

uint64_t frame_sequence(const uint8_t data[static SEGMENT_FRAME_HEADER_SIZE])
{
	uint64_t raw;

	memcpy(&raw, data + CRC_FROM, sizeof(raw));
	return le64toh(raw);
}

void segment_name_format(uint64_t index, const char *suffix, char ret[static SEGMENT_NAME_SIZE])
{
	snprintf(ret, SEGMENT_NAME_SIZE, "%016" PRIx64 ".%s", index, suffix);
}

int segment_name_parse(const char *name, uint64_t *ret)
{
	uint64_t index = 0;

	if (strlen(name) != 20 || strcmp(name + 16, ".seg") != 0 ||
	    strspn(name, "0123456789abcdef") != 16)
		return -EINVAL;
	for (int i = 0; i < 16; i++)
		index = index << 4 |
			(uint64_t)(name[i] <= '9' ? name[i] - '0' : name[i] - 'a' + 10);
	*ret = index;
	return 0;
}
