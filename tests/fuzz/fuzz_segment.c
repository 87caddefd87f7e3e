/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment of any bytes: every frame that comes out lies within the file, numbered in order, and
 * reading ends.
 */
#include "record/segment.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "record/frame.h"

static void check(int condition)
{
	if (!condition)
		abort();
}

/* Each byte once, so that a sanitizer sees a payload that is not there. */
static void read_all(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len);

	check(copy != NULL);
	memcpy(copy, data, len);
	free(copy);
}

/* Whatever decodes, encodes to the same bytes. */
static void frame_of(const uint8_t *data, size_t len)
{
	struct segment_frame frame;
	uint8_t *again;
	size_t size;
	int err = frame_decode(data, len, &frame, &size);

	if (err != 1 && err != -ENODATA)
		return;
	check(size <= len && size == frame_size(frame.len));
	again = malloc(size);
	frame_encode(&frame, again);
	check(!memcmp(again, data, size));
	free(again);
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);

static void put_crc(uint8_t *at, const uint8_t *data, size_t len)
{
	uint32_t crc = htole32(crc32(0, data, len));

	memcpy(at, &crc, sizeof(crc));
}

/* Checksums are put right most of the time: no mutation would ever come past them. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	uint32_t length;

	size = LLVMFuzzerMutate(data, size, max);
	if (seed % 8 == 0 || size < SEGMENT_HEADER_SIZE)
		return size;
	put_crc(data + SEGMENT_HEADER_SIZE - 4, data, SEGMENT_HEADER_SIZE - 4);
	for (size_t at = SEGMENT_HEADER_SIZE; size - at >= SEGMENT_FRAME_HEADER_SIZE;
	     at += frame_size(length)) {
		memcpy(&length, data + at, sizeof(length));
		length = le32toh(length);
		if (length > SEGMENT_PAYLOAD_MAX || frame_size(length) > size - at)
			break;
		put_crc(data + at + 4, data + at + 8, SEGMENT_FRAME_HEADER_SIZE - 8 + length);
	}
	return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static int fd = -1;
	struct segment_reader *r;
	struct segment_frame frame;
	uint64_t skipped, offset = 0;
	int err;

	frame_of(data, len);
	if (fd < 0)
		fd = memfd_create("segment", MFD_CLOEXEC);
	if (ftruncate(fd, 0) || pwrite(fd, data, len, 0) != (ssize_t)len)
		return 0;
	if (segment_reader_new(dup(fd), &r))
		return 0;
	for (;;) {
		uint64_t sequence = segment_reader_sequence(r);

		err = segment_reader_next(r, &frame);
		if (err == 1) {
			check(frame.sequence == sequence && frame.len &&
			      frame.len <= SEGMENT_PAYLOAD_MAX);
			read_all(frame.payload, frame.len);
		} else if (err == -ENODATA || segment_reader_skip(r, &skipped)) {
			break;
		} else {
			check(skipped && skipped % 8 == 0);
		}
		check(segment_reader_offset(r) > offset && segment_reader_offset(r) <= len);
		offset = segment_reader_offset(r);
	}
	segment_reader_free(r);
	return 0;
}
