/* SPDX-License-Identifier: Apache-2.0 */
/* forgery_host: forgeries of boot log, IMA list and what the host says of itself. For test_forgery.c. */
#pragma once

#include "forgery.h"

/* ---- host ---- */

static void host_claims_other(void)
{
	set(f.host_claims, "kernel", json_string("5.0"));
	f.keep_host_digest = true;
}
static void host_id_other(void)
{
	set(f.host_claims, "host_id", json_string("00000000000000000000000000000000"));
}
static void ak_claimed_other(void)
{
	f.keep_ak = true;
}

static void zero_bank(void)
{
	pcr_bank_init(&f.bank, TPM2_SHA256);
}

static void boot_log_gone(void)
{
	f.no_boot_log = true;
}
static void boot_log_empty(void)
{
	f.boot.len = 0;
}
static void boot_log_sha1(void)
{
	struct bytes b = {};

	add_be(&b, 0, 4);
	add_be(&b, 0x08000000, 4); /* EV_S_CRTM_VERSION, little-endian */
	b.len += 20;
	add_be(&b, 0, 4);
	memcpy(f.boot.data, b.data, b.len);
	f.boot.len = b.len;
}

static void boot_event_removed(void)
{
	f.boot.len = f.boot.last;
}

static void boot_event_added(void)
{
	put_text(&f.boot, 4, EV_EFI_ACTION, "Calling EFI Application from Boot Option");
}

/* What EV_NO_ACTION does not extend. */
static void boot_event_relabelled(void)
{
	const uint32_t type = htole32(EV_NO_ACTION);

	memcpy(f.boot.data + f.boot.last + 4, &type, 4);
}

static void boot_reordered(void)
{
	struct builder other = {};
	const uint8_t one = 1;

	put_header(&other);
	for (uint32_t pcr = 0; pcr < 8; pcr++)
		put_separator(&other, pcr);
	put_variable(&other, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", &one, 1);
	f.boot = other;
}

static void rebuild(const struct builder *b)
{
	f.boot = *b;
	f.ima = (struct ima_builder){};
	pcr_bank_init(&f.ima.bank, TPM2_SHA256);
	forge_aggregate(&f);
	ima_file(&f.ima, 0xb1, "/usr/bin/true");
}

static void secure_boot_off(void)
{
	struct builder b = {};

	forge_boot_log(&b, 0);
	rebuild(&b);
}

static void debugger(void)
{
	struct builder b = {};

	put_header(&b);
	put_text(&b, 7, EV_EFI_ACTION, "UEFI Debug Mode");
	b.last = b.len;
	{
		const uint8_t one = 1;

		put_variable(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", &one, 1);
		for (uint32_t pcr = 0; pcr < 8; pcr++)
			put_separator(&b, pcr);
	}
	rebuild(&b);
}

static void dma(void)
{
	const uint8_t one = 1;
	struct builder b = {};

	put_header(&b);
	put_text(&b, 7, EV_EFI_ACTION, "DMA Protection Disabled");
	put_variable(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", &one, 1);
	for (uint32_t pcr = 0; pcr < 8; pcr++)
		put_separator(&b, pcr);
	rebuild(&b);
}

/* Secure Boot said to be on behind the separator, where anybody can say so. */
static void secure_boot_late(void)
{
	const uint8_t off = 0, on = 1;
	struct builder b = {};

	put_header(&b);
	put_variable(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", &off, 1);
	for (uint32_t pcr = 0; pcr < 8; pcr++)
		put_separator(&b, pcr);
	put_variable(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", &on, 1);
	rebuild(&b);
}

static void rule_of(size_t i, uint32_t pcrs, const char *text, size_t least)
{
	static const char *texts[4];

	texts[i] = text;
	f.rules[i] =
		(struct affiant_event_rule){.pcrs = pcrs, .texts = {&texts[i], 1}, .least = least};
	f.policy.boot.rules = f.rules;
	f.policy.boot.rules_count = i + 1;
}

static void separator_twice(void)
{
	struct builder b = {};

	forge_boot_log(&b, 1);
	put_separator(&b, 2);
	rebuild(&b);
	rule_of(0, 1 << 2, "*", 0); /* the policy rests on it */
}

static void rule_unmet(void)
{
	rule_of(0, 1 << 0, "firmware 2", 1);
}

static void closed_pcr(void)
{
	rule_of(0, 1 << 8, "ro quiet", 0);
	f.policy.boot.closed = 1 << 8;
}

static void kernel_is(const char *measured)
{
	assert_int_equal(sha256_of(measured, strlen(measured), (struct sha256 *)&f.digests[15]), 0);
	f.policy.boot.kernels = (struct affiant_digests){.list = &f.digests[15], .count = 1};
}

static void kernel_unknown(void)
{
	kernel_is("another kernel");
}
/* Known, and its command line says lockdown, but in a PCR in which anything may stand. */
static void kernel_replaceable(void)
{
	kernel_is("the kernel");
	f.policy.boot.closed = 1 << 4;
}
/* Lockdown is shown, by a loader that may be anybody's. */
static void loader_unknown(void)
{
	kernel_is("the kernel");
	rule_of(0, 1 << 8, "ro quiet lockdown=integrity", 1);
	f.policy.boot.closed = 1 << 8;
}

/* Firmware, the kernel, and its command line in PCR 8; NULL: none was measured there. */
static void started_with(const char *line)
{
	struct builder b = {};

	put_header(&b);
	put_text(&b, 0, EV_S_CRTM_VERSION, "firmware 1");
	put_variable(&b, 7, EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", "\1", 1);
	for (uint32_t pcr = 0; pcr < 8; pcr++)
		put_separator(&b, pcr);
	put_event(&b, 4, EV_EFI_BOOT_SERVICES_APPLICATION, "the kernel", 10, "path", 4);
	if (line)
		put_text(&b, 8, EV_IPL, line);
	rebuild(&b);
	ima_add(&f.ima, 10, "ima-ng", f.files[1].digest, "/usr/sbin/affiantd", false);
}

/* Lockdown is left out behind the rule's own words. */
static void lockdown_undone(void)
{
	started_with("ro lockdown=integrity quiet lsm=capability");
	kernel_is("the kernel");
	rule_of(0, 1 << 8, "ro lockdown=integrity *", 1);
	rule_of(1, 1 << 4, "the kernel", 0);
	f.policy.boot.closed = 1 << 8 | 1 << 4;
}

/* Behind a "--" it is for init, and a rule that ends with '*' lets that pass. */
static void lockdown_for_init(void)
{
	started_with("ro quiet -- lockdown=integrity");
	kernel_is("the kernel");
	rule_of(0, 1 << 8, "ro quiet*", 1);
	f.policy.boot.closed = 1 << 4 | 1 << 8;
}

/* ---- what nobody vouches for ---- */

/* What the rules and the kernel need stands in the log, in PCRs that were left out of the quote. */
static void unquoted_closed(void)
{
	rule_of(0, 1 << 8, "ro quiet*", 1);
	f.policy.boot.closed = 1 << 8;
	f.pcrs = FORGE_PCRS & ~(3u << 8);
}
static void unquoted_rule(void)
{
	unquoted_closed();
	f.policy.boot.closed = 0;
	f.policy.ima.not_required = true;
}
static void unquoted_kernel(void)
{
	put_text(&f.boot, 9, EV_IPL, "a known kernel");
	kernel_is("a known kernel");
	f.policy.boot.kernels_lock_down = true;
	f.policy.ima.not_required = true;
	f.pcrs = FORGE_PCRS & ~(3u << 8);
}

/* A PCR that a value explains, whatever it is, and a log that says more of it. */
static void any_value(uint32_t pcr)
{
	static struct affiant_pcr_rule value;

	value = (struct affiant_pcr_rule){.pcr = pcr, .values = {.any = true}};
	f.policy.boot.values = &value;
	f.policy.boot.values_count = 1;
}
static void valued_kernel(void)
{
	put_text(&f.boot, 4, EV_EFI_BOOT_SERVICES_APPLICATION, "a known kernel");
	kernel_is("a known kernel");
	f.policy.boot.kernels_lock_down = true;
	any_value(4);
}
static void valued_secure_boot(void)
{
	const struct builder told = f.boot;

	secure_boot_off();
	f.boot = told;
	any_value(7);
}
static void valued_debugger(void)
{
	valued_secure_boot();
	f.policy.boot.allow_secure_boot_off = true;
}
static void valued_closed(void)
{
	rule_of(0, 1 << 8, "ro quiet*", 1);
	f.policy.boot.closed = 1 << 8;
	put_text(&f.boot, 8, EV_IPL, "ro quiet");
	any_value(8);
}

/* Measured by a boot loader, and told as systemd's. */
static void told_as_systemd(uint32_t pcr)
{
	static const char measured[] = "another kernel";
	char hex[2 * SHA256_SIZE + 1], entry[256];
	struct sha256 digest;

	f.pcrs |= 1u << pcr;
	f.selections_count = 0;
	rule_of(0, 1u << pcr, "the kernel", 0);
	assert_int_equal(sha256_of(measured, strlen(measured), &digest), 0);
	assert_int_equal(pcr_extend(&f.bank, pcr, (const uint8_t *)&digest), 0);
	forge_again(&f, true);
	hex_encode(&digest, sizeof(digest), hex);
	snprintf(entry, sizeof(entry),
		 "\x1e{\"pcr\":%u,\"digests\":[{\"hashAlg\":\"sha256\",\"digest\":\"%s\"}]}\n", pcr,
		 hex);
	put_member(f.host, "systemd_log", CMW_JSON_SEQ, entry, strlen(entry));
}
static void systemd_firmware(void)
{
	told_as_systemd(4);
}
static void systemd_closed(void)
{
	told_as_systemd(11);
	f.policy.boot.closed = 1 << 11;
}

/* ---- IMA ---- */

static void ima_gone(void)
{
	f.no_ima_log = true;
}
static void ima_truncated(void)
{
	f.ima_cut = 40;
}
static void ima_entry_added(void)
{
	uint8_t quoted[TPM2_DIGEST_MAX];

	memcpy(quoted, f.ima.bank.values[10], sizeof(quoted));
	ima_file(&f.ima, 0xb1, "/usr/bin/id");
	f.ima.data[40] ^= 1; /* and the first one's digest is another */
}
static void ima_reordered(void)
{
	struct ima_builder b = {};

	pcr_bank_init(&b.bank, TPM2_SHA256);
	ima_file(&b, 0xb1, "/usr/bin/true");
	memcpy(f.ima.data + f.ima.len, b.data, b.len);
	memmove(f.ima.data + b.len, f.ima.data, f.ima.len);
	memcpy(f.ima.data, b.data, b.len);
}
static void ima_first_removed(void)
{
	size_t used;
	uint64_t n;
	struct ima_state s;
	const uint16_t alg = TPM2_SHA256;

	assert_int_equal(ima_init(&s, &alg, 1), 0);
	assert_int_equal(ima_skip(&s, f.ima.data, f.ima.len, 1, &n, &used), 0);
	f.ima_skip = used;
}
static void ima_violated(void)
{
	ima_add(&f.ima, 10, "ima-ng", f.files[0].digest, "/usr/bin/true", true);
}
static void ima_unlisted(void)
{
	ima_file(&f.ima, 0x66, "/usr/bin/true");
}
static void ima_elsewhere(void)
{
	ima_file(&f.ima, 0xb1, "/tmp/true");
}
static void ima_template(void)
{
	ima_add(&f.ima, 10, "ima-new", f.files[0].digest, "/usr/bin/true", false);
}
static void ima_stray(void)
{
	ima_add(&f.ima, 11, "ima-ng", f.files[0].digest, "/usr/bin/true", false);
	ima_file(&f.ima, 0xb1, "/usr/bin/id");
}
static void ima_kexec(void)
{
	ima_add(&f.ima, 10, "ima-ng", f.files[0].digest, "boot_aggregate", false);
}

static void ima_anew(void)
{
	f.ima = (struct ima_builder){};
	pcr_bank_init(&f.ima.bank, TPM2_SHA256);
}
static void ima_other_boot(void)
{
	ima_anew();
	ima_add(&f.ima, 10, "ima-ng", f.files[0].digest, "boot_aggregate", false);
	ima_file(&f.ima, 0xb1, "/usr/bin/true");
}
static void ima_empty(void)
{
	ima_anew();
	forge_aggregate(&f);
}
static void ima_without_daemon(void)
{
	ima_empty();
	ima_file(&f.ima, 0xb1, "/usr/bin/true");
}
static void ima_padded(void)
{
	ima_anew();
	f.ima.padded = true;
	forge_aggregate(&f);
	ima_file(&f.ima, 0xb1, "/usr/bin/true");
}

/* A file of that name: on a mount that was detached it is all that IMA has of its path. */
static void ima_file_aggregate(void)
{
	ima_file(&f.ima, 0x66, "boot_aggregate");
	f.policy.boot.allow_kexec = true;
	f.policy.boot.mode = AFFIANT_BOOT_NONE;
	f.pcrs = FORGE_PCRS & ~(3u << 8);
}

/* By another format than its own an attribute that the file brought with it is its digest. */
static void ima_relabelled(void)
{
	static const char template[] = "sig|sig|d-ng";
	struct bytes e = {};
	uint8_t hash[64];

	add(&e, "\x28\0\0\0sha256:", 12);
	add(&e, f.digests[15].sha256, 32);
	add(&e, "\x0a\0\0\0/tmp/evil", 14);
	add(&e, "\x28\0\0\0sha256:", 12);
	add(&e, f.files[1].digest, 32);
	assert_int_equal(hash_of(TPM2_SHA1, e.data, e.len, hash), 0);
	ima_u32_put(&f.ima, 10);
	ima_put(&f.ima, hash, 20);
	ima_u32_put(&f.ima, strlen(template));
	ima_put(&f.ima, template, strlen(template));
	ima_u32_put(&f.ima, e.len);
	ima_put(&f.ima, e.data, e.len);
	assert_int_equal(hash_of(TPM2_SHA256, e.data, e.len, hash), 0);
	assert_int_equal(pcr_extend(&f.ima.bank, 10, hash), 0);
	f.ima.entries++;
}
