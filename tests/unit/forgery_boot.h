/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forgery_boot: boot logs of hosts that lie about their own: root can extend PCRs after the boot, and call an event of the
 * log what he likes. For test_forgery.c, behind forgery_host.h.
 */
#pragma once

#include "forgery_host.h"

/* ---- logs to order ---- */

static const uint8_t four_zeros[4], four_ones[4] = {0xff, 0xff, 0xff, 0xff}, an_error[4] = {1};

/* A boot of firmware 1 with Secure Boot on, up to where PCR 7 ends. */
static struct builder booting(void)
{
	const uint8_t on = 1;
	struct builder b = {};

	put_header(&b);
	put_text(&b, 0, EV_S_CRTM_VERSION, "firmware 1");
	put_variable(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", &on, 1);
	return b;
}

/* Its end, without the separators of some PCRs (bit n: PCR n). */
static void booted(struct builder *b, uint32_t without)
{
	for (uint32_t pcr = 0; pcr < 8; pcr++)
		if (!(without & 1u << pcr))
			put_separator(b, pcr);
	put_event(b, 4, EV_EFI_BOOT_SERVICES_APPLICATION, "the kernel", 10, "path", 4);
	put_text(b, 8, EV_IPL, "ro quiet lockdown=integrity");
	rebuild(b);
}

/* The policy rests on PCR @pcr, and asks nothing of it. */
static void rests_on(uint32_t pcr)
{
	rule_of(0, 1u << pcr, "*", 0);
}

/* ---- separators ---- */

static void separator_missing(void)
{
	struct builder b = booting();

	put_text(&b, 3, EV_POST_CODE, "a card");
	booted(&b, 1 << 3);
	rests_on(3);
}
static void separator_missing_closed(void)
{
	struct builder b = booting();

	put_text(&b, 4, EV_EFI_ACTION, "Calling EFI Application from Boot Option");
	booted(&b, 1 << 4);
	f.policy.boot.closed = 1 << 4;
}
static void separator_missing_for_kernel(void)
{
	struct builder b = booting();

	booted(&b, 1 << 4);
	kernel_is("the kernel");
}
static void separator_of_other_data(void)
{
	struct builder b = booting();

	put_event(&b, 5, EV_SEPARATOR, four_zeros, 4, four_ones, 4);
	booted(&b, 1 << 5);
	rests_on(5);
}
/* A digest that is no separator's, so that nothing is said to be behind one. */
static void separator_of_other_digest(void)
{
	struct builder b = booting();

	put_event(&b, 0, EV_SEPARATOR, "evil firmware", 13, four_zeros, 4);
	booted(&b, 0);
	rests_on(0);
}
static void separator_of_seven_twice(void)
{
	struct builder b = booting();

	booted(&b, 0);
	put_separator(&b, 7);
	rebuild(&b);
}
/* Off was measured. Then the separator, which is renamed; on; and another separator. */
static void renamed_in_seven(uint32_t type, const uint8_t bytes[4])
{
	const uint8_t off = 0, on = 1;
	struct builder b = {};

	put_header(&b);
	put_text(&b, 0, EV_S_CRTM_VERSION, "firmware 1");
	put_event(&b, 7, EV_NO_ACTION, "", 0, &off, 1);
	put_data(&b, 7, type, bytes, 4);
	put_variable(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", &on, 1);
	booted(&b, 0);
}
static void seven_as_post_code(void)
{
	renamed_in_seven(EV_POST_CODE, four_zeros);
}
static void seven_as_variable(void)
{
	renamed_in_seven(EV_EFI_VARIABLE_BOOT, four_zeros);
}
static void seven_as_action(void)
{
	renamed_in_seven(EV_EFI_ACTION, four_ones);
}
static void seven_as_record(void)
{
	renamed_in_seven(EV_S_CRTM_CONTENTS, an_error);
}

/*
 * Firmware could not measure, said so in all PCRs, and started what it did. The loader extended what
 * ought to be there.
 */
static void failed_boot(bool valued)
{
	const uint8_t on = 1;
	uint8_t order[64];
	const size_t len = variable("BootOrder", an_error, 4, order);
	struct builder b = {};

	put_header(&b);
	for (uint32_t pcr = 0; pcr < 8; pcr++)
		if (pcr == 1)
			put_event(&b, 1, EV_EFI_VARIABLE_BOOT, an_error, 4, order, len);
		else
			put_data(&b, pcr, EV_POST_CODE, an_error, 4);
	put_text(&b, 1, EV_PLATFORM_CONFIG_FLAGS, "as it ought to be");
	put_variable(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", &on, 1);
	booted(&b, 0);
	rests_on(1);
	if (!valued)
		return;
	/* PCR 7 is explained by its value, so that the log says nothing of it. */
	put_text(&f.boot, 7, EV_EFI_VARIABLE_AUTHORITY, "something else");
	any_value(7);
	f.policy.boot.allow_secure_boot_off = f.policy.boot.allow_debugger =
		f.policy.boot.allow_dma_unprotected = true;
}
static void error_as_boot_order(void)
{
	failed_boot(false);
}
static void error_as_boot_order_valued(void)
{
	failed_boot(true);
}

/* Other firmware was measured; behind the separator, whatever it is called, the one that is known. */
static void late_firmware(uint32_t type, const uint8_t bytes[4], const char *data, size_t len)
{
	const uint8_t on = 1;
	struct builder b = {};

	put_header(&b);
	put_text(&b, 0, EV_S_CRTM_VERSION, "evil firmware");
	put_event(&b, 0, type, bytes, 4, data, len);
	put_text(&b, 0, EV_S_CRTM_VERSION, "firmware 1");
	put_variable(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", &on, 1);
	booted(&b, 0);
	rule_of(0, 1 << 0, "firmware 1", 1);
	f.rules[0].early = true;
}
static void late_behind_post_code(void)
{
	late_firmware(EV_POST_CODE, four_zeros, (const char *)four_zeros, 4);
}
static void late_behind_record(void)
{
	late_firmware(EV_S_CRTM_CONTENTS, four_zeros, "FIT record", 10);
}
static void late_behind_ones(void)
{
	late_firmware(EV_EFI_PLATFORM_FIRMWARE_BLOB2, four_ones, "", 0);
}
static void late_behind_error(void)
{
	late_firmware(EV_NONHOST_CONFIG, an_error, (const char *)an_error, 4);
}

/* In a closed PCR four zeros are an event that the policy has to name. */
static void zeros_closed(void)
{
	struct builder b = booting();

	put_data(&b, 0, EV_POST_CODE, four_zeros, 4);
	booted(&b, 0);
	rule_of(0, 1 << 0, "firmware 1", 1);
	f.policy.boot.closed = 1 << 0;
}

/* ---- an image that nobody may see ---- */

static void evil_image(uint32_t pcr, uint32_t type, const char *data)
{
	put_event(&f.boot, 4, type, "evil", 4, data, strlen(data));
	rebuild(&f.boot);
	if (pcr != 4)
		memcpy(f.boot.data + f.boot.last, &(uint32_t){htole32(pcr)}, 4);
	f.policy.boot.closed = 1 << 4;
	rule_of(0, 1 << 4, "*", 0);
	f.rules[0].texts.count = 0;
	f.rules[0].digests = (struct affiant_digests){.list = &f.digests[14], .count = 1};
	assert_int_equal(sha256_of("the kernel", 10, (struct sha256 *)&f.digests[14]), 0);
}
static void image_as_separator(void)
{
	evil_image(4, EV_SEPARATOR, "");
}
static void image_as_action(void)
{
	evil_image(4, EV_EFI_ACTION, "Calling EFI Application from Boot Option");
}
static void image_as_post_code(void)
{
	evil_image(4, EV_POST_CODE, "evil");
}
static void image_as_partition(void)
{
	evil_image(4, EV_IPL_PARTITION_DATA, "");
}
static void image_as_device_policy(void)
{
	evil_image(4, EV_EFI_SPDM_DEVICE_POLICY, "evil");
}
static void image_elsewhere(void)
{
	evil_image(6, EV_EFI_BOOT_SERVICES_APPLICATION, "path");
}
static void image_as_no_action(void)
{
	evil_image(4, EV_EFI_BOOT_SERVICES_APPLICATION, "path");
	memcpy(f.boot.data + f.boot.last + 4, &(uint32_t){htole32(EV_NO_ACTION)}, 4);
}
/* Behind what is left of the area, where it is read no more */
static void image_behind_padding(void)
{
	const struct builder all = f.boot;
	struct builder b = {};

	evil_image(4, EV_EFI_BOOT_SERVICES_APPLICATION, "path");
	memcpy(b.data, all.data, all.len);
	memcpy(b.data + all.len + 64, f.boot.data + all.len, f.boot.len - all.len);
	b.len = f.boot.len + 64;
	f.boot = b;
}
static void image_in_padding(void)
{
	evil_image(4, EV_EFI_BOOT_SERVICES_APPLICATION, "path");
	memset(f.boot.data + f.boot.last, 0, f.boot.len - f.boot.last);
}

/* ---- the log's own form ---- */

/* The kernel's list of what came behind ExitBootServices() told twice */
static void last_twice(void)
{
	const size_t len = f.boot.len - f.boot.last;

	memcpy(f.boot.data + f.boot.len, f.boot.data + f.boot.last, len);
	f.boot.len += len;
}
static void locality(size_t events, uint8_t value, size_t len)
{
	uint8_t data[32] = "StartupLocality";
	struct builder b = {};

	data[16] = value;
	put_header(&b);
	if (events)
		put_text(&b, 0, EV_S_CRTM_VERSION, "firmware 1");
	put_event(&b, 0, EV_NO_ACTION, "", 0, data, len);
	f.boot = b;
}
static void locality_late(void)
{
	locality(1, 3, 17);
}
static void locality_unknown(void)
{
	locality(0, 5, 17);
}
static void locality_long(void)
{
	locality(0, 3, 18);
}
/* The log begins as it did; but the TPM was started at locality 0. */
static void locality_other(void)
{
	const struct builder told = f.boot;
	struct builder b = {};
	const uint8_t data[17] = "StartupLocality\0\3";
	size_t header;

	put_header(&b);
	header = b.len;
	put_event(&b, 0, EV_NO_ACTION, "", 0, data, sizeof(data));
	put(&b, told.data + header, told.len - header);
	f.boot = b;
}
/* The first event called H-CRTM: then PCR 0 would have begun at locality 4. */
static void hcrtm_claimed(void)
{
	struct builder b = {};
	const uint32_t type = htole32(EV_EFI_HCRTM_EVENT);

	put_header(&b);
	memcpy(f.boot.data + b.len + 4, &type, 4);
}
static void bank_left_out(void)
{
	struct builder b = {};
	const uint16_t other = htole16(TPM2_SHA384), size = htole16(48);

	put_header(&b);
	memcpy(b.data + 32 + 28 + 4, &other, 2);
	memcpy(b.data + 32 + 28 + 6, &size, 2);
	f.boot = b;
}
static void bank_of_other_size(void)
{
	f.boot.data[32 + 28 + 6] = 20;
}
/* What an event begins with, behind the header: PCR, type, count, algorithm */
static uint8_t *first_event(void)
{
	struct builder b = {};

	put_header(&b);
	return f.boot.data + b.len;
}
static void digest_left_out(void)
{
	first_event()[8] = 2;
}
/* SHA-256 twice: which of them was extended? */
static void digest_twice(void)
{
	const uint16_t alg = htole16(TPM2_SHA256);

	memcpy(first_event() + 12, &alg, 2);
}
static void pcr_beyond(void)
{
	first_event()[0] = 24;
}
static void event_without_end(void)
{
	const uint32_t all = UINT32_MAX;
	struct builder b = {};

	put_header(&b);
	put_text(&b, 0, EV_S_CRTM_VERSION, "firmware 1");
	memcpy(b.data + b.len - 14, &all, 4);
	memcpy(f.boot.data, b.data, b.len);
}

/* ---- Secure Boot ---- */

static void secure_boot_is(const char *name, const void *content, size_t len)
{
	struct builder b = {};

	put_header(&b);
	put_variable(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, name, content, len);
	booted(&b, 0);
}
static void secure_boot_of_two(void)
{
	secure_boot_is("SecureBoot", "\2", 1);
}
static void secure_boot_long(void)
{
	secure_boot_is("SecureBoot", "\1\0", 2);
}
static void secure_boot_empty(void)
{
	secure_boot_is("SecureBoot", "", 0);
}
static void secure_boot_other_case(void)
{
	secure_boot_is("Secureboot", "\1", 1);
}
static void secure_boot_of_other(void)
{
	uint8_t data[64];
	const size_t len = variable("SecureBoot", "\1", 1, data);
	struct builder b = {};

	data[0] ^= 1; /* a variable that anybody may make */
	put_header(&b);
	put_data(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, data, len);
	booted(&b, 0);
}
static void secure_boot_elsewhere(void)
{
	const uint8_t on = 1;
	struct builder b = {};

	put_header(&b);
	put_variable(&b, 1, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", &on, 1);
	booted(&b, 0);
}
static void secure_boot_both(void)
{
	const uint8_t off = 0;
	struct builder b = booting();

	put_variable(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", &off, 1);
	booted(&b, 0);
}
/* Off was measured, on is written. */
static void secure_boot_written(void)
{
	uint8_t on[64], off[64];
	const size_t len = variable("SecureBoot", "\1", 1, on);
	struct builder b = {};

	variable("SecureBoot", "\0", 1, off);
	put_header(&b);
	put_event(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, off, len, on, len);
	booted(&b, 0);
}
static void debugger_late(void)
{
	put_text(&f.boot, 7, EV_EFI_ACTION, "UEFI Debug Mode");
	rebuild(&f.boot);
}
static void debugger_renamed(void)
{
	put_text(&f.boot, 7, EV_POST_CODE, "UEFI Debug Mode");
	rebuild(&f.boot);
}
static void debugger_as_policy(void)
{
	put_event(&f.boot, 7, EV_EFI_SPDM_DEVICE_POLICY, "UEFI Debug Mode", 15, "", 0);
	rebuild(&f.boot);
}

/* ---- what a loader measured ---- */

/* Another kernel was measured; its event's data say the known one. */
static void kernel_of_data(void)
{
	put_event(&f.boot, 9, EV_IPL, "evil", 4, "a known kernel", 14);
	rebuild(&f.boot);
	kernel_is("a known kernel");
	f.policy.boot.kernels_lock_down = true;
}
static void command_line(const char *measured, size_t measured_len, const char *data, size_t len,
			 const char *rule)
{
	struct builder b = {};

	forge_boot_log(&b, 1);
	b.len = b.last;
	put_event(&b, 8, EV_IPL, measured, measured_len, data, len);
	rebuild(&b);
	rule_of(0, 1 << 8, rule, 1);
}
static void line_not_hashed(void)
{
	command_line("init=/evil", 10, "ro quiet", 8, "ro quiet");
}
/* All of it was hashed: the colon is none of GRUB's. */
static void line_behind_colon(void)
{
	command_line("init=/evil: ro quiet", 20, "init=/evil: ro quiet", 20, "ro quiet");
}
static void line_behind_nul(void)
{
	command_line("ro quiet\0init=/evil", 19, "ro quiet\0init=/evil", 19, "ro quiet");
}
static void line_beyond_ascii(void)
{
	command_line("r\0o\1", 4, "r\0o\1", 4, "ro");
}
static void line_longer(void)
{
	command_line("ro quiet init=/evil", 19, "ro quiet init=/evil", 19, "ro quiet");
}
static void line_in_other_pcr(void)
{
	put_text(&f.boot, 9, EV_IPL, "ro");
	rebuild(&f.boot);
	rule_of(0, 1 << 8, "ro", 1);
}
