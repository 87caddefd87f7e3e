/* SPDX-License-Identifier: Apache-2.0 */
/* Good evidence is affirmed; what is kept of a host stands for its logs, and never for a quote. */
#include "attest/verify.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "forge.h"

static struct forge f;

static void expect(struct verify_result *r, enum verify_code code, enum affiant_tier tier)
{
	if (r->code != code || r->tier != tier)
		fail_msg("%s: %s, tier %s", verify_code_name(r->code), verify_reason(r),
			 verify_tier_word(r->tier));
	assert_int_equal(r->verdict == AFFIANT_AFFIRMED, code == VERIFY_NONE);
	verify_result_free(r);
}

static void test_affirmed(void **state)
{
	(void)state;
	forge_begin(&f);
	forge_build(&f);
	expect(forge_verify(&f), VERIFY_NONE, AFFIANT_RUNTIME_MEASURED);
	f.nonce = "another-nonce";
	expect(forge_verify(&f), VERIFY_nonce, AFFIANT_UNATTESTED);
	forge_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_affirmed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
