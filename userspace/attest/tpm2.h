/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tpm2: what a TPM signs and publishes, read without a TSS (TPM 2.0 Library, Part 2: Structures).
 * The bytes are somebody else's: every parser consumes exactly its input, or says -EBADMSG.
 */
#pragma once

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"

#define TPM2_GENERATED 0xff544347u /* TPM_GENERATED_VALUE (6.2) */
#define TPM2_PCRS 24
#define TPM2_DIGEST_MAX 64
#define TPM2_NAME_MAX (2 + TPM2_DIGEST_MAX)
#define TPM2_SELECTIONS_MAX 16

/* TPM_ALG_ID (6.3) */
enum tpm2_alg {
	TPM2_RSA = 0x0001,
	TPM2_SHA1 = 0x0004,
	TPM2_AES = 0x0006,
	TPM2_NULL = 0x0010,
	TPM2_RSASSA = 0x0014,
	TPM2_RSAES = 0x0015,
	TPM2_RSAPSS = 0x0016,
	TPM2_OAEP = 0x0017,
	TPM2_ECDSA = 0x0018,
	TPM2_ECDH = 0x0019,
	TPM2_ECC = 0x0023,
	TPM2_CFB = 0x0043,
	TPM2_SHA256 = 0x000b,
	TPM2_SHA384 = 0x000c,
	TPM2_SHA512 = 0x000d,
	TPM2_SM3_256 = 0x0012,
	TPM2_SHA3_256 = 0x0027,
	TPM2_SHA3_384 = 0x0028,
	TPM2_SHA3_512 = 0x0029,
};

/* TPM_ECC_CURVE (6.4) */
enum tpm2_curve { TPM2_P256 = 0x0003, TPM2_P384 = 0x0004, TPM2_P521 = 0x0005 };

/* TPM_ST (6.9) of what is attested */
enum tpm2_attested { TPM2_ST_ATTEST_NV = 0x8014, TPM2_ST_ATTEST_QUOTE = 0x8018 };

/* TPMA_OBJECT (8.3.2) */
enum tpm2_object {
	TPM2_FIXED_TPM = 1 << 1,
	TPM2_ST_CLEAR = 1 << 2,
	TPM2_FIXED_PARENT = 1 << 4,
	TPM2_SENSITIVE_DATA_ORIGIN = 1 << 5,
	TPM2_USER_WITH_AUTH = 1 << 6,
	TPM2_ADMIN_WITH_POLICY = 1 << 7,
	TPM2_NO_DA = 1 << 10,
	TPM2_RESTRICTED = 1 << 16,
	TPM2_DECRYPT = 1 << 17,
	TPM2_SIGN = 1 << 18,
};

/* Bytes of a digest, 0: not known here. */
size_t tpm2_digest_size(uint16_t alg);
/*
 * NULL: OpenSSL has no such, or we don't take it. SHA-1 is there for PCR banks: no name, no
 * signature rests on it.
 */
const EVP_MD *tpm2_digest(uint16_t alg);

struct tpm2_bytes {
	size_t len;
	uint8_t data[TPM2_NAME_MAX];
};

/* TPMS_CLOCK_INFO (10.11.1) */
struct tpm2_clock {
	uint64_t ms;
	uint32_t resets, restarts;
	bool safe;
};

/* TPMS_PCR_SELECTION (10.9.8), of three bytes, bit n: PCR n */
struct tpm2_selection {
	uint16_t alg;
	uint32_t pcrs;
};

/* TPMS_ATTEST (10.12.12) */
struct tpm2_attest {
	uint32_t magic; /* as it stands there */
	uint16_t type;
	struct tpm2_bytes qualified_signer;
	struct tpm2_bytes extra;
	struct tpm2_clock clock;
	uint64_t firmware;
	/* TPM2_ST_ATTEST_QUOTE: TPMS_QUOTE_INFO (10.12.1) */
	struct tpm2_selection selections[TPM2_SELECTIONS_MAX];
	size_t selections_count;
	struct tpm2_bytes pcr_digest;
	/* TPM2_ST_ATTEST_NV: TPMS_NV_CERTIFY_INFO (10.12.8) */
	struct tpm2_bytes nv_name;
	uint16_t nv_offset;
	uint64_t nv_counter; /* contents of exactly 8 bytes; others are -EBADMSG */
};

/*
 * -EBADMSG: malformed. A wrong magic or an unknown type is the caller's to judge: of a type that is
 * neither of the two everything behind firmware is left out, and then no end is checked. A
 * selection whose sizeofSelect is not 3 is -EBADMSG.
 */
int tpm2_attest_parse(const void *data, size_t len, struct tpm2_attest *ret);

/* Bytes of a coordinate, 0: not known here. */
size_t tpm2_curve_size(uint16_t curve);

/*
 * TPMT_PUBLIC (12.2.4) of a signing or storage key: RSA or ECC (NIST P-256, P-384, P-521).
 * Attributes stand as they are, reserved bits too.
 */
struct tpm2_public {
	uint16_t type, name_alg;
	uint32_t attributes; /* enum tpm2_object */
	struct tpm2_bytes policy;
	uint16_t symmetric; /* TPM2_NULL or the algorithm */
	uint16_t symmetric_bits, symmetric_mode;
	uint16_t scheme, scheme_hash; /* TPM2_NULL: not fixed */
	uint16_t bits, curve;         /* RSA; enum tpm2_curve */
	uint32_t exponent;            /* RSA: 65537 where the structure says 0 */
	struct {
		size_t len;
		uint8_t data[512];
	} n; /* RSA */
	struct {
		size_t len;
		uint8_t data[66];
	} x, y; /* ECC; leading zeros may be missing */
};

/*
 * -EBADMSG: malformed, or a kind of key, curve, scheme or symmetric algorithm (other than AES) that
 * is not taken.
 */
int tpm2_public_parse(const void *data, size_t len, struct tpm2_public *ret);

/*
 * Name = nameAlg ‖ H(TPMT_PUBLIC) (Part 1, 16). @data: the bytes that were parsed. -EINVAL: no
 * digest to rest on.
 */
int tpm2_name(uint16_t name_alg, const void *data, size_t len, struct tpm2_bytes *ret);

/*
 * Qualified name of a child (Part 1, 26.5): nameAlg ‖ H(QN of the parent ‖ name). Of a primary
 * object the parent is the hierarchy's handle, four bytes.
 */
int tpm2_qualified_name(const struct tpm2_bytes *parent, const struct tpm2_bytes *name,
			struct tpm2_bytes *ret);
#define TPM2_RH_OWNER 0x40000001u
#define TPM2_RH_ENDORSEMENT 0x4000000bu
struct tpm2_bytes tpm2_handle_name(uint32_t handle);

/*
 * The key as OpenSSL has it, the caller's to free: -EINVAL for a point that is not on its curve, a
 * modulus of less than 2048 bits or even, an exponent that is even or less than 65537.
 */
int tpm2_public_key(const struct tpm2_public *p, EVP_PKEY **ret);

/* TPMT_SIGNATURE (11.3.4): ECDSA, RSASSA, RSAPSS. */
struct tpm2_signature {
	uint16_t scheme, hash;
	struct {
		size_t len;
		uint8_t data[512];
	} rsa;
	struct {
		size_t len;
		uint8_t data[66];
	} r, s;
};

/* -EBADMSG: malformed, or of another scheme. */
int tpm2_signature_parse(const void *data, size_t len, struct tpm2_signature *ret);

/*
 * 0: it is @key's over @data; -EBADMSG: it is not; -EINVAL: no such pair of scheme and key, or
 * SHA-1. That scheme and hash are those the enrolled key is bound to is for the caller to see.
 * RSAPSS: salt of any length, since a TPM takes the longest that fits, or under FIPS one as long as
 * the digest (Part 1, B.7).
 */
int tpm2_signature_verify(const struct tpm2_signature *s, EVP_PKEY *key, const void *data,
			  size_t len);
