/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TPM that goes away, hangs, speaks nonsense, or has no room: requests fail clearly or succeed,
 * nothing hangs.
 */
#include "fake_tpm.h"
#include "quote_check.h"

#define RC_FAILURE 0x101
#define RC_YIELDED 0x908
#define RC_TESTING 0x90a
#define RC_LOCKOUT 0x921
#define RC_RETRY 0x922
#define RC_REFERENCE_H0 0x910
#define RC_REFERENCE_S0 0x918

static const uint8_t nonce[32] = "a nonce";

struct bed {
	struct softtpm tpm;
	struct fake_tpm fake;
	struct tpm_worker *w;
};

static int bed_new(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	*state = b;
	softtpm_new(&b->tpm);
	fake_start(&b->fake, &b->tpm);
	return 0;
}

static int bed_remove(void **state)
{
	struct bed *b = *state;

	tpm_worker_free(b->w);
	if (b->tpm.pid) {
		kill(b->tpm.pid, SIGCONT);
		fake_stop(&b->fake);
		softtpm_remove(&b->tpm);
	}
	free(b);
	return 0;
}

static struct tpm_worker *ready_worker(struct bed *b, uint64_t timeout_ms)
{
	b->w = worker_on(&b->tpm, b->fake.path, TPM_EK_ECC_P256, timeout_ms);
	quote_well(b->w, 0);
	return b->w;
}

/*
 * One response in the middle of work is spoiled: the request is done all the same, on another
 * connection.
 */
static void test_one_bad_response(void **state)
{
	static const enum fault faults[] = {FAULT_TEXT,   FAULT_SHORT,   FAULT_CUT, FAULT_SIZE_0,
					    FAULT_SIZE_9, FAULT_SIZE_4G, FAULT_TAG, FAULT_TAIL,
					    FAULT_BODY,   FAULT_CLOSE};
	struct bed *b = *state;
	struct tpm_worker *w = ready_worker(b, 10000);
	uint64_t before;

	for (unsigned int i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
		before = status_of(w).reconnects;
		fake_fault(&b->fake, faults[i], CC_QUOTE, 1);
		quote_well(w, 2 * i + 1);
		assert_int_equal(b->fake.seen, 1);
		assert_int_equal(status_of(w).reconnects, before + 1);
		quote_well(w, 2 * i + 2);
		assert_int_equal(status_of(w).state, TPM_READY);
	}
}

/* A response that comes a second time is never the next command's. */
static void test_doubled_response(void **state)
{
	struct bed *b = *state;
	struct tpm_worker *w = ready_worker(b, 10000);

	for (unsigned int i = 1; i < 20; i++) {
		fake_fault(&b->fake, FAULT_TWICE, CC_QUOTE, 1);
		quote_well(w, 2 * i);
		quote_well(w, 2 * i + 1);
	}
	fake_fault(&b->fake, FAULT_DRIP, 0, -1);
	quote_well(w, 100);
}

/* From the first byte on: an error that says so, and no key was made. */
static void test_no_tpm_at_all(void **state)
{
	static const enum fault faults[] = {FAULT_TEXT, FAULT_SHORT, FAULT_SIZE_4G,
					    FAULT_TAG,  FAULT_BODY,  FAULT_CLOSE};
	struct bed *b = *state;
	struct tpm_identity i;
	struct outcome o;
	int err;

	for (unsigned int n = 0; n < sizeof(faults) / sizeof(*faults); n++) {
		fake_fault(&b->fake, faults[n], 0, -1);
		b->w = worker_on(&b->tpm, b->fake.path, TPM_EK_ECC_P256, 10000);
		err = quote(b->w, nonce, &o);
		assert_true(err == -EIO || err == -ENODEV);
		assert_int_not_equal(status_of(b->w).state, TPM_READY);
		assert_string_not_equal(status_of(b->w).error, "");
		assert_int_equal(tpm_worker_identity(b->w, &i), -ENODEV);
		fake_fault(&b->fake, FAULT_NONE, 0, 0);
		quote_well(b->w, n);
		tpm_worker_free(b->w);
		b->w = NULL;
	}
}

/* "Not now", more often than ESYS asks by itself, is waited out; for ever, it is a timeout. */
static void test_not_now(void **state)
{
	static const uint32_t codes[] = {RC_RETRY, RC_YIELDED, RC_TESTING};
	struct bed *b = *state;
	struct tpm_worker *w = ready_worker(b, 5000);
	struct outcome o;

	for (unsigned int i = 0; i < 3; i++) {
		b->fake.code = codes[i];
		fake_fault(&b->fake, FAULT_CODE, CC_QUOTE, 16);
		quote_well(w, i);
		assert_int_equal(b->fake.seen, 16);
	}
	assert_int_equal(status_of(w).reconnects, 0);
	fake_fault(&b->fake, FAULT_CODE, CC_QUOTE, -1);
	assert_int_equal(quote(w, nonce, &o), -ETIMEDOUT);
	fake_fault(&b->fake, FAULT_NONE, 0, 0);
	quote_well(w, 9);
}

static void test_lockout_code(void **state)
{
	struct bed *b = *state;
	struct tpm_worker *w = ready_worker(b, 10000);
	struct outcome o;

	b->fake.code = RC_LOCKOUT;
	fake_fault(&b->fake, FAULT_CODE, CC_QUOTE, 1);
	assert_int_equal(quote(w, nonce, &o), -EAGAIN);
	assert_int_equal(status_of(w).state, TPM_LOCKED_OUT);
	assert_non_null(strstr(status_of(w).error, "TPM2_Quote"));
	quote_well(w, 1);
	assert_int_equal(status_of(w).state, TPM_READY);
	assert_int_equal(status_of(w).failures, 1);
}

/* The TPM lost our key, or our session: they are made again. It refuses: that is told, once. */
static void test_refusals(void **state)
{
	static const uint32_t forgotten[] = {RC_REFERENCE_H0, RC_REFERENCE_S0,
					     0x18b /* handle 1 */};
	struct bed *b = *state;
	struct tpm_worker *w = ready_worker(b, 10000);
	struct outcome o;

	for (unsigned int i = 0; i < 3; i++) {
		b->fake.code = forgotten[i];
		fake_fault(&b->fake, FAULT_CODE, CC_QUOTE, 1);
		quote_well(w, i);
		assert_int_equal(status_of(w).reconnects, i + 1);
	}
	fake_fault(&b->fake, FAULT_CODE, CC_QUOTE, 2);
	assert_int_equal(quote(w, nonce, &o), -EIO);
	b->fake.code = RC_FAILURE;
	fake_fault(&b->fake, FAULT_CODE, CC_QUOTE, 1);
	assert_int_equal(quote(w, nonce, &o), -EIO);
	assert_int_equal(b->fake.seen, 1);
	quote_well(w, 9);
}

static void test_deadline(void **state)
{
	struct bed *b = *state;
	struct tpm_worker *w = ready_worker(b, 1500);
	struct outcome o[3] = {0};

	fake_fault(&b->fake, FAULT_SILENT, CC_QUOTE, 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(tpm_worker_quote(w, nonce, on_quoted, &o[i]), 0);
	assert_int_equal(await_outcome(w, &o[0]), -ETIMEDOUT);
	await_outcome(w, &o[2]);
	assert_int_equal(status_of(w).queued, 0);
	assert_non_null(strstr(status_of(w).error, "no answer within 1500 ms"));
	quote_well(w, 1);
	/* It ends in the middle of a command. */
	fake_fault(&b->fake, FAULT_SILENT, CC_QUOTE, 1);
	assert_int_equal(tpm_worker_quote(w, nonce, on_quoted, &o[0]), 0);
}

static void test_stopped(void **state)
{
	struct bed *b = *state;
	struct tpm_worker *w = ready_worker(b, 2000);
	struct outcome o;

	kill(b->tpm.pid, SIGSTOP);
	for (int i = 0; i < 2; i++)
		assert_int_equal(quote(w, nonce, &o), -ETIMEDOUT);
	assert_int_equal(status_of(w).state, TPM_LOST);
	kill(b->tpm.pid, SIGCONT);
	wait_state(w, TPM_READY);
	quote_well(w, 1);
}

/* Straight at the socket of swtpm, which is there, or not, or new. */
static void test_killed(void **state)
{
	struct bed *b = *state;
	unsigned int good = 0;
	struct outcome o;
	int err;

	b->w = worker_new(&b->tpm, TPM_EK_ECC_P256);
	quote_well(b->w, 0);
	for (unsigned int round = 0; round < 5; round++) {
		struct outcome many[16] = {0};

		for (int i = 0; i < 16; i++)
			assert_int_equal(tpm_worker_quote(b->w, nonce, on_quoted, &many[i]), 0);
		usleep(1000 * round);
		softtpm_kill(&b->tpm);
		for (int i = 0; i < 16; i++) {
			err = await_outcome(b->w, &many[i]);
			assert_true(err == 0 || err == -ENODEV);
			good += !err;
			if (!err)
				check_quote(b->w, &many[i].quoted, nonce);
		}
		assert_int_equal(quote(b->w, nonce, &o), -ENODEV);
		assert_int_equal(status_of(b->w).state, TPM_LOST);
		softtpm_start(&b->tpm);
		quote_well(b->w, round);
	}
	print_message("%u of 80 quotes were made before their TPM was killed\n", good);
}

/* Nobody asks: it comes back by itself. */
static void test_comes_back(void **state)
{
	struct bed *b = *state;

	softtpm_kill(&b->tpm);
	b->w = worker_new(&b->tpm, TPM_EK_ECC_P256);
	usleep(300000);
	assert_int_equal(status_of(b->w).state, TPM_STARTING);
	softtpm_start(&b->tpm);
	wait_state(b->w, TPM_READY);
}

static void test_moving_pcrs(void **state)
{
	struct bed *b = *state;
	struct tpm_worker *w = ready_worker(b, 10000);
	uint64_t before = status_of(w).commands;
	struct outcome o;

	fake_fault(&b->fake, FAULT_EXTEND, CC_QUOTE, 1);
	quote_well(w, 1);
	/* The quote, and two reads of eight and of five values. */
	assert_int_equal(status_of(w).commands, before + 3);
	fake_fault(&b->fake, FAULT_EXTEND, CC_PCR_READ, 2);
	quote_well(w, 2);
	assert_int_equal(status_of(w).commands, before + 4);
	fake_fault(&b->fake, FAULT_EXTEND, 0, 6);
	quote_well(w, 3);
	fake_fault(&b->fake, FAULT_EXTEND, 0, -1);
	assert_int_equal(quote(w, nonce, &o), -ESTALE);
	fake_fault(&b->fake, FAULT_NONE, 0, 0);
	quote_well(w, 4);
	assert_int_equal(status_of(w).reconnects, 0);
}

/* TPM2_StartAuthSession: HMAC, not salted, not bound. */
static uint32_t start_session(int fd)
{
	static const uint8_t command[43] = {0x80, 0x01, 0,        0, 0,    43,   0,   0, 1,
					    0x76, 0x40, 0,        0, 7,    0x40, 0,   0, 7,
					    0,    16,   [38] = 0, 0, 0x10, 0,    0x0b};
	uint8_t response[4096];

	assert_true(give(fd, command, sizeof(command)));
	assert_true(read_message(fd, response, sizeof(response)) > 0);
	return be32(response + 6);
}

/* Another program left objects and sessions, as many as there is room for. */
static void test_no_room(void **state)
{
	struct bed *b = *state;
	int fd;

	assert_int_equal(TPM2(&b->tpm,
			      "for n in 1 2 3; do tpm2_createprimary -Q -C o -c o$n.ctx; done; "
			      "test $(tpm2_getcap handles-transient | wc -l) = 3"),
			 0);
	fd = connect_behind(&b->fake);
	for (int i = 0; i < 3; i++)
		assert_int_equal(start_session(fd), 0);
	assert_int_equal(start_session(fd), 0x903); /* TPM_RC_SESSION_MEMORY */
	close(fd);
	quote_well(ready_worker(b, 10000), 1);
}

/* Dictionary attack protection is on: the AK is not under it. */
static void test_real_lockout(void **state)
{
	struct bed *b = *state;

	assert_int_equal(
		TPM2(&b->tpm,
		     "tpm2_dictionarylockout -s -n 2 -t 1000 -l 1000 && "
		     "tpm2_createprimary -Q -C o -c p.ctx && "
		     "tpm2_create -Q -C p.ctx -G ecc -p right -u k.pub -r k.priv && "
		     "tpm2_flushcontext -t && tpm2_load -Q -C p.ctx -u k.pub -r k.priv -c k.ctx && "
		     "echo x > m && for n in 1 2 3; do tpm2_flushcontext -t; "
		     "tpm2_sign -Q -c k.ctx -g sha256 -p wrong -o sig m 2>&1; done | grep -q "
		     "0x921"),
		0);
	quote_well(ready_worker(b, 10000), 1);
}

static void test_unreachable(void **state)
{
	static const char *const wrong[] = {"",
					    "swtpm:",
					    "swtpm:path=relative",
					    "device:tpmrm0",
					    "mssim:host=localhost",
					    "/dev/tpmrm0"};
	struct bed *b = *state;
	struct tpm_config config = {
		.state_dir = b->tpm.keys, .timeout_ns = 1000000000, .pcrs = DEFAULT_PCRS};
	struct tpm_worker *w = (void *)1;
	struct outcome o;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		config.tcti = wrong[i];
		assert_int_equal(tpm_worker_new(&config, &w), -EINVAL);
		assert_ptr_equal(w, (void *)1);
	}
	config.tcti = "device:/nonexistent/tpmrm0";
	assert_int_equal(tpm_worker_new(&config, &b->w), 0);
	assert_int_equal(quote(b->w, nonce, &o), -ENODEV);
	assert_non_null(strstr(status_of(b->w).error, "No such file"));
	tpm_worker_free(b->w);
	config.tcti = "device:/dev/null";
	assert_int_equal(tpm_worker_new(&config, &b->w), 0);
	assert_int_not_equal(quote(b->w, nonce, &o), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, bed_new, bed_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_one_bad_response), CASE(test_doubled_response), CASE(test_no_tpm_at_all),
		CASE(test_not_now),          CASE(test_lockout_code),     CASE(test_refusals),
		CASE(test_deadline),         CASE(test_stopped),          CASE(test_killed),
		CASE(test_comes_back),       CASE(test_moving_pcrs),      CASE(test_no_room),
		CASE(test_real_lockout),     CASE(test_unreachable),
	};

	return softtpm_there() ? cmocka_run_group_tests(tests, NULL, NULL) : SOFTTPM_SKIP;
}
