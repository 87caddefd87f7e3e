/* SPDX-License-Identifier: Apache-2.0 */
#include "base/reader.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static void reads_both_orders(void **state)
{
	struct reader r = reader_of(bytes, sizeof(bytes));
	uint64_t u64;
	uint32_t u32;
	uint16_t u16;
	uint8_t u8;

	(void)state;
	assert_int_equal(reader_u8(&r, &u8), 0);
	assert_int_equal(u8, 1);
	assert_int_equal(reader_u16be(&r, &u16), 0);
	assert_int_equal(u16, 0x0203);
	assert_int_equal(reader_u32be(&r, &u32), 0);
	assert_int_equal(u32, 0x04050607);
	assert_int_equal(reader_u64be(&r, &u64), 0);
	assert_true(u64 == UINT64_C(0x08090a0b0c0d0e0f));
	assert_int_equal(reader_end(&r), 0);

	r = reader_of(bytes + 1, sizeof(bytes) - 1);
	assert_int_equal(reader_u16le(&r, &u16), 0);
	assert_int_equal(u16, 0x0302);
	assert_int_equal(reader_u32le(&r, &u32), 0);
	assert_int_equal(u32, 0x07060504);
	assert_int_equal(reader_u64le(&r, &u64), 0);
	assert_true(u64 == UINT64_C(0x0f0e0d0c0b0a0908));
	assert_int_equal(reader_end(&r), 0);
}

#define REFUSES_SHORT(getter, type)                                                                \
	for (size_t len = 0; len < sizeof(type); len++) {                                          \
		struct reader r = reader_of(bytes, len);                                           \
		type value = (type)0xa5;                                                           \
                                                                                                   \
		assert_int_equal(getter(&r, &value), -EBADMSG);                                    \
		assert_true(value == (type)0xa5);                                                  \
		assert_ptr_equal(r.at, bytes);                                                     \
		assert_int_equal(r.left, len);                                                     \
	}

static void refuses_every_short_length(void **state)
{
	(void)state;
	REFUSES_SHORT(reader_u8, uint8_t)
	REFUSES_SHORT(reader_u16be, uint16_t)
	REFUSES_SHORT(reader_u16le, uint16_t)
	REFUSES_SHORT(reader_u32be, uint32_t)
	REFUSES_SHORT(reader_u32le, uint32_t)
	REFUSES_SHORT(reader_u64be, uint64_t)
	REFUSES_SHORT(reader_u64le, uint64_t)
}

static void windows_stay_inside(void **state)
{
	struct reader r = reader_of(bytes, sizeof(bytes)), window = {NULL, 77};
	uint8_t copy[4];

	(void)state;
	assert_int_equal(reader_bytes(&r, sizeof(bytes) + 1, &window), -EBADMSG);
	assert_int_equal(reader_bytes(&r, SIZE_MAX, &window), -EBADMSG);
	assert_int_equal(window.left, 77);
	assert_int_equal(reader_bytes(&r, 3, &window), 0);
	assert_ptr_equal(window.at, bytes);
	assert_int_equal(window.left, 3);
	assert_int_equal(reader_end(&window), -EBADMSG);
	assert_int_equal(reader_copy(&r, sizeof(copy), copy), 0);
	assert_memory_equal(copy, bytes + 3, sizeof(copy));
	assert_int_equal(r.left, sizeof(bytes) - 7);
	assert_int_equal(reader_copy(&r, sizeof(bytes), copy), -EBADMSG);

	r = reader_of(NULL, 0);
	assert_int_equal(reader_copy(&r, 0, copy), 0);
	assert_int_equal(reader_end(&r), 0);
}

static void varints(void **state)
{
	static const struct {
		uint8_t bytes[11];
		size_t len;
		uint64_t value;
		int err;
	} cases[] = {
		{{0}, 1, 0, 0},
		{{0x7f}, 1, 127, 0},
		{{0xac, 0x02}, 2, 300, 0},
		{{0x80, 0}, 2, 0, 0},
		{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, 10, UINT64_MAX, 0},
		{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2}, 10, 0, -EBADMSG},
		{{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0}, 11, 0, -EBADMSG},
		{{0x80}, 1, 0, -EBADMSG},
		{{}, 0, 0, -EBADMSG},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct reader r = reader_of(cases[i].bytes, cases[i].len);
		uint64_t value = 0xa5;

		assert_int_equal(reader_varint(&r, &value), cases[i].err);
		assert_true(value == (cases[i].err ? 0xa5 : cases[i].value));
		assert_int_equal(r.left, cases[i].err ? cases[i].len : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_both_orders),
		cmocka_unit_test(refuses_every_short_length),
		cmocka_unit_test(windows_stay_inside),
		cmocka_unit_test(varints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
