/* SPDX-License-Identifier: Apache-2.0 */
/* True evidence of hosts that change, for a verifier that remembers them: it is affirmed, or asked for anew. */
#include "attest/verify.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "forge.h"

#define OTHER_DAEMON 0xb2

static struct forge f;
static struct hoststate kept;

static void begin(void)
{
	forge_begin(&f);
	forge_build(&f);
}

static void expect(enum verify_code code)
{
	struct verify_result *r = forge_verify(&f);

	if (r->code != code)
		fail_msg("%s: %s", verify_code_name(r->code), verify_reason(r));
	verify_result_free(r);
}

static void keep(void)
{
	struct verify_result *r = forge_verify(&f);

	if (r->code)
		fail_msg("%s: %s", verify_code_name(r->code), verify_reason(r));
	assert_true(r->has_host);
	kept = r->host;
	f.cached = &kept;
	verify_result_free(r);
}

/* Host evidence is asked for, from that entry on; and with the whole of the list all is well. */
static void asked_from(uint64_t from)
{
	struct verify_result *r = forge_verify(&f);

	if (r->code != VERIFY_host_evidence_needed)
		fail_msg("%s: %s", verify_code_name(r->code), verify_reason(r));
	assert_int_equal(r->ima_from, from);
	verify_result_free(r);
}

static void send_from(size_t entries, size_t bytes)
{
	f.ima_from = entries;
	f.ima_skip = bytes;
	forge_again(&f, true);
}

static void run_daemon(uint8_t byte)
{
	json_t *files = json_object_get(f.host_claims, "measurements"),
	       *body = forge_body(files, 0);
	uint8_t digest[32];
	char text[64];

	memset(digest, byte, sizeof(digest));
	base64url_encode(digest, sizeof(digest), text);
	json_object_set_new(body, "digested-measurement", json_pack("[is]", 1, text));
	forge_set_body(files, 0, 296, body);
}

/* Another version of affiantd, and the first one again, which IMA does not list once more. */
static void test_daemon_goes_back(void **state)
{
	const size_t entries = 4;
	json_t *first;
	size_t bytes;

	(void)state;
	begin();
	first = json_deep_copy(f.host_claims);
	bytes = f.ima.len;
	f.files[3] = (struct affiant_ima_file){.alg = TPM2_SHA256};
	memset(f.files[3].digest, OTHER_DAEMON, 32);
	f.policy.ima.allowed_count = 4;
	f.policy.daemon.executables.any = true;
	keep();

	ima_file(&f.ima, OTHER_DAEMON, "/usr/sbin/affiantd");
	run_daemon(OTHER_DAEMON);
	send_from(entries, bytes);
	keep();

	json_decref(f.host_claims);
	f.host_claims = first;
	ima_file(&f.ima, 0xb1, "/usr/bin/id");
	send_from(entries, bytes);
	asked_from(0);
	send_from(0, 0);
	keep();

	/* One that was never measured is told, once all of the list is there. */
	run_daemon(0xee);
	send_from(entries, bytes);
	asked_from(0);
	send_from(0, 0);
	expect(VERIFY_ima_no_daemon);
	forge_end(&f);
}

/* Two agents asked at once, and what the second sent was judged first: the list was longer by then. */
static void test_overtaken(void **state)
{
	const size_t entries = 4;
	size_t bytes;
	json_t *sent;

	(void)state;
	begin();
	bytes = f.ima.len;
	keep();
	ima_file(&f.ima, 0xb1, "/usr/bin/id");
	send_from(entries, bytes);
	sent = json_incref(f.collection);
	f.clock.ms += 500;
	ima_file(&f.ima, 0xb1, "/usr/bin/env");
	send_from(entries, bytes);
	keep();
	assert_int_equal(kept.list.entries, 6);

	json_decref(f.collection);
	f.collection = sent;
	asked_from(6);
	forge_end(&f);
}

/* The same, of a list that went on growing behind the quote: it is long enough, and leads elsewhere. */
static void test_overtaken_with_a_tail(void **state)
{
	struct pcr_bank then;
	size_t bytes;

	(void)state;
	begin();
	bytes = f.ima.len;
	keep();
	ima_file(&f.ima, 0xb1, "/usr/bin/id");
	then = f.ima.bank;
	ima_file(&f.ima, 0xb1, "/usr/bin/env");
	f.clock.ms += 500;
	send_from(4, bytes);
	keep();

	f.clock.ms -= 500;
	f.ima.bank = then;
	send_from(4, bytes);
	asked_from(6);
	/* Where the clock shows that it is no late one, what is kept may be wrong: all of it is asked for. */
	f.clock.ms += 1000;
	send_from(4, bytes);
	asked_from(0);
	send_from(0, 0);
	keep();
	assert_int_equal(kept.list.entries, 5);
	forge_end(&f);
}

static void enrol_anew(void)
{
	EVP_PKEY_free(f.ak_key);
	f.ak_key = f.signer = NULL;
	forge_identity(&f);
	f.clock = (struct tpm2_clock){.ms = 5000, .safe = true};
	forge_again(&f, true);
}

/* TPM2_Clear: the EK stays, the AK and all counts are gone. While the kernel runs, or before it starts. */
static void test_cleared(void **state)
{
	(void)state;
	begin();
	keep();
	kept.enrolled -= 3600;
	enrol_anew();
	expect(VERIFY_NONE);
	json_object_set_new(f.host_claims, "boot_id",
			    json_string("1f8fad5b-d9cb-469f-a165-70867728950e"));
	forge_again(&f, true);
	keep();
	assert_int_equal(kept.clock.resets, 0);
	/* A part of the list goes on from nothing that is kept of this AK. */
	kept.enrolled -= 3600;
	enrol_anew();
	send_from(4, f.ima.len);
	asked_from(0);
	forge_end(&f);
}

/* The AK of before, by a TPM that was set back, or by one that was never cleared. */
static void test_former_ak(void **state)
{
	(void)state;
	begin();
	keep();
	enrol_anew();
	expect(VERIFY_clock_reset_backwards);
	kept.enrolled += 3600;
	expect(VERIFY_clock_reset_backwards);
	forge_end(&f);
}

/* Nor does a new certificate for the same AK set the counts back. */
static void test_certified_again(void **state)
{
	(void)state;
	begin();
	keep();
	kept.enrolled -= 3600;
	f.clock.resets--;
	forge_again(&f, true);
	expect(VERIFY_clock_reset_backwards);
	forge_end(&f);
}

/* By nothing but zeros, policies can't be told apart. */
static void test_policy_without_digest(void **state)
{
	(void)state;
	begin();
	memset(f.policy.digest, 0, sizeof(f.policy.digest));
	keep();
	forge_again(&f, false);
	asked_from(0);
	send_from(4, f.ima.len);
	asked_from(0);
	forge_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_daemon_goes_back),
		cmocka_unit_test(test_overtaken),
		cmocka_unit_test(test_overtaken_with_a_tail),
		cmocka_unit_test(test_cleared),
		cmocka_unit_test(test_former_ak),
		cmocka_unit_test(test_certified_again),
		cmocka_unit_test(test_policy_without_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
