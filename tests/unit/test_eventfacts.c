/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/eventlog.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "attest_samples.h"
#include "base/cleanup.h"
#include "eventlog_builder.h"

DEFINE_CLEANUP(struct eventlog *, eventlog_free)
#define _cleanup_log_ _cleanup_(eventlog_freep)
#define _cleanup_facts_ _cleanup_(eventlog_facts_clear)

static struct eventlog_facts facts_of(const struct eventlog *l, uint16_t alg)
{
	struct eventlog_facts f;

	memset(&f, 0xa5, sizeof(f));
	assert_int_equal(eventlog_read(l, alg, ~0u, &f), 0);
	return f;
}

static enum eventlog_answer secure_boot(const struct builder *b)
{
	_cleanup_log_ struct eventlog *l = parsed(b);
	_cleanup_facts_ struct eventlog_facts f = facts_of(l, TPM2_SHA256);
	_cleanup_facts_ struct eventlog_facts sha1 = facts_of(l, TPM2_SHA1);

	assert_int_equal(f.secure_boot, sha1.secure_boot);
	return f.secure_boot;
}

/* An honest boot: Secure Boot on, a loader whose key is measured. */
static struct builder boot(void)
{
	struct builder b = {};

	put_header(&b);
	put_text(&b, 0, EV_S_CRTM_VERSION, "1.0");
	put_event(&b, 0, EV_EFI_PLATFORM_FIRMWARE_BLOB, "firmware", 8, "somewhere", 9);
	put_variable(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", "\1", 1);
	put_variable(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "PK", "pk", 2);
	put_separator(&b, 7);
	put_text(&b, 4, EV_EFI_ACTION, "Calling EFI Application from Boot Option");
	for (uint32_t pcr = 0; pcr < 7; pcr++)
		put_separator(&b, pcr);
	put_variable(&b, 7, EV_EFI_VARIABLE_AUTHORITY, "db", "key", 3);
	put_event(&b, 4, EV_EFI_BOOT_SERVICES_APPLICATION, "loader", 6, "path", 4);
	put_event(&b, 8, EV_IPL, "/vmlinuz ro quiet", 17, "kernel_cmdline: /vmlinuz ro quiet", 34);
	put_event(&b, 9, EV_IPL, "the kernel", 10, "/vmlinuz", 9);
	put_data(&b, 12, EV_IPL, "r\0o\0\0", 6);
	put_text(&b, 5, EV_EFI_ACTION, "Exit Boot Services Invocation");
	put_text(&b, 5, EV_EFI_ACTION, "Exit Boot Services Returned with Success");
	return b;
}

static void assert_text(const struct eventlog_fact *f, enum eventlog_kind kind, const char *text,
			size_t len)
{
	assert_int_equal(f->kind, kind);
	assert_int_equal(f->text.left, len);
	assert_memory_equal(f->text.at, text, len);
}

static void test_honest(void **state)
{
	const struct builder b = boot();
	_cleanup_log_ struct eventlog *l = parsed(&b);
	_cleanup_facts_ struct eventlog_facts f = facts_of(l, TPM2_SHA256);

	(void)state;
	assert_int_equal(f.separators, 0xff);
	assert_int_equal(f.unexplained, 0);
	assert_int_equal(f.secure_boot, EVENTLOG_YES);
	assert_false(f.debugger);
	assert_false(f.dma_unprotected);
	assert_true(f.exit_boot_services);
	assert_text(&f.events[0], EVENTLOG_FIRMWARE, "1.0", 3);
	assert_text(&f.events[1], EVENTLOG_FIRMWARE, "", 0);
	assert_int_equal(f.events[2].kind, EVENTLOG_VARIABLE);
	assert_true(f.events[2].early);
	assert_text(&f.events[4], EVENTLOG_SEPARATOR, "\0\0\0", 4);
	assert_text(&f.events[5], EVENTLOG_ACTION, "Calling EFI Application from Boot Option", 40);
	assert_int_equal(f.events[13].kind, EVENTLOG_VARIABLE);
	assert_false(f.events[13].early);
	assert_text(&f.events[14], EVENTLOG_IMAGE, "", 0);
	assert_false(f.events[14].early);
	assert_text(&f.events[15], EVENTLOG_LOADER, "/vmlinuz ro quiet", 17);
	assert_text(&f.events[16], EVENTLOG_LOADER, "",
		    0); /* a file's name is not what was hashed */
	assert_text(&f.events[17], EVENTLOG_LOADER, "r\0o\0\0", 6);
}

static void test_secure_boot(void **state)
{
	static const char *const contents[] = {"\0", "\1", "\2", "\1\0"};
	static const struct {
		size_t content, len;
		enum eventlog_answer expected;
	} values[] = {{0, 1, EVENTLOG_NO},
		      {1, 1, EVENTLOG_YES},
		      {2, 1, EVENTLOG_UNKNOWN},
		      {3, 2, EVENTLOG_UNKNOWN},
		      {0, 0, EVENTLOG_UNKNOWN}};
	struct builder b;

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		b.len = 0;
		put_header(&b);
		put_variable(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot",
			     contents[values[i].content], values[i].len);
		assert_int_equal(
			secure_boot(&b),
			EVENTLOG_UNKNOWN); /* no separator yet: who says it is no later extend? */
		put_separator(&b, 7);
		assert_int_equal(secure_boot(&b), values[i].expected);
	}
	b.len = 0;
	put_header(&b);
	put_separator(&b, 7);
	assert_int_equal(secure_boot(&b), EVENTLOG_UNKNOWN); /* absent */
	put_variable(&b, 7, EV_EFI_VARIABLE_AUTHORITY, "SecureBoot", "\1", 1);
	assert_int_equal(secure_boot(&b), EVENTLOG_UNKNOWN); /* behind the separator, by whom? */
}

/*
 * What an attacker who owns the running system can do: rename events, change data, append to PCRs.
 */
static void test_secure_boot_forged(void **state)
{
	uint8_t on[64], off[64];
	const size_t len = variable("SecureBoot", "\1", 1, on);
	struct builder b;

	(void)state;
	variable("SecureBoot", "\0", 1, off);
	for (int forgery = 0; forgery < 8; forgery++) {
		b.len = 0;
		put_header(&b);
		if (forgery == 0) /* off was measured, on is written */
			put_event(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, off, len, on, len);
		else if (forgery == 1) /* off was measured, and hides under another type */
			put_data(&b, 7, 0xdead, off, len);
		else if (forgery == 2)
			put_data(&b, 7, EV_IPL, off, len);
		else if (forgery == 3)
			put_data(&b, 7, EV_EFI_ACTION, off, len);
		else if (forgery == 4)
			put_event(&b, 7, EV_EFI_VARIABLE_AUTHORITY, off, len, "", 0);
		else
			put_data(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, off, len);
		/*
		 * The separator that was measured hides under another type; on is extended, then a
		 * separator.
		 */
		if (forgery == 5)
			put_data(&b, 7, EV_EFI_VARIABLE_AUTHORITY, "\0\0\0", 4);
		if (forgery == 6)
			put_event(&b, 7, EV_EFI_VARIABLE_AUTHORITY, "\0\0\0", 4, on, len);
		if (forgery)
			put_data(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, on, len);
		put_separator(&b, 7);
		assert_int_equal(secure_boot(&b), EVENTLOG_UNKNOWN);
	}
	b = boot();
	assert_int_equal(secure_boot(&b), EVENTLOG_YES);
	put_separator(&b, 7); /* a second one */
	assert_int_equal(secure_boot(&b), EVENTLOG_UNKNOWN);
	b = boot();
	put_data(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, off, len);
	assert_int_equal(secure_boot(&b), EVENTLOG_UNKNOWN);
	b = boot();
	put_text(&b, 7, 0x1234, "what is this?");
	assert_int_equal(secure_boot(&b), EVENTLOG_UNKNOWN);
	b = boot();
	put_text(&b, 7, EV_S_CRTM_VERSION, "known, but not there");
	assert_int_equal(secure_boot(&b), EVENTLOG_UNKNOWN);
	b = boot();
	put_text(&b, 6, 0x1234, "elsewhere it decides nothing");
	assert_int_equal(secure_boot(&b), EVENTLOG_YES);
}

static void test_separators(void **state)
{
	(void)state;
	for (uint32_t pcr = 0; pcr < 9; pcr++) {
		static const uint8_t ones[4] = {0xff, 0xff, 0xff, 0xff};

		for (int how = 0; how < 7; how++) {
			struct builder b = {};

			put_header(&b);
			if (how == 1 || how == 5 || how == 6)
				put_separator(&b, pcr);
			if (how == 2)
				put_data(&b, pcr, EV_SEPARATOR, ones, 4);
			if (how == 3) /* firmware reports an error */
				put_data(&b, pcr, EV_SEPARATOR, "\1\0\0", 4);
			if (how == 4) /* its data are not what was measured */
				put_event(&b, pcr, EV_SEPARATOR, "\0\0\0", 4, "\1\0\0", 4);
			if (how == 5)
				put_data(&b, pcr, EV_SEPARATOR, ones, 4);
			if (how == 6) /* one of other data separates nothing */
				put_data(&b, pcr, EV_SEPARATOR, "\7\0\0", 4);
			_cleanup_log_ struct eventlog *l = parsed(&b);
			_cleanup_facts_ struct eventlog_facts f = facts_of(l, TPM2_SHA256);

			assert_int_equal(f.separators, pcr < 8 && (how == 1 || how == 2 || how == 6)
							       ? 1 << pcr
							       : 0);
			assert_int_equal(f.unexplained,
					 how == 6 || (pcr == 8 && how) ? 1 << pcr : 0);
		}
	}
}

static void test_debugger(void **state)
{
	static const struct {
		uint32_t type;
		const char *data;
		bool explained;
	} names[] = {{EV_EFI_ACTION, "UEFI Debug Mode", true},
		     {EV_EFI_ACTION, "Exit Boot Services Invocation", false},
		     {EV_EFI_VARIABLE_AUTHORITY, "x", false},
		     {0xdead, "", false}};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct builder b = {}, dma = {};

		put_header(&b);
		put_event(&b, 7, names[i].type, "UEFI Debug Mode", 15, names[i].data,
			  strlen(names[i].data));
		put_header(&dma);
		put_event(&dma, 7, names[i].type, "DMA Protection Disabled", 23, names[i].data,
			  strlen(names[i].data));
		_cleanup_log_ struct eventlog *l = parsed(&b), *m = parsed(&dma);
		_cleanup_facts_ struct eventlog_facts f = facts_of(l, TPM2_SHA256),
						      g = facts_of(m, TPM2_SHA256);

		assert_true(f.debugger);
		assert_false(f.dma_unprotected);
		assert_int_equal(f.unexplained, names[i].explained ? 0 : 1 << 7);
		assert_true(g.dma_unprotected);
		assert_false(g.debugger);
	}
}

static void test_variables(void **state)
{
	uint8_t data[128];
	size_t len = variable("Boot0000", "content", 7, data);
	struct builder b = {};

	(void)state;
	put_header(&b);
	put_data(&b, 1, EV_EFI_VARIABLE_BOOT, data, len);
	put_event(&b, 1, EV_EFI_VARIABLE_BOOT2, "content", 7, data, len);
	put_event(&b, 1, EV_EFI_VARIABLE_DRIVER_CONFIG, "content", 7, data, len); /* not of these */
	put_event(&b, 7, EV_EFI_VARIABLE_AUTHORITY, data, len - 1, data,
		  len); /* shim's byte too much */
	put_event(&b, 7, EV_EFI_VARIABLE_AUTHORITY, data, len - 2, data, len);
	for (size_t cut = 0; cut < len; cut++) /* the digest fits, the structure doesn't */
		put_data(&b, 1, EV_EFI_VARIABLE_DRIVER_CONFIG, data, cut);
	data[23] = 0x80; /* a name of 2^63 characters */
	put_data(&b, 1, EV_EFI_VARIABLE_BOOT, data, len);
	_cleanup_log_ struct eventlog *l = parsed(&b);
	_cleanup_facts_ struct eventlog_facts f = facts_of(l, TPM2_SHA256);

	assert_int_equal(f.events[0].kind, EVENTLOG_VARIABLE);
	assert_int_equal(f.events[0].text.left, len);
	assert_text(&f.events[1], EVENTLOG_VARIABLE, "content", 7);
	assert_int_equal(f.events[2].kind, EVENTLOG_UNEXPLAINED);
	assert_int_equal(f.events[3].kind, EVENTLOG_VARIABLE);
	assert_int_equal(f.events[3].text.left, len - 1);
	for (size_t i = 4; i < l->count; i++)
		assert_int_equal(f.events[i].kind, EVENTLOG_UNEXPLAINED);
}

static void test_loaders(void **state)
{
	static const uint8_t tagged[] = {0xec, 0x22, 0x3b, 0x8f, 3, 0, 0, 0, 'a', 'b', 'c'};
	struct builder b = {};

	(void)state;
	put_header(&b);
	put_event(&b, 8, EV_IPL, "ls", 2, "grub_cmd: ls", 13);     /* GRUB, with a NUL */
	put_event(&b, 8, EV_IPL, "ls", 2, "grub_cmd: ls", 12);     /* and without */
	put_event(&b, 8, EV_IPL, "a: b", 4, "grub_cmd: a: b", 15); /* the first colon counts */
	put_event(&b, 8, EV_IPL, "", 0, "grub_cmd: ", 11);
	put_event(&b, 8, EV_IPL, "other", 5, "grub_cmd: ls", 13);
	put_event(&b, 9, EV_EVENT_TAG, "abc", 3, tagged, sizeof(tagged));
	put_event(&b, 9, EV_EVENT_TAG, "abc", 3, tagged,
		  sizeof(tagged) - 1); /* cut: the digest alone is left */
	put_event(&b, 9, EV_EVENT_TAG, "", 0, "", 0);
	put_event(&b, 9, EV_IPL, "", 0, "", 0);
	_cleanup_log_ struct eventlog *l = parsed(&b);
	_cleanup_facts_ struct eventlog_facts f = facts_of(l, TPM2_SHA256);

	assert_text(&f.events[0], EVENTLOG_LOADER, "ls", 2);
	assert_text(&f.events[1], EVENTLOG_LOADER, "ls", 2);
	assert_text(&f.events[2], EVENTLOG_LOADER, "a: b", 4);
	assert_text(&f.events[3], EVENTLOG_LOADER, "", 0);
	assert_text(&f.events[4], EVENTLOG_LOADER, "", 0);
	assert_text(&f.events[5], EVENTLOG_LOADER, "abc", 3);
	assert_text(&f.events[6], EVENTLOG_LOADER, "", 0);
	assert_int_equal(f.unexplained, 0);
}

static void test_real_facts(void **state)
{
	static const struct {
		const char *path;
		uint16_t alg;
		enum eventlog_answer secure_boot;
		uint32_t separators;
		bool exited;
	} logs[] = {
		{"boots/ovmf-ima-sig/binary_bios_measurements", TPM2_SHA256, EVENTLOG_NO, 0xff,
		 true},
		{"boots/ovmf-boot-order/binary_bios_measurements", TPM2_SHA256, EVENTLOG_NO, 0xff,
		 true},
		{"boots/ovmf-systemd-boot/binary_bios_measurements", TPM2_SHA256, EVENTLOG_NO, 0xff,
		 true},
		{"boots/ovmf-shim-grub/binary_bios_measurements", TPM2_SHA256, EVENTLOG_YES, 0xff,
		 true},
		{"boots/seabios-ima-ng/binary_bios_measurements", TPM2_SHA256, EVENTLOG_UNKNOWN,
		 0xff, false},
		{"eventlogs/ubuntu-grub", TPM2_SHA256, EVENTLOG_NO, 0xff, true},
		{"eventlogs/windows-sha1", TPM2_SHA1, EVENTLOG_YES, 1 << 7, false},
		{"eventlogs/secure-boot-cut", TPM2_SHA256, EVENTLOG_YES, 1 << 7, false},
		{"eventlogs/one-bank", TPM2_SHA256, EVENTLOG_UNKNOWN, 0xff,
		 false}, /* the variable is empty */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(logs) / sizeof(*logs); i++) {
		_cleanup_sample_ struct sample s = sample_read(logs[i].path);
		_cleanup_log_ struct eventlog *l = NULL;

		assert_int_equal(eventlog_parse(s.data, s.len, &l), 0);
		_cleanup_facts_ struct eventlog_facts f = facts_of(l, logs[i].alg);
		assert_int_equal(f.secure_boot, logs[i].secure_boot);
		assert_int_equal(f.separators, logs[i].separators);
		/* Windows has types of its own from PCR 11 on. */
		assert_int_equal(f.unexplained & 0x7ff, 0);
		assert_int_equal(f.exit_boot_services, logs[i].exited);
		assert_false(f.debugger);
	}
}

/* What systemd-boot and its stub measured of a unified kernel image: sections as such, the line as UTF-16. */
static void test_real_line(void **state)
{
	static const char *const lines[] = {"console=ttyS0 *"}, *const others[] = {
									"console=tty1 *"};
	_cleanup_sample_ struct sample s =
		sample_read("boots/ovmf-systemd-boot/binary_bios_measurements");
	struct eventlog_rule rule = {.pcrs = 1 << 12, .texts = lines, .texts_count = 1, .least = 1};
	_cleanup_log_ struct eventlog *l = NULL;
	size_t which;

	(void)state;
	assert_int_equal(eventlog_parse(s.data, s.len, &l), 0);
	_cleanup_facts_ struct eventlog_facts f = facts_of(l, TPM2_SHA256);
	assert_int_equal(eventlog_check(l, &f, 0, &rule, 1, &which), EVENTLOG_FOUND_NOTHING);
	rule.texts = others;
	assert_int_equal(eventlog_check(l, &f, 0, &rule, 1, &which), EVENTLOG_FOUND_RULE);
}

/* What GRUB measured: the line without its "kernel_cmdline: ", and without the NUL. */
static void test_real_grub(void **state)
{
	static const char *const lines[] = {"/vmlinuz console=ttyS0 *"},
				 *const tagged[] = {"kernel_cmdline: *"};
	_cleanup_sample_ struct sample s =
		sample_read("boots/ovmf-shim-grub/binary_bios_measurements");
	struct eventlog_rule rule = {.pcrs = 1 << 8, .texts = lines, .texts_count = 1, .least = 1};
	_cleanup_log_ struct eventlog *l = NULL;
	size_t which;

	(void)state;
	assert_int_equal(eventlog_parse(s.data, s.len, &l), 0);
	_cleanup_facts_ struct eventlog_facts f = facts_of(l, TPM2_SHA256);
	assert_int_equal(eventlog_check(l, &f, 0, &rule, 1, &which), EVENTLOG_FOUND_NOTHING);
	rule.texts = tagged;
	assert_int_equal(eventlog_check(l, &f, 0, &rule, 1, &which), EVENTLOG_FOUND_RULE);
}

static void test_no_bank(void **state)
{
	const struct builder b = boot();
	_cleanup_log_ struct eventlog *l = parsed(&b);
	struct eventlog_facts f = {.alg = 7};

	(void)state;
	assert_int_equal(eventlog_read(l, TPM2_SHA384, ~0u, &f), -ENOENT);
	assert_int_equal(eventlog_read(l, STRANGE_ALG, ~0u, &f), -EINVAL);
	assert_int_equal(f.alg, 7);
}

static enum eventlog_finding check(const struct builder *b, uint32_t closed,
				   const struct eventlog_rule *rules, size_t count,
				   size_t *ret_which)
{
	_cleanup_log_ struct eventlog *l = parsed(b);
	_cleanup_facts_ struct eventlog_facts f = facts_of(l, TPM2_SHA256);

	*ret_which = SIZE_MAX;
	return eventlog_check(l, &f, closed, rules, count, ret_which);
}

static void test_rules(void **state)
{
	static const char *const line[] = {"/vmlinuz *"}, *const wide[] = {"ro"},
				 *const other[] = {"rw", "r", "ro *"};
	uint8_t loader[32];
	struct eventlog_rule rules[] = {
		{.pcrs = 1 << 4, .digests = loader, .digests_count = 1, .least = 1},
		{.pcrs = 1 << 8, .texts = line, .texts_count = 1, .least = 1},
		{.pcrs = 1 << 12, .texts = wide, .texts_count = 1, .least = 1},
	};
	struct builder b = boot();
	size_t which;

	(void)state;
	hash_of(TPM2_SHA256, "loader", 6, loader);
	assert_int_equal(check(&b, 1 << 4 | 1 << 8 | 1 << 12, rules, 3, &which),
			 EVENTLOG_FOUND_NOTHING);
	assert_int_equal(which, SIZE_MAX);
	/* PCR 9 has an event that no rule knows. */
	assert_int_equal(check(&b, 1 << 9, rules, 3, &which), EVENTLOG_FOUND_EVENT);
	assert_int_equal(which, 16);
	rules[2].texts = other;
	rules[2].texts_count = 3;
	assert_int_equal(check(&b, 0, rules, 3, &which), EVENTLOG_FOUND_RULE);
	assert_int_equal(which, 2);
	rules[0].least = 2;
	assert_int_equal(check(&b, 0, rules, 3, &which), EVENTLOG_FOUND_RULE);
	assert_int_equal(which, 0);
	rules[0].least = 1;
	rules[0].early = true;
	assert_int_equal(check(&b, 0, rules, 1, &which), EVENTLOG_FOUND_RULE);
	rules[0].early = false;
	/* An image that nobody knows, and what it may be called */
	for (uint32_t i = 0; i < 4; i++) {
		static const uint32_t types[] = {EV_EFI_BOOT_SERVICES_APPLICATION, EV_EFI_ACTION,
						 EV_POST_CODE, 0xdead};

		b = boot();
		put_text(&b, 4, types[i], "evil");
		assert_int_equal(check(&b, 1 << 4, rules, 2, &which),
				 i == 3 ? EVENTLOG_FOUND_PCR : EVENTLOG_FOUND_EVENT);
		assert_int_equal(which, i == 3 ? 4 : 20);
	}
	b = boot();
	put_separator(&b, 4);
	assert_int_equal(check(&b, 1 << 4, rules, 2, &which), EVENTLOG_FOUND_PCR);
	assert_int_equal(check(&b, 1 << 9, rules, 2, &which), EVENTLOG_FOUND_EVENT);
	/* A file's name in the log is nobody's word. */
	rules[1] =
		(struct eventlog_rule){.pcrs = 1 << 9, .texts = line, .texts_count = 1, .least = 1};
	assert_int_equal(check(&b, 0, rules, 2, &which), EVENTLOG_FOUND_RULE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_honest),
		cmocka_unit_test(test_secure_boot),
		cmocka_unit_test(test_secure_boot_forged),
		cmocka_unit_test(test_separators),
		cmocka_unit_test(test_debugger),
		cmocka_unit_test(test_variables),
		cmocka_unit_test(test_loaders),
		cmocka_unit_test(test_real_facts),
		cmocka_unit_test(test_real_line),
		cmocka_unit_test(test_real_grub),
		cmocka_unit_test(test_no_bank),
		cmocka_unit_test(test_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
