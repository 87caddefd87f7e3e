/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "collect/keyset.h"

static struct fold_key key_of(uint32_t n)
{
	struct fold_key k = {.what = 0x11, .port = n, .scope = n >> 16};

	memcpy(k.address + 12, &n, sizeof(n));
	return k;
}

static void keeps_each_once_and_in_order(void **state)
{
	struct keyset s = {0};
	struct fold_key k;
	bool new;

	(void)state;
	for (uint32_t n = 0; n < 5000; n++) {
		k = key_of(n * 7);
		assert_int_equal(keyset_find(&s, &k), -ENOENT);
		assert_int_equal(keyset_add(&s, &k, &new), n);
		assert_true(new);
	}
	for (uint32_t n = 0; n < 5000; n++) {
		k = key_of(n * 7);
		assert_int_equal(keyset_find(&s, &k), n);
		assert_int_equal(keyset_add(&s, &k, &new), n);
		assert_false(new);
		assert_memory_equal(&s.keys[n], &k, sizeof(k));
		k = key_of(n * 7 + 1);
		assert_int_equal(keyset_find(&s, &k), -ENOENT);
	}
	assert_int_equal(s.count, 5000);
	keyset_clear(&s);
	assert_int_equal(keyset_find(&s, &k), -ENOENT);
	keyset_clear(&s);
}

/* Keys that differ in one place alone are not found in one: a lookup takes a few steps. */
static void spreads(void **state)
{
	struct keyset s = {0};
	bool new;
	clock_t began = clock();

	(void)state;
	for (int byte = 0; byte < 24; byte += 3)
		for (uint32_t n = 0; n < 65536; n++) {
			uint8_t bytes[26] = {0};
			struct fold_key k;

			memcpy(bytes + byte, &n, 2);
			memcpy(&k, bytes, sizeof(k));
			assert_true(keyset_add(&s, &k, &new) >= 0);
		}
	assert_true(s.count > 8 * 65000);
	assert_true((clock() - began) / CLOCKS_PER_SEC < 5);
	keyset_clear(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_each_once_and_in_order),
		cmocka_unit_test(spreads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
