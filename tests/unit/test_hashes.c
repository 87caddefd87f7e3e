/* SPDX-License-Identifier: Apache-2.0 */
#include "record/hashes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/pb.h"

/* Every field is there, as no daemon writes it: the state alone decides. */
static void the_state_decides(void **state)
{
	Affiant__V1__Digest d = AFFIANT__V1__DIGEST__INIT;

	(void)state;
	SET(&d, sha256, pb_bytes("s", 1));
	SET(&d, verity, pb_bytes("v", 1));
	SET(&d, unproven_sha256, pb_bytes("u", 1));
	for (int s = -1; s <= 20; s++) {
		const ProtobufCBinaryData *proven = NULL, *stated = NULL;

		SET(&d, state, s);
		if (s == AFFIANT__V1__HASH_STATE__HASH_VERITY)
			proven = &d.verity;
		else if (s >= AFFIANT__V1__HASH_STATE__HASH_KERNEL &&
			 s <= AFFIANT__V1__HASH_STATE__HASH_OBSERVED)
			proven = &d.sha256;
		stated = s == AFFIANT__V1__HASH_STATE__HASH_UNPROVEN  ? &d.unproven_sha256
			 : s == AFFIANT__V1__HASH_STATE__HASH_OFFERED ? &d.sha256
								     : proven;
		assert_ptr_equal(hashes_proven(&d), proven);
		assert_ptr_equal(hashes_stated(&d), stated);
	}
}

/* What is not there is not made up, and a digest without a state is none. */
static void nothing_is_made_up(void **state)
{
	Affiant__V1__Digest d = AFFIANT__V1__DIGEST__INIT;

	(void)state;
	assert_null(hashes_proven(NULL));
	assert_null(hashes_stated(NULL));
	for (int s = 0; s <= 20; s++) {
		SET(&d, state, s);
		assert_null(hashes_proven(&d));
		assert_null(hashes_stated(&d));
	}
	d.has_state = false;
	d.state = AFFIANT__V1__HASH_STATE__HASH_OBSERVED;
	SET(&d, sha256, pb_bytes("s", 1));
	assert_null(hashes_proven(&d));
	assert_null(hashes_stated(&d));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_state_decides),
		cmocka_unit_test(nothing_is_made_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
