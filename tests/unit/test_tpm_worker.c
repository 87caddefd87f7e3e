/* SPDX-License-Identifier: Apache-2.0 */
#include "softtpm.h"

#include "daemon/privileges.h"

static const uint8_t nonce[32] = "what the verifier asked for....";

static void test_ready(void **state)
{
	struct tpm_identity i;
	struct tpm_status before, after;
	struct tpm_worker *w;
	struct outcome o;

	w = worker_new(*state, TPM_EK_AUTO);
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
}

/*
 * The daemon's life: its privileges dropped, its system calls filtered, and the TPM started anew
 * behind it.
 */
static int filtered(const struct softtpm *s, bool before, int ready, int go)
{
	struct tpm_worker *w = NULL;
	struct outcome o = {0};
	char c = 0;

	if (privileges_limit())
		return 1;
	if (before)
		w = worker_new(s, TPM_EK_RSA_2048);
	if (privileges_drop())
		return 2;
	w = w ?: worker_new(s, TPM_EK_RSA_2048);
	/* A new key, its files, the counter; then the same after a new connection. */
	for (int i = 0; i < 2; i++) {
		if (quote(w, nonce, &o))
			return 10 + i;
		memset(&o, 0, sizeof(o));
		if (tpm_worker_anchor(w, true, nonce, on_anchored, &o) || await_outcome(w, &o))
			return 20 + i;
		if (i == 0 && (write(ready, &c, 1) != 1 || read(go, &c, 1) != 1))
			return 3;
	}
	tpm_worker_free(w);
	return 0;
}

static void filtered_case(struct softtpm *s, bool before)
{
	int ready[2], go[2], status;
	pid_t pid;
	char c;

	if (geteuid() != 0) {
		print_message("[  REASON  ] only root has privileges to drop\n");
		skip();
	}
	assert_int_equal(pipe(ready) | pipe(go), 0);
	/* Without the thread that ThreadSanitizer starts in a child: there has to be one. */
	pid = _Fork();
	if (pid == 0)
		_exit(filtered(s, before, ready[1], go[0]));
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	softtpm_kill(s);
	softtpm_start(s);
	assert_int_equal(write(go[1], "", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(ready[0]);
	close(go[0]);
	close(go[1]);
}

static void test_filtered_before(void **state)
{
	filtered_case(*state, true);
}

static void test_filtered_after(void **state)
{
	filtered_case(*state, false);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, tpm_new, tpm_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_ready),
		CASE(test_filtered_before),
		CASE(test_filtered_after),
	};

	return softtpm_there() ? cmocka_run_group_tests(tests, NULL, NULL) : SOFTTPM_SKIP;
}
