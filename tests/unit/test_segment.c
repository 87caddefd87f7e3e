/* SPDX-License-Identifier: Apache-2.0 */
#include "record/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "record/frame.h"

#define FRAMES 5
#define FIRST 100

static uint8_t image[4096];
static size_t image_size, frame_end[FRAMES];

/* A payload whose length and bytes follow from its number. */
static size_t payload_of(uint64_t sequence, uint8_t ret[static 64])
{
	size_t len = 1 + sequence * 7 % 41;

	for (size_t i = 0; i < len; i++)
		ret[i] = sequence * 31 + i;
	return len;
}

static void make_image(bool sealed)
{
	struct segment_header header = {.index = 7, .first_sequence = FIRST, .wall_ns = 42};
	struct segment_frame frame = {};
	uint8_t payload[64];

	memset(header.boot_id, 0xb0, sizeof(header.boot_id));
	segment_header_encode(&header, image);
	image_size = SEGMENT_HEADER_SIZE;
	for (int i = 0; i < FRAMES; i++) {
		frame.sequence = FIRST + i;
		frame.source = i == 2 ? SEGMENT_NO_SOURCE : ((uint64_t)3 << 48 | i);
		frame.part = i;
		frame.payload = payload;
		frame.len = payload_of(frame.sequence, payload);
		frame_encode(&frame, image + image_size);
		image_size += frame_size(frame.len);
		frame_end[i] = image_size;
	}
	if (sealed) {
		frame = (struct segment_frame){.sequence = FIRST + FRAMES,
					       .source = SEGMENT_NO_SOURCE};
		frame_encode(&frame, image + image_size);
		image_size += frame_size(0);
	}
}

static int memfd_of(const void *data, size_t len)
{
	int fd = memfd_create("segment", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, len, 0), len);
	return fd;
}

static void expect_frame(struct segment_reader *r, int i)
{
	struct segment_frame frame;
	uint8_t payload[64];
	size_t len = payload_of(FIRST + i, payload);

	memset(&frame, 0xa5, sizeof(frame));
	assert_int_equal(segment_reader_next(r, &frame), 1);
	assert_int_equal(frame.sequence, FIRST + i);
	assert_true(frame.source ==
		    (i == 2 ? SEGMENT_NO_SOURCE : ((uint64_t)3 << 48 | (uint64_t)i)));
	assert_int_equal(frame.part, i);
	assert_int_equal(frame.len, len);
	assert_memory_equal(frame.payload, payload, len);
}

static void reads_what_was_framed(void **state)
{
	struct segment_frame frame;
	struct segment_reader *r;

	(void)state;
	for (int sealed = 0; sealed < 2; sealed++) {
		make_image(sealed);
		assert_int_equal(segment_reader_new(memfd_of(image, image_size), &r), 0);
		assert_int_equal(segment_reader_index(r), 7);
		for (int i = 0; i < FRAMES; i++)
			expect_frame(r, i);
		assert_int_equal(segment_reader_next(r, &frame), sealed ? -ENODATA : 0);
		assert_int_equal(segment_reader_next(r, &frame), sealed ? -ENODATA : 0);
		assert_int_equal(segment_reader_offset(r), frame_end[FRAMES - 1]);
		segment_reader_free(r);
	}
}

/*
 * The layout is a contract: these bytes were computed by another program (Python's struct and
 * zlib).
 */
static void bytes_are_as_specified(void **state)
{
	static const uint8_t header[SEGMENT_HEADER_SIZE] = {
		'A',  'F',  'F',  'I',  'A',  'N',  'T',  '1',  1,    0,    0,    0,    64,
		0,    0,    0,    7,    0,    0,    0,    0,    0,    0,    0,    100,  0,
		0,    0,    0,    0,    0,    0,    0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0,
		0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 42,   0,    0,    0,
		0,    0,    0,    0,    0,    0,    0,    0,    0x0e, 0x92, 0xbb, 0x04};
	static const uint8_t expected[] = {3, 0, 0, 0, 0xed, 0x5a, 0x8f, 0x8a, 100, 0, 0, 0, 0, 0,
					   0, 0, 5, 0, 0,    0,    0,    0,    2,   0, 9, 0, 0, 0,
					   0, 0, 0, 0, 'a',  'b',  'c',  0,    0,   0, 0, 0};
	struct segment_frame frame = {
		.sequence = 100,
		.source = (uint64_t)2 << 48 | 5,
		.part = 9,
		.payload = (const uint8_t *)"abc",
		.len = 3,
	};
	uint8_t out[sizeof(expected)];

	(void)state;
	make_image(false);
	assert_memory_equal(image, header, sizeof(header));
	assert_int_equal(frame_size(3), sizeof(expected));
	frame_encode(&frame, out);
	assert_memory_equal(out, expected, sizeof(expected));
}

/*
 * Each prefix of the file is either no segment at all, or its whole frames and then "no more for
 * now".
 */
static void every_truncated_length(void **state)
{
	(void)state;
	make_image(true);
	for (size_t len = 0; len < image_size; len++) {
		struct segment_reader *r = NULL;
		struct segment_frame frame;
		int i = 0;

		int err = segment_reader_new(memfd_of(image, len), &r);

		if (len < SEGMENT_HEADER_SIZE) {
			assert_int_equal(err, -EBADMSG);
			assert_null(r);
			continue;
		}
		assert_int_equal(err, 0);
		for (; i < FRAMES && frame_end[i] <= len; i++)
			expect_frame(r, i);
		assert_int_equal(segment_reader_next(r, &frame), 0);
		segment_reader_free(r);
	}
}

/* A flipped bit shows at the frame that it is in, wherever it is: header, payload or padding. */
static void every_flipped_bit(void **state)
{
	(void)state;
	make_image(true);
	for (size_t bit = 0; bit < image_size * 8; bit++) {
		struct segment_reader *r = NULL;
		struct segment_frame frame;
		int err, i = 0;

		image[bit / 8] ^= 1 << bit % 8;
		err = segment_reader_new(memfd_of(image, image_size), &r);
		if (bit / 8 < SEGMENT_HEADER_SIZE) {
			assert_int_equal(err, -EBADMSG);
		} else {
			assert_int_equal(err, 0);
			for (; i < FRAMES && frame_end[i] <= bit / 8; i++)
				expect_frame(r, i);
			/* 0: the length grew beyond the file's end, which is like a torn tail. */
			err = segment_reader_next(r, &frame);
			assert_true(err == -EBADMSG || err == 0);
			assert_int_equal(segment_reader_offset(r),
					 i ? frame_end[i - 1] : SEGMENT_HEADER_SIZE);
			segment_reader_free(r);
		}
		image[bit / 8] ^= 1 << bit % 8;
	}
}

static void skips_damage_in_the_middle(void **state)
{
	struct segment_frame frame;
	struct segment_reader *r;
	uint64_t skipped = 0xa5;

	(void)state;
	make_image(true);
	memset(image + frame_end[0] + 4, 0xff, frame_end[2] - frame_end[0] - 8);
	assert_int_equal(segment_reader_new(memfd_of(image, image_size), &r), 0);
	expect_frame(r, 0);
	assert_int_equal(segment_reader_next(r, &frame), -EBADMSG);
	assert_int_equal(segment_reader_sequence(r), FIRST + 1);
	assert_int_equal(segment_reader_skip(r, &skipped), 0);
	assert_int_equal(skipped, frame_end[2] - frame_end[0]);
	assert_int_equal(segment_reader_sequence(r), FIRST + 3);
	expect_frame(r, 3);
	expect_frame(r, 4);
	assert_int_equal(segment_reader_next(r, &frame), -ENODATA);
	segment_reader_free(r);
}

static void skip_finds_nothing_behind_a_torn_tail(void **state)
{
	struct segment_frame frame;
	struct segment_reader *r;
	uint64_t skipped = 0xa5;

	(void)state;
	make_image(false);
	assert_int_equal(segment_reader_new(memfd_of(image, image_size - 9), &r), 0);
	for (int i = 0; i < FRAMES - 1; i++)
		expect_frame(r, i);
	assert_int_equal(segment_reader_next(r, &frame), 0);
	assert_int_equal(segment_reader_skip(r, &skipped), -ENOENT);
	assert_int_equal(skipped, 0xa5);
	assert_int_equal(segment_reader_offset(r), frame_end[FRAMES - 2]);
	segment_reader_free(r);
}

/*
 * An agent can put the image of a frame into its argv: neither its number nor what follows it fit.
 */
static void skip_is_not_fooled_by_a_payload(void **state)
{
	static uint8_t file[8192];
	struct segment_header header = {.index = 1, .first_sequence = 1};
	struct segment_frame forged = {.source = 1, .payload = (const uint8_t *)"forged", .len = 6};
	uint8_t payload[1024] = {};
	uint64_t skipped = 0xa5;
	struct segment_frame outer = {.sequence = 1, .payload = payload, .len = sizeof(payload)},
			     frame;
	struct segment_reader *r;
	size_t size = SEGMENT_HEADER_SIZE;

	(void)state;
	segment_header_encode(&header, file);
	/* One alone with a number that fits, and two in a row with numbers that don't. */
	for (size_t i = 0; i + 5 * frame_size(6) <= sizeof(payload); i += 5 * frame_size(6)) {
		forged.sequence = 2;
		frame_encode(&forged, payload + i);
		memset(payload + i + frame_size(6), 0xee, 8);
		for (int n = 2; n < 4; n++) {
			forged.sequence = 1000000 + n;
			frame_encode(&forged, payload + i + n * frame_size(6));
		}
	}
	frame_encode(&outer, file + size);
	file[size + 40] ^= 1;
	size += frame_size(outer.len);
	outer = (struct segment_frame){.sequence = 2, .payload = (const uint8_t *)"true", .len = 4};
	frame_encode(&outer, file + size);
	size += frame_size(outer.len);

	assert_int_equal(segment_reader_new(memfd_of(file, size), &r), 0);
	assert_int_equal(segment_reader_next(r, &frame), -EBADMSG);
	assert_int_equal(segment_reader_skip(r, &skipped), 0);
	assert_int_equal(segment_reader_next(r, &frame), 1);
	assert_memory_equal(frame.payload, "true", 4);
	segment_reader_free(r);
}

/* A reader that saw half a frame reads it anew: the writer may have cut it and written another. */
static void follows_a_growing_file(void **state)
{
	struct segment_frame frame;
	struct segment_reader *r;
	uint8_t other[256], payload[200] = {};
	const size_t half = 100;
	int fd, i = 0;

	(void)state;
	make_image(true);
	fd = memfd_of(image, SEGMENT_HEADER_SIZE);
	assert_int_equal(segment_reader_new(dup(fd), &r), 0);
	for (size_t len = SEGMENT_HEADER_SIZE; len < image_size; len++) {
		assert_int_equal(pwrite(fd, image + len, 1, len), 1);
		if (i < FRAMES && frame_end[i] == len + 1)
			expect_frame(r, i++);
		else if (len + 1 < image_size)
			assert_int_equal(segment_reader_next(r, &frame), 0);
	}
	assert_int_equal(i, FRAMES);
	assert_int_equal(segment_reader_next(r, &frame), -ENODATA);
	segment_reader_free(r);
	close(fd);

	fd = memfd_of(image, frame_end[0]);
	frame = (struct segment_frame){
		.sequence = FIRST + 1, .payload = payload, .len = sizeof(payload)};
	frame_encode(&frame, other);
	assert_int_equal(pwrite(fd, other, half, frame_end[0]), half);
	assert_int_equal(segment_reader_new(dup(fd), &r), 0);
	expect_frame(r, 0);
	assert_int_equal(segment_reader_next(r, &frame), 0);
	assert_int_equal(ftruncate(fd, frame_end[0]), 0);
	assert_int_equal(pwrite(fd, image + frame_end[0], image_size - frame_end[0], frame_end[0]),
			 image_size - frame_end[0]);
	expect_frame(r, 1);
	segment_reader_free(r);
	close(fd);
}

static void numbers_must_follow_each_other(void **state)
{
	struct segment_frame frame;
	struct segment_reader *r;
	size_t second;

	(void)state;
	make_image(false);
	second = frame_end[1] - frame_end[0];
	memmove(image + frame_end[1], image + frame_end[0], second); /* twice the same */
	assert_int_equal(segment_reader_new(memfd_of(image, frame_end[1] + second), &r), 0);
	expect_frame(r, 0);
	expect_frame(r, 1);
	assert_int_equal(segment_reader_next(r, &frame), -EBADMSG);
	segment_reader_free(r);
}

static void names(void **state)
{
	static const char *const bad[] = {"",
					  ".seg",
					  "1.seg",
					  "000000000000000G.seg",
					  "00000000000000aA.seg",
					  "0000000000000001.torn",
					  "0000000000000001.seg~",
					  "00000000000000001.seg",
					  "removed"};
	char name[SEGMENT_NAME_SIZE];
	uint64_t index = 5;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(segment_name_parse(bad[i], &index), -EINVAL);
	assert_int_equal(index, 5);
	segment_name_format(UINT64_C(0xfedcba9876543210), "seg", name);
	assert_string_equal(name, "fedcba9876543210.seg");
	assert_int_equal(segment_name_parse(name, &index), 0);
	assert_true(index == UINT64_C(0xfedcba9876543210));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_was_framed),
		cmocka_unit_test(bytes_are_as_specified),
		cmocka_unit_test(every_truncated_length),
		cmocka_unit_test(every_flipped_bit),
		cmocka_unit_test(skips_damage_in_the_middle),
		cmocka_unit_test(skip_finds_nothing_behind_a_torn_tail),
		cmocka_unit_test(skip_is_not_fooled_by_a_payload),
		cmocka_unit_test(follows_a_growing_file),
		cmocka_unit_test(numbers_must_follow_each_other),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
