/* SPDX-License-Identifier: Apache-2.0 */
/* forgery_tpm: forgeries of the TPM's keys and of its quote. For test_forgery.c. */
#pragma once

#include "forgery.h"

/* ---- identity ---- */

static void host_other(void)
{
	f.hosts[0].ueid[9] ^= 1;
}
static void no_hosts(void)
{
	f.policy.hosts_count = 0;
}
static void ueid_other(void)
{
	set(f.payload, "ueid", json_string("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"));
	f.keep_ueid = true;
}
static void ek_signs(void)
{
	f.ek_attributes = EK_ATTRIBUTES | TPM2_SIGN;
}
static void ek_imported(void)
{
	f.ek_attributes = EK_ATTRIBUTES & ~TPM2_FIXED_TPM;
}
static void ek_other_ca(void)
{
	f.ek_by_other_ca = true;
}
static void ek_no_chain(void)
{
	f.no_ek_chain = true;
}
static void ek_expired(void)
{
	f.certificates_until = FORGE_NOW - 1;
}
static void software(void)
{
	f.maker = "id:00001014";
}
static void software_root(void)
{
	f.tpm_pem.software = true;
}
static void unknown_ek_software(void)
{
	f.hosts[0].no_ek_certificate = true;
}
static void ak_unrestricted(void)
{
	f.kind.attributes &= ~TPM2_RESTRICTED;
}
static void ak_imported(void)
{
	f.kind.attributes &= ~TPM2_SENSITIVE_DATA_ORIGIN;
}
static void ak_movable(void)
{
	f.kind.attributes &= ~TPM2_FIXED_PARENT;
}
static void ak_decrypts(void)
{
	f.kind.attributes |= TPM2_DECRYPT;
}
static void ak_any_scheme(void)
{
	f.kind.scheme = TPM2_NULL;
	f.scheme = TPM2_ECDSA;
}
static void ak_other_ca(void)
{
	f.ak_by_other_ca = true;
}
static void ak_no_chain(void)
{
	f.no_ak_chain = true;
}
static void ak_enrolled_elsewhere(void)
{
	f.ak_of_other_ek = true;
}

/* ---- quote ---- */

static void scheme_other(void)
{
	f.hash = TPM2_SHA384;
}
static void key_outside(void)
{
	f.signer = EVP_EC_gen("P-256");
}
static void quote_flipped(void)
{
	flip(f.collection, "quote", 60);
}
static void magic_other(void)
{
	f.magic = 0xff544348;
}
static void nv_certified(void)
{
	f.type = TPM2_ST_ATTEST_NV;
}
static void time_certified(void)
{
	f.type = 0x8019;
}
static void owner_hierarchy(void)
{
	f.hierarchy = TPM2_RH_OWNER;
}
static void ledger_quote(void)
{
	f.domain = BATCH_LEDGER;
}

/* Claims of another evidence of the same batch. */
static void claims_swapped(void)
{
	struct bytes path = member(f.collection, "path");

	path.data[7] = 2;
	replace(f.collection, "path", &path);
}

static void path_of_other_leaf(void)
{
	uint8_t other[BATCH_PATH_SIZE_MAX];
	struct sha256 leaves[5] = {};
	struct bytes path = {};
	struct batch *b;

	for (size_t i = 0; i < 5; i++)
		leaves[i] = (struct sha256){{i + 1}};
	leaves[3] = f.leaf;
	assert_int_equal(batch_new(leaves, 5, &b), 0);
	add(&path, other, batch_path(b, 2, other));
	batch_free(b);
	replace(f.collection, "path", &path);
}

/* A node of the tree as a leaf of a smaller one. */
static void node_as_leaf(void)
{
	struct bytes path = {};

	add_be(&path, 1, 8);
	add_be(&path, 2, 8);
	add(&path, member(f.collection, "path").data + 16 + 32, 32);
	replace(f.collection, "path", &path);
}

static void batch_too_large(void)
{
	struct bytes path = member(f.collection, "path");

	path.data[14] = 0xff;
	replace(f.collection, "path", &path);
}

static void path_shorter(void)
{
	struct bytes path = member(f.collection, "path");

	path.len -= 32;
	replace(f.collection, "path", &path);
}

static void selection_none(void)
{
	f.pcrs = 0;
}
static void selection_twice(void)
{
	f.selections[0] = f.selections[1] = (struct tpm2_selection){TPM2_SHA256, FORGE_PCRS};
	f.selections_count = 2;
}
static void selection_without_boot(void)
{
	f.pcrs = 0x7fe;
}
static void selection_without_ima(void)
{
	f.pcrs = 0x3ff;
}
static void selection_resettable(void)
{
	f.pcrs |= 1 << 23;
}
static void bank_sha1(void)
{
	pcr_bank_init(&f.bank, TPM2_SHA1);
	f.selections[0] = (struct tpm2_selection){TPM2_SHA1, FORGE_PCRS};
	f.selections_count = 1;
}

static void pcr_flipped(void)
{
	flip(f.collection, "pcrs", 7 * 32);
}

static void pcrs_swapped(void)
{
	struct bytes b = member(f.collection, "pcrs"), old = b;

	memcpy(b.data, old.data + 32, 32);
	memcpy(b.data + 32, old.data, 32);
	replace(f.collection, "pcrs", &b);
}

static struct affiant_pcr_rule pcr_rule;
static void pcr_value_other(void)
{
	pcr_rule = (struct affiant_pcr_rule){.pcr = 7, .values = {.list = f.digests, .count = 1}};
	f.policy.boot.values = &pcr_rule;
	f.policy.boot.values_count = 1;
}

static const uint64_t firmwares[] = {0x1};
static void firmware_other(void)
{
	f.policy.firmware = firmwares;
	f.policy.firmware_count = 1;
	f.policy.any_firmware = false;
}
