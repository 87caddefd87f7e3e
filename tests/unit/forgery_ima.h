/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forgery_ima: IMA lists of hosts that lie about their own: what was extended is told as something else. For
 * test_forgery.c, behind forgery_host.h.
 */
#pragma once

#include "forgery_host.h"

/* ---- entries to order ---- */

static void field(struct bytes *e, const void *data, size_t len)
{
	const uint32_t size = htole32(len);

	add(e, &size, 4);
	add(e, data, len);
}

/* d-ng: "alg:" NUL digest */
static void digest_field(struct bytes *e, const char *alg, const uint8_t *digest, size_t len)
{
	struct bytes d = {};

	add(&d, alg, strlen(alg) + 1);
	add(&d, digest, len);
	field(e, d.data, d.len);
}

/* As the kernel does it: its template is not hashed. */
static void entry(const char *template, const struct bytes *e)
{
	uint8_t hash[64];

	assert_int_equal(hash_of(TPM2_SHA1, e->data, e->len, hash), 0);
	ima_u32_put(&f.ima, 10);
	ima_put(&f.ima, hash, 20);
	ima_u32_put(&f.ima, strlen(template));
	ima_put(&f.ima, template, strlen(template));
	ima_u32_put(&f.ima, e->len);
	ima_put(&f.ima, e->data, e->len);
	assert_int_equal(hash_of(TPM2_SHA256, e->data, e->len, hash), 0);
	assert_int_equal(pcr_extend(&f.ima.bank, 10, hash), 0);
	f.ima.entries++;
}

/* The digest of a program that is on the allowlist, of whatever algorithm it is said to be */
static void known_digest(const char *template, const char *alg, size_t len, const void *path,
			 size_t path_len)
{
	uint8_t digest[64];
	struct bytes e = {};

	memset(digest, 0xb1, sizeof(digest));
	digest_field(&e, alg, digest, len);
	field(&e, path, path_len);
	entry(template, &e);
}

static void ima_other_algorithm(void)
{
	known_digest("ima-ng", "sm3-256:", 32, "/usr/bin/true", 14);
}
static void ima_no_algorithm(void)
{
	known_digest("ima-ng", "md4:", 32, "/usr/bin/true", 14);
}
static void ima_algorithm_cut(void)
{
	known_digest("ima-ng", "sha256", 32, "/usr/bin/true", 14);
}
static void ima_digest_long(void)
{
	known_digest("ima-ng", "sha256:", 33, "/usr/bin/true", 14);
}
static void ima_digest_short(void)
{
	known_digest("ima-ng", "sha512:", 32, "/usr/bin/true", 14);
}
static void ima_kind_unknown(void)
{
	known_digest("ima-ngv2", "held:sha256:", 32, "/usr/bin/true", 14);
}
static void ima_path_of_two(void)
{
	known_digest("ima-ng", "sha256:", 32, "/usr/bin/true\0/tmp/evil", 24);
}
static void ima_path_open(void)
{
	known_digest("ima-ng", "sha256:", 32, "/usr/bin/true", 13);
}
/* An attribute behind the fields that its template is said to have */
static void ima_field_too_many(void)
{
	uint8_t digest[32];
	struct bytes e = {};

	memset(digest, 0x66, sizeof(digest));
	digest_field(&e, "sha256:", digest, 32);
	field(&e, "/tmp/evil", 10);
	field(&e, "signature", 9);
	entry("ima-ng", &e);
}
static void ima_field_missing(void)
{
	known_digest("ima-sig", "sha256:", 32, "/usr/bin/true", 14);
}
/* Of a format of its own, whose second digest is the one that is known */
static void ima_second_digest(void)
{
	uint8_t digest[32];
	struct bytes e = {};

	memset(digest, 0x66, sizeof(digest));
	digest_field(&e, "sha256:", digest, 32);
	field(&e, "/usr/bin/evil", 14);
	memset(digest, 0xb1, sizeof(digest));
	digest_field(&e, "sha256:", digest, 32);
	entry("d-ng|n-ng|d-ng", &e);
}
static void ima_name_first(void)
{
	uint8_t digest[32];
	struct bytes e = {};

	memset(digest, 0xb1, sizeof(digest));
	field(&e, "/usr/bin/true", 14);
	digest_field(&e, "sha256:", digest, 32);
	entry("n-ng|d-ng", &e);
}
/* As the first template had it, whose fields are of a fixed size */
static void ima_told_as_old(void)
{
	known_digest("ima", "sha256:", 32, "/usr/bin/true", 14);
}
/* What a buffer held, as a file's digest */
static void ima_buffer_told(void)
{
	uint8_t digest[32];
	struct bytes e = {};

	memset(digest, 0x66, sizeof(digest));
	digest_field(&e, "sha256:", digest, 32);
	field(&e, "/usr/bin/true", 14);
	field(&e, f.files[0].digest, 32);
	entry("ima-buf", &e);
}

/* ---- violations ---- */

/* It was extended as one, and is told as a file that is known. */
static void ima_violation_hidden(void)
{
	struct ima_builder told = f.ima;

	ima_file(&told, 0xb1, "/usr/bin/true");
	ima_violated();
	told.bank = f.ima.bank;
	f.ima = told;
}
/* A file that nobody knows, told as a violation, which the policy excuses. */
static void ima_violation_claimed(void)
{
	struct ima_builder told = f.ima;

	ima_add(&told, 10, "ima-ng", f.files[0].digest, "/usr/bin/true", true);
	ima_unlisted();
	told.bank = f.ima.bank;
	f.ima = told;
	f.policy.ima.allow_violations = true;
}
/* Of a violation neither digest nor path are vouched for. */
static void ima_daemon_violated(void)
{
	ima_anew();
	forge_aggregate(&f);
	ima_file(&f.ima, 0xb1, "/usr/bin/true");
	ima_add(&f.ima, 10, "ima-ng", f.files[1].digest, "/usr/sbin/affiantd", true);
	f.policy.ima.allow_violations = true;
}

/* ---- order, extent ---- */

/* The daemon's entry stands behind what was quoted. */
static void ima_daemon_in_tail(void)
{
	struct pcr_bank quoted;

	ima_anew();
	forge_aggregate(&f);
	ima_file(&f.ima, 0xb1, "/usr/bin/true");
	quoted = f.ima.bank;
	ima_add(&f.ima, 10, "ima-ng", f.files[1].digest, "/usr/sbin/affiantd", false);
	f.ima.bank = quoted;
}
static void ima_entry_twice(void)
{
	const struct pcr_bank quoted = f.ima.bank;
	const size_t at = f.ima.len;

	ima_file(&f.ima, 0xb1, "/usr/bin/true");
	memmove(f.ima.data + f.ima.len, f.ima.data, at);
	memmove(f.ima.data, f.ima.data + at, f.ima.len);
	f.ima.bank = quoted;
}
static void ima_other_order(void)
{
	const uint32_t pcr = htobe32(10);
	const size_t at = f.ima.len;

	ima_file(&f.ima, 0xb1, "/usr/bin/true");
	memcpy(f.ima.data + at, &pcr, 4);
}
static void ima_pcr_beyond(void)
{
	const size_t at = f.ima.len;

	ima_file(&f.ima, 0xb1, "/usr/bin/true");
	f.ima.data[at] = 24;
}
static void ima_no_template(void)
{
	const size_t at = f.ima.len;

	ima_file(&f.ima, 0xb1, "/usr/bin/true");
	memset(f.ima.data + at + 24, 0, 4);
}
static void ima_template_long(void)
{
	const uint32_t size = htole32(256);
	const size_t at = f.ima.len;

	ima_file(&f.ima, 0xb1, "/usr/bin/true");
	memcpy(f.ima.data + at + 24, &size, 4);
}
static void ima_data_long(void)
{
	const uint32_t size = htole32(IMA_DATA_MAX + 1);
	const size_t at = f.ima.len;

	ima_file(&f.ima, 0xb1, "/usr/bin/true");
	memcpy(f.ima.data + at + 28 + strlen("ima-ng"), &size, 4);
}
/* The list's own digest is of what is told, the bank's of what was extended. */
static void ima_bank_other(void)
{
	struct ima_builder told = f.ima;

	ima_file(&told, 0xb1, "/usr/bin/true");
	ima_unlisted();
	told.bank = f.ima.bank;
	f.ima = told;
}
/* ---- what root extended after the boot ---- */

/* The policy knows of the loader what PCR 7 says. */
static void any_loader(void)
{
	static struct affiant_pcr_rule value;

	memcpy(f.digests[14].sha256, f.bank.values[7], 32);
	value = (struct affiant_pcr_rule){.pcr = 7, .values = {.list = &f.digests[14], .count = 1}};
	f.policy.boot.values = &value;
	f.policy.boot.values_count = 1;
}

/*
 * Started without lockdown by another loader that PCR 7 passes, which measures elsewhere; the line that the policy asks
 * for extended by root since.
 */
static void lockdown_by_root(void)
{
	started_with(NULL);
	put_text(&f.boot, 12, EV_IPL, "ro quiet lockdown=integrity");
	forge_replay(&f);
	f.pcrs |= 1 << 12;
	kernel_is("the kernel");
	rule_of(0, 1 << 12, "ro quiet lockdown=integrity", 1);
	f.policy.boot.closed = 1 << 12;
	any_loader();
}
/* The same in PCR 8, where no IMA list shows when it was */
static void lockdown_by_root_without_ima(void)
{
	lockdown_by_root();
	put_text(&f.boot, 8, EV_IPL, "ro quiet lockdown=integrity");
	put_event(&f.boot, 9, EV_IPL, "the kernel", 10, "/boot/vmlinuz", 13);
	forge_replay(&f);
	f.rules[0].pcrs = 1 << 8;
	f.policy.boot.closed = 1 << 8 | 1 << 9;
	f.policy.ima.not_required = true;
	f.agents[0].minimum = AFFIANT_BOOT_STATE;
}

/* Known, and extended by root: without an IMA list nothing shows when it was. */
static void kernel_by_root(void)
{
	put_event(&f.boot, 9, EV_IPL, "the patched kernel", 18, "/boot/vmlinuz", 13);
	forge_replay(&f);
	kernel_is("the patched kernel");
	f.policy.boot.kernels_lock_down = true;
	f.policy.boot.closed = 1 << 8;
	rule_of(0, 1 << 8, "ro quiet lockdown=integrity", 1);
	any_loader();
	f.policy.ima.not_required = true;
	f.agents[0].minimum = AFFIANT_BOOT_STATE;
}

/*
 * Booted with something else, and what the policy asks for extended by root since: boot_aggregate, which the kernel calculated before,
 * tells. Unless it can't be compared, since a PCR is left out of the quote.
 */
static void measured_by_root(void)
{
	put_text(&f.boot, 4, EV_COMPACT_HASH, "the patched kernel");
	forge_replay(&f);
	rule_of(0, 1 << 4, "the patched kernel", 1);
	forge_again(&f, true);
}
static void measured_by_root_unquoted(void)
{
	f.selections[0].pcrs &= ~(1u << 8);
	measured_by_root();
}
/* The list of a kernel that was told ima_hash=sha1, as of a boot log that ends here */
static void aggregate_of_sha1(const char *extended_later)
{
	struct eventlog *l = parsed(&f.boot);
	struct tpm2_selection selection = {.alg = TPM2_SHA1, .pcrs = 0xff};
	struct tpm2_bytes digest;
	struct pcr_bank bank;
	struct bytes e = {};

	assert_int_equal(eventlog_replay(l, TPM2_SHA1, &bank), 0);
	assert_int_equal(pcr_digest(&bank, 1, &selection, 1, TPM2_SHA1, &digest), 0);
	eventlog_free(l);
	if (extended_later)
		put_text(&f.boot, 4, EV_COMPACT_HASH, extended_later);
	forge_replay(&f);
	ima_anew();
	digest_field(&e, "sha1:", digest.data, 20);
	field(&e, "boot_aggregate", 15);
	entry("ima-ng", &e);
	ima_file(&f.ima, 0xb1, "/usr/bin/true");
	ima_add(&f.ima, 10, "ima-ng", f.files[1].digest, "/usr/sbin/affiantd", false);
}
static void measured_by_root_sha1(void)
{
	aggregate_of_sha1("the patched kernel");
	rule_of(0, 1 << 4, "the patched kernel", 1);
}
/* And the bank that would show it left out of the log */
static void measured_by_root_sha512(void)
{
	uint8_t digest[64] = {1};
	struct bytes e = {};

	put_text(&f.boot, 4, EV_COMPACT_HASH, "the patched kernel");
	rule_of(0, 1 << 4, "the patched kernel", 1);
	forge_replay(&f);
	ima_anew();
	digest_field(&e, "sha512:", digest, 64);
	field(&e, "boot_aggregate", 15);
	entry("ima-ng", &e);
	ima_add(&f.ima, 10, "ima-ng", f.files[1].digest, "/usr/sbin/affiantd", false);
}
/* Of a bank that is not quoted, so that it can't be compared: a file, not the kernel's own entry */
static void ima_aggregate_uncompared(void)
{
	uint8_t digest[20];
	struct bytes e = {};

	memset(digest, 0x66, sizeof(digest));
	digest_field(&e, "sha1:", digest, 20);
	field(&e, "boot_aggregate", 15);
	entry("ima-ng", &e);
	f.policy.boot.allow_kexec = true;
}
