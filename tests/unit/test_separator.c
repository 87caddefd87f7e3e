/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Separators of an event log: what may be one by its digest, and what is one. Real firmware measures
 * events with a separator's bytes, and who owns the running system can call an event what he likes,
 * and extend more behind it.
 */
#include "attest/eventlog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "eventlog_builder.h"

DEFINE_CLEANUP(struct eventlog *, eventlog_free)
#define _cleanup_log_ _cleanup_(eventlog_freep)
#define _cleanup_facts_ _cleanup_(eventlog_facts_clear)

static const uint8_t ones[4] = {0xff, 0xff, 0xff, 0xff};

static struct eventlog_facts facts_of(const struct eventlog *l, uint32_t pcrs)
{
	struct eventlog_facts f;

	memset(&f, 0xa5, sizeof(f));
	assert_int_equal(eventlog_read(l, TPM2_SHA256, pcrs, &f), 0);
	return f;
}

static uint32_t separators(const struct builder *b)
{
	_cleanup_log_ struct eventlog *l = parsed(b);
	_cleanup_facts_ struct eventlog_facts f = facts_of(l, ~0u);

	return f.separators;
}

/* Of EDK II, which measures the content of a boot variable and logs all of it */
static void put_boot_order(struct builder *b, uint32_t type, const void *order, size_t len)
{
	uint8_t data[128];
	const size_t n = variable("BootOrder", order, len, data);

	put_event(b, 1, type, order, len, data, n);
}

static struct builder begun(void)
{
	struct builder b = {};

	put_header(&b);
	put_separator(&b, 7);
	return b;
}

/* Logs of real firmware: what has a separator's bytes, and is none. */
static void test_real(void **state)
{
	(void)state;
	for (int how = 0; how < 7; how++) {
		const uint32_t pcr = how < 3 ? 1 : 0;
		struct builder b = begun();

		if (how == 0) /* a confidential VM, and many a one of OVMF */
			put_boot_order(&b, EV_EFI_VARIABLE_BOOT, "\1\0\0", 4);
		if (how == 1)
			put_boot_order(&b, EV_EFI_VARIABLE_BOOT2, "\0\0\0", 4);
		if (how == 2) /* a configuration word */
			put_data(&b, 1, EV_PLATFORM_CONFIG_FLAGS, "\1\0\0", 4);
		if (how == 3) /* a vendor's, of which the log has a description */
			put_event(&b, 0, EV_S_CRTM_CONTENTS, "\0\0\0", 4, "FIT record 0x2d", 15);
		if (how == 4)
			put_data(&b, 0, EV_POST_CODE, "\0\0\0", 4);
		if (how == 5)
			put_data(&b, 0, EV_ACTION, ones, 4);
		if (how == 6)
			put_data(&b, 0, EV_EVENT_TAG, "\0\0\0", 4);
		assert_int_equal(separators(&b), 1 << 7);
		put_separator(&b, pcr);
		assert_int_equal(separators(&b), 1 << 7 | 1 << pcr);
		put_separator(&b, pcr);
		assert_int_equal(separators(&b), 1 << 7);
	}
}

/* What could not have such a digest is a separator under another name. */
static void test_renamed(void **state)
{
	uint8_t on[64];
	const size_t len = variable("SecureBoot", "\1", 1, on);

	(void)state;
	for (int how = 0; how < 6; how++) {
		struct builder b = begun();

		if (how == 0)
			put_boot_order(&b, EV_EFI_VARIABLE_DRIVER_CONFIG, "\1\0\0", 4);
		if (how == 1) /* of other content */
			put_event(&b, 1, EV_EFI_VARIABLE_BOOT, "\0\0\0", 4, on, len);
		if (how == 2) /* no variable at all */
			put_data(&b, 1, EV_EFI_VARIABLE_BOOT, "\1\0\0", 4);
		if (how == 3) /* a string that it is not of */
			put_event(&b, 1, EV_EFI_ACTION, "\0\0\0", 4, "Calling INT 19h", 15);
		if (how == 4) /* of no type */
			put_data(&b, 1, 0xdead, "\0\0\0", 4);
		if (how == 5) /* of other data */
			put_event(&b, 1, EV_SEPARATOR, "\0\0\0", 4, ones, 4);
		put_separator(&b, 1);
		assert_int_equal(separators(&b), 1 << 7);
	}
}

/* In PCR 7 it is one, whatever it is called. */
static void test_secure_boot(void **state)
{
	static const uint32_t types[] = {
		EV_EFI_VARIABLE_BOOT, EV_S_CRTM_CONTENTS, EV_POST_CODE, EV_EFI_ACTION, EV_IPL,
		EV_EVENT_TAG};
	static const char *const bytes[] = {"\0\0\0", "\1\0\0", "\xff\xff\xff\xff"};

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		for (size_t k = 0; k < 3; k++) {
			struct builder b = {};

			put_header(&b);
			put_data(&b, 7, types[i], bytes[k], 4);
			put_variable(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", "\1", 1);
			put_separator(&b, 7);
			_cleanup_log_ struct eventlog *l = parsed(&b);
			_cleanup_facts_ struct eventlog_facts f = facts_of(l, ~0u);

			assert_int_equal(f.separators, 0);
			assert_int_equal(f.secure_boot, EVENTLOG_UNKNOWN);
		}
}

/* Nothing is early behind what may have been the separator, be it called what it may. */
static void test_early(void **state)
{
	static const char *const good[] = {"good"};
	const struct eventlog_rule rule = {
		.pcrs = 1, .texts = good, .texts_count = 1, .least = 1, .early = true};

	(void)state;
	for (int how = 0; how < 8; how++) {
		struct builder b = begun();
		size_t which;

		put_text(&b, 0, EV_S_CRTM_VERSION, how ? "evil" : "good");
		if (how == 1) /* the separator that was measured */
			put_separator(&b, 0);
		if (how == 2)
			put_data(&b, 0, EV_POST_CODE, "\0\0\0", 4);
		if (how == 3)
			put_event(&b, 0, EV_S_CRTM_CONTENTS, "\0\0\0", 4, "record", 6);
		if (how == 4)
			put_data(&b, 0, EV_POST_CODE, ones, 4);
		if (how == 5) /* an error was reported */
			put_data(&b, 0, EV_POST_CODE, "\1\0\0", 4);
		if (how == 6)
			put_data(&b, 0, 0xdead, "\0\0\0", 4);
		if (how == 7)
			put_event(&b, 0, EV_EFI_BOOT_SERVICES_DRIVER, "\0\0\0", 4, "", 0);
		if (how) /* and what was extended behind it */
			put_text(&b, 0, EV_S_CRTM_VERSION, "good");
		if (how != 1)
			put_separator(&b, 0);
		_cleanup_log_ struct eventlog *l = parsed(&b);
		_cleanup_facts_ struct eventlog_facts f = facts_of(l, ~0u);

		assert_int_equal(eventlog_check(l, &f, 0, &rule, 1, &which),
				 how ? EVENTLOG_FOUND_RULE : EVENTLOG_FOUND_NOTHING);
	}
}

/* An error is reported in all of PCRs 0-7: not seen in PCR 7, there was none. */
static void test_error(void **state)
{
	(void)state;
	for (int how = 0; how < 4; how++) {
		struct builder b = {};

		put_header(&b);
		if (how == 0)
			put_separator(&b, 7);
		if (how == 1)
			put_data(&b, 7, EV_SEPARATOR, "\1\0\0", 4);
		if (how == 2) /* and renamed */
			put_data(&b, 7, EV_POST_CODE, "\1\0\0", 4);
		if (how == 1 || how == 2)
			put_separator(&b, 7);
		put_boot_order(&b, EV_EFI_VARIABLE_BOOT, "\1\0\0", 4);
		put_separator(&b, 1);
		put_separator(&b, 2);
		assert_int_equal(separators(&b), how ? 1 << 2 : 1 << 7 | 1 << 1 | 1 << 2);
	}
	/* Of PCR 7 nothing is known by the log: it doesn't lead to the quoted value. */
	struct builder b = begun();

	put_boot_order(&b, EV_EFI_VARIABLE_BOOT, "\1\0\0", 4);
	put_separator(&b, 1);
	_cleanup_log_ struct eventlog *l = parsed(&b);
	_cleanup_facts_ struct eventlog_facts f = facts_of(l, ~(1u << 7));

	assert_int_equal(f.separators, 0);
}

/* In a closed PCR it is an event like others, that the policy has to name. */
static void test_closed(void **state)
{
	uint8_t zeros[32];
	const struct eventlog_rule rule = {.pcrs = 1, .digests = zeros, .digests_count = 1};
	struct builder b = begun();
	size_t which;

	(void)state;
	put_data(&b, 0, EV_POST_CODE, "\0\0\0", 4);
	put_separator(&b, 0);
	_cleanup_log_ struct eventlog *l = parsed(&b);
	_cleanup_facts_ struct eventlog_facts f = facts_of(l, ~0u);

	assert_int_equal(hash_of(TPM2_SHA256, "\0\0\0", 4, zeros), 0);
	assert_int_equal(eventlog_check(l, &f, 1, NULL, 0, &which), EVENTLOG_FOUND_EVENT);
	assert_int_equal(which, 1);
	assert_int_equal(eventlog_check(l, &f, 1, &rule, 1, &which), EVENTLOG_FOUND_NOTHING);
}

/* Beside a separator: what devices are authenticated by stands in PCR 7, partitions of old disks in 5. */
static void test_types(void **state)
{
	struct builder b = {};

	(void)state;
	put_header(&b);
	put_variable(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", "\1", 1);
	put_variable(&b, 7, EV_EFI_SPDM_DEVICE_POLICY, "devdb", "keys", 4);
	put_separator(&b, 7);
	put_variable(&b, 7, EV_EFI_SPDM_DEVICE_AUTHORITY, "devdb", "key", 3);
	put_event(&b, 5, EV_IPL_PARTITION_DATA, "the partitions", 14, "", 0);
	put_separator(&b, 5);
	_cleanup_log_ struct eventlog *l = parsed(&b);
	_cleanup_facts_ struct eventlog_facts f = facts_of(l, ~0u);

	assert_int_equal(f.unexplained, 0);
	assert_int_equal(f.secure_boot, EVENTLOG_YES);
	assert_int_equal(f.separators, 1 << 7 | 1 << 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_real),        cmocka_unit_test(test_renamed),
		cmocka_unit_test(test_secure_boot), cmocka_unit_test(test_early),
		cmocka_unit_test(test_error),       cmocka_unit_test(test_closed),
		cmocka_unit_test(test_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
