/* SPDX-License-Identifier: Apache-2.0 */
/*
 * True evidence of machines whose firmware measures as it likes: separators where nothing rests on them, and events with a
 * separator's bytes. What would be false of them is in test_forgery.c.
 */
#include "attest/verify.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "forge.h"

static struct forge f;

/* A boot log with Secure Boot on, up to where PCR 7 ends; the policy names its firmware. */
static void begin(struct builder *b)
{
	static const char *const firmware[] = {"firmware 1"};

	forge_begin(&f);
	f.rules[0] =
		(struct affiant_event_rule){.pcrs = 1 << 0, .texts = {firmware, 1}, .least = 1};
	f.policy.boot.rules = f.rules;
	f.policy.boot.rules_count = 1;
	*b = (struct builder){};
	put_header(b);
	put_text(b, 0, EV_S_CRTM_VERSION, "firmware 1");
	put_variable(b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", "\1", 1);
}

/* The rest: separators, but in those PCRs, and what is measured then. */
static void expect(struct builder *b, uint32_t without, enum verify_code code)
{
	struct verify_result *r;

	for (uint32_t pcr = 0; pcr < 8; pcr++)
		if (!(without & 1u << pcr))
			put_separator(b, pcr);
		else
			put_text(b, pcr, EV_POST_CODE, "something");
	f.boot = *b;
	f.ima = (struct ima_builder){};
	assert_int_equal(pcr_bank_init(&f.ima.bank, TPM2_SHA256), 0);
	forge_aggregate(&f);
	ima_add(&f.ima, 10, "ima-ng", f.files[1].digest, "/usr/sbin/affiantd", false);
	forge_build(&f);
	r = forge_verify(&f);
	if (r->code != code)
		fail_msg("%s: %s", verify_code_name(r->code), verify_reason(r));
	verify_result_free(r);
	forge_end(&f);
}

/* Windows on GCE has one in PCR 7 alone. */
static void test_elsewhere(void **state)
{
	struct builder b;

	(void)state;
	begin(&b);
	expect(&b, 0x7e, VERIFY_NONE);
	begin(&b);
	put_separator(&b, 2); /* two of them */
	expect(&b, 0, VERIFY_NONE);
	begin(&b);
	put_data(&b, 3, EV_SEPARATOR, "\1\0\0", 4);
	expect(&b, 1 << 3, VERIFY_NONE);
	for (uint32_t pcr = 0; pcr < 8; pcr++) {
		begin(&b);
		expect(&b, 1u << pcr,
		       pcr == 0   ? VERIFY_boot_log_separator /* a rule rests on it */
		       : pcr == 7 ? VERIFY_boot_log_separator
				  : VERIFY_NONE);
		begin(&b);
		f.rules[0].pcrs |= 1u << pcr;
		expect(&b, 1u << pcr, VERIFY_boot_log_separator);
	}
}

/* BootOrder 0001,0000 has the bytes of a separator that reports an error. */
static void test_boot_order(void **state)
{
	uint8_t order[64];
	const size_t len = variable("BootOrder", "\1\0\0", 4, order);
	struct builder b;

	(void)state;
	begin(&b);
	put_event(&b, 1, EV_EFI_VARIABLE_BOOT, "\1\0\0", 4, order, len);
	f.rules[0].pcrs |= 1 << 1;
	expect(&b, 0, VERIFY_NONE);
	/* Nothing is early behind it. */
	begin(&b);
	put_event(&b, 1, EV_EFI_VARIABLE_BOOT, "\1\0\0", 4, order, len);
	put_text(&b, 1, EV_PLATFORM_CONFIG_FLAGS, "firmware 1");
	f.rules[0].pcrs = 1 << 1;
	expect(&b, 0, VERIFY_NONE);
	begin(&b);
	put_event(&b, 1, EV_EFI_VARIABLE_BOOT, "\1\0\0", 4, order, len);
	put_text(&b, 1, EV_PLATFORM_CONFIG_FLAGS, "firmware 1");
	f.rules[0].pcrs = 1 << 1;
	f.rules[0].early = true;
	expect(&b, 0, VERIFY_boot_rule);
}

/* A record of four zeros in PCR 0, of which the log has but a description */
static void test_record(void **state)
{
	struct builder b;

	(void)state;
	begin(&b);
	put_event(&b, 0, EV_S_CRTM_CONTENTS, "\0\0\0", 4, "FIT record", 10);
	f.rules[0].early = true;
	expect(&b, 0, VERIFY_NONE);
	begin(&b);
	put_event(&b, 0, EV_S_CRTM_CONTENTS, "\0\0\0", 4, "FIT record", 10);
	f.policy.boot.closed = 1 << 0;
	expect(&b, 0, VERIFY_boot_event);
	begin(&b);
	put_event(&b, 0, EV_S_CRTM_CONTENTS, "\0\0\0", 4, "FIT record", 10);
	f.policy.boot.closed = 1 << 0;
	assert_int_equal(sha256_of("\0\0\0", 4, (struct sha256 *)&f.digests[15]), 0);
	f.rules[0].digests = (struct affiant_digests){.list = &f.digests[15], .count = 1};
	expect(&b, 0, VERIFY_NONE);
}

/* An entry of systemd's log, and the quoted value that it leads to */
static void systemd_measures(char *log, size_t size, uint32_t pcr, const char *text)
{
	char hex[2 * SHA256_SIZE + 1];
	struct sha256 digest;
	const size_t len = strlen(log);

	assert_int_equal(sha256_of(text, strlen(text), &digest), 0);
	assert_int_equal(pcr_extend(&f.bank, pcr, (const uint8_t *)&digest), 0);
	hex_encode(&digest, sizeof(digest), hex);
	snprintf(log + len, size - len,
		 "\x1e{\"pcr\":%u,\"digests\":[{\"hashAlg\":\"sha256\",\"digest\":\"%s\"}],"
		 "\"content\":{\"string\":\"%s\"}}\n",
		 pcr, hex, text);
}

/*
 * Systemd measures behind the kernel's start, by which boot_aggregate is: from version 259 on into PCR 9, later
 * ones a word of their own into 0-7, too.
 */
static void test_systemd(void **state)
{
	static const char *const words[] = {"os-separator", "os-separator "};
	char log[8192];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct verify_result *r;

		log[0] = '\0';
		forge_begin(&f);
		forge_build(&f);
		systemd_measures(log, sizeof(log), 9, "nvpcr-init:hardware:0x1d10200:000bff27");
		for (uint32_t pcr = 0; pcr < 8; pcr++)
			systemd_measures(log, sizeof(log), pcr, words[i]);
		forge_again(&f, true);
		put_member(f.host, "systemd_log", CMW_JSON_SEQ, log, strlen(log));
		r = forge_verify(&f);
		if (r->code != (i < 1 ? VERIFY_NONE : VERIFY_boot_log_unexplained))
			fail_msg("%s: %s", verify_code_name(r->code), verify_reason(r));
		verify_result_free(r);
		forge_end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_elsewhere),
		cmocka_unit_test(test_boot_order),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_systemd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
