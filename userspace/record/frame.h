/* SPDX-License-Identifier: Apache-2.0 */
/* frame: the bytes of a segment, as record/segment.h specifies them. No files here. */
#pragma once

#include "record/segment.h"

#define SEGMENT_FRAME_MAX (SEGMENT_FRAME_HEADER_SIZE + SEGMENT_PAYLOAD_MAX + 1)
#define SEGMENT_NAME_SIZE 32

struct segment_header {
	uint64_t index;
	uint64_t first_sequence;
	uint64_t wall_ns;
	uint8_t boot_id[16];
};

void segment_header_encode(const struct segment_header *h, uint8_t ret[static SEGMENT_HEADER_SIZE]);
/* -EBADMSG: not a header of version 1, or damaged. */
int segment_header_decode(const void *data, size_t len, struct segment_header *ret);

/* Bytes of a frame with a payload of @len bytes, padding included. */
size_t frame_size(size_t len);

/*
 * @ret has room for frame_size(frame->len) bytes. A payload of length 0 makes the frame that seals.
 */
void frame_encode(const struct segment_frame *frame, uint8_t *ret);

/*
 * The frame at the start of @data. 1: *@ret borrows from @data, *@ret_size bytes are consumed. 0:
 * more bytes than @len are needed. -ENODATA: the frame that seals, *@ret is set too. -EBADMSG: no
 * intact frame.
 */
int frame_decode(const uint8_t *data, size_t len, struct segment_frame *ret, size_t *ret_size);

/* The number that the frame header at @data claims, unchecked. */
uint64_t frame_sequence(const uint8_t data[static SEGMENT_FRAME_HEADER_SIZE]);

/* "0000000000000001.seg", and back: -EINVAL for any other name. */
void segment_name_format(uint64_t index, const char *suffix, char ret[static SEGMENT_NAME_SIZE]);
int segment_name_parse(const char *name, uint64_t *ret);
