/* SPDX-License-Identifier: Apache-2.0 */
#include "softtpm.h"

static const uint8_t nonce[32] = "what the verifier asked for....";

static void test_ready(void **state)
{
	struct tpm_identity i;
	struct tpm_status before, after;
	struct tpm_worker *w;
	struct outcome o;
	struct softtpm s;

	(void)state;
	softtpm_new(&s);
	w = worker_new(&s, TPM_EK_AUTO);
	assert_int_equal(quote(w, nonce, &o), 0);
	tpm_worker_status(w, &before);
	assert_int_equal(quote(w, nonce, &o), 0);
	tpm_worker_status(w, &after);
	assert_int_equal(after.state, TPM_READY);
	assert_int_equal(after.commands, before.commands + 1);
	assert_int_equal(tpm_worker_identity(w, &i), 0);
	assert_string_equal(i.manufacturer, "IBM");
	assert_int_equal(i.ek_chain_count, 1);
	tpm_identity_clear(&i);
	tpm_worker_free(w);
	softtpm_remove(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ready),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
