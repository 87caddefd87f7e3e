/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/tpm2.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "attest_samples.h"
#include "base/cleanup.h"

DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free)

static const char *const keys[] = {"ecc", "rsassa", "rsapss", "p384"};
static const uint16_t schemes[] = {TPM2_ECDSA, TPM2_RSASSA, TPM2_RSAPSS, TPM2_ECDSA};

/* Offsets in the quote of a 34-byte name with 16 bytes of qualifying data. */
enum { TYPE = 4, SIGNER = 6, EXTRA = 42, CLOCK = 60, SAFE = 76, FIRMWARE = 77, COUNT = 85 };

static struct sample read_of(const char *name, const char *what)
{
	char path[64];

	snprintf(path, sizeof(path), "tpm2/%s.%s", name, what);
	return sample_read(path);
}

/* @remove bytes at @at, and @add_len of @add in their place */
static struct sample splice(const struct sample *s, size_t at, size_t remove, const void *add,
			    size_t add_len)
{
	struct sample n = {.len = s->len - remove + add_len};

	assert_true(at + remove <= s->len);
	n.data = malloc(n.len ?: 1);
	assert_non_null(n.data);
	memcpy(n.data, s->data, at);
	memcpy(n.data + at, add, add_len);
	memcpy(n.data + at + add_len, s->data + at + remove, s->len - at - remove);
	return n;
}

typedef int (*parse)(const void *data, size_t len, void *ret);

static int parse_attest(const void *data, size_t len, void *ret)
{
	return tpm2_attest_parse(data, len, ret);
}

static int parse_public(const void *data, size_t len, void *ret)
{
	return tpm2_public_parse(data, len, ret);
}

static int parse_signature(const void *data, size_t len, void *ret)
{
	return tpm2_signature_parse(data, len, ret);
}

/* -EBADMSG, and nothing written */
static void refused_by(parse f, const void *data, size_t len)
{
	_cleanup_sample_ struct sample s = sample_copy(data, len);
	uint8_t poison[4096], ret[4096];

	memset(poison, 0xa5, sizeof(poison));
	memset(ret, 0xa5, sizeof(ret));
	assert_int_equal(f(s.data, s.len, ret), -EBADMSG);
	assert_memory_equal(ret, poison, sizeof(ret));
}

static void refused_with(parse f, const struct sample *s, size_t at, size_t remove, const char *add,
			 size_t add_len)
{
	_cleanup_sample_ struct sample n = splice(s, at, remove, add, add_len);

	refused_by(f, n.data, n.len);
}

static struct tpm2_public public_of(const char *name, const char *what)
{
	_cleanup_sample_ struct sample s = read_of(name, what);
	struct tpm2_public p;

	memset(&p, 0xa5, sizeof(p));
	assert_int_equal(tpm2_public_parse(s.data, s.len, &p), 0);
	return p;
}

static EVP_PKEY *key_of(const char *name)
{
	struct tpm2_public p = public_of(name, "pub");
	EVP_PKEY *key = NULL;

	assert_int_equal(tpm2_public_key(&p, &key), 0);
	return key;
}

static struct tpm2_bytes name_of(const char *name, const char *what)
{
	_cleanup_sample_ struct sample s = read_of(name, what);
	struct tpm2_public p = public_of(name, what);
	struct tpm2_bytes n;

	assert_int_equal(tpm2_name(p.name_alg, s.data, s.len, &n), 0);
	return n;
}

static void assert_bytes(const struct tpm2_bytes *b, const void *data, size_t len)
{
	assert_int_equal(b->len, len);
	assert_memory_equal(b->data, data, len);
}

static struct tpm2_attest attest_of(const char *name, const char *what)
{
	_cleanup_sample_ struct sample s = read_of(name, what);
	struct tpm2_attest a;

	memset(&a, 0xa5, sizeof(a));
	assert_int_equal(tpm2_attest_parse(s.data, s.len, &a), 0);
	assert_int_equal(a.magic, TPM2_GENERATED);
	assert_int_equal(a.clock.resets, 1);
	assert_int_equal(a.clock.restarts, 0);
	assert_true(a.clock.safe);
	assert_int_not_equal(a.clock.ms, 0);
	assert_int_equal(a.firmware, 0x2019102300163636);
	return a;
}

static void test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		_cleanup_sample_ struct sample name = read_of(keys[i], "name");
		_cleanup_sample_ struct sample qname = read_of(keys[i], "qname");
		const struct tpm2_bytes ek = name_of(keys[i], "ek.pub"),
					ak = name_of(keys[i], "pub");
		const struct tpm2_bytes root = tpm2_handle_name(TPM2_RH_ENDORSEMENT);
		const struct tpm2_attest a = attest_of(keys[i], "quote");
		struct tpm2_bytes q;

		assert_bytes(&ak, name.data, name.len);
		assert_int_equal(tpm2_qualified_name(&root, &ek, &q), 0);
		assert_int_equal(tpm2_qualified_name(&q, &ak, &q), 0);
		assert_bytes(&q, qname.data, qname.len);
		assert_bytes(&a.qualified_signer, qname.data, qname.len);
	}
}

static void test_names_need_a_digest(void **state)
{
	struct tpm2_bytes sha1 = {.len = 22, .data = {0, TPM2_SHA1}}, none = {}, ret = {.len = 7};

	(void)state;
	assert_int_equal(tpm2_name(TPM2_SHA1, "", 0, &ret), -EINVAL);
	assert_int_equal(tpm2_name(TPM2_NULL, "", 0, &ret), -EINVAL);
	assert_int_equal(tpm2_name(TPM2_SM3_256, "", 0, &ret), -EINVAL);
	assert_int_equal(tpm2_qualified_name(&none, &none, &ret), -EINVAL);
	assert_int_equal(tpm2_qualified_name(&none, &sha1, &ret), -EINVAL);
	assert_int_equal(ret.len, 7);
}

static void test_quotes(void **state)
{
	static const uint8_t qualifying[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
	static const struct tpm2_selection expected[4][4] = {
		{{TPM2_SHA256, 1 << 0 | 1 << 1 | 1 << 10 | 1 << 17}},
		{{TPM2_SHA1, 1 << 0 | 1 << 1 | 1 << 10},
		 {TPM2_SHA256, 1 << 0 | 1 << 1 | 1 << 10},
		 {TPM2_SHA384, 1 << 0 | 1 << 10},
		 {TPM2_SHA512, 1 << 0 | 1 << 10}},
		{{TPM2_SHA256, 1 << 0 | 1 << 17 | 1 << 23}},
		{{TPM2_SHA256, 1 << 0 | 1 << 10}, {TPM2_SHA384, 1 << 0 | 1 << 10}},
	};
	static const size_t counts[] = {1, 4, 1, 2};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		const struct tpm2_attest a = attest_of(keys[i], "quote");

		assert_int_equal(a.type, TPM2_ST_ATTEST_QUOTE);
		assert_bytes(&a.extra, qualifying, sizeof(qualifying));
		assert_int_equal(a.selections_count, counts[i]);
		for (size_t n = 0; n < counts[i]; n++) {
			assert_int_equal(a.selections[n].alg, expected[i][n].alg);
			assert_int_equal(a.selections[n].pcrs, expected[i][n].pcrs);
		}
		assert_int_equal(a.pcr_digest.len, i == 3 ? 48 : 32);
	}
}

static void test_nv(void **state)
{
	const struct tpm2_attest a = attest_of("nv", "attest");

	(void)state;
	assert_int_equal(a.type, TPM2_ST_ATTEST_NV);
	assert_int_equal(a.nv_counter, 2);
	assert_int_equal(a.nv_offset, 0);
	assert_int_equal(a.nv_name.len, 34);
	assert_bytes(&a.extra, "\x0b\xad\xca\xfe", 4);
}

static void test_other_type(void **state)
{
	_cleanup_sample_ struct sample s = read_of("time", "attest");
	const struct tpm2_attest a = attest_of("time", "attest");
	struct tpm2_attest b;

	(void)state;
	assert_int_equal(a.type, 0x8019);
	assert_int_equal(a.selections_count, 0);
	/* What is behind firmware is not ours to read. */
	for (size_t len = 0; len < s.len; len++) {
		_cleanup_sample_ struct sample cut = sample_copy(s.data, len);

		assert_int_equal(tpm2_attest_parse(cut.data, len, &b),
				 len < 4 + 2 + 36 + 6 + 17 + 8 ? -EBADMSG : 0);
	}
}

static void test_every_length(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		static const struct {
			const char *what;
			parse f;
		} files[] = {{"quote", parse_attest},
			     {"sig", parse_signature},
			     {"pub", parse_public},
			     {"ek.pub", parse_public}};

		for (size_t n = 0; n < 4; n++) {
			_cleanup_sample_ struct sample s = read_of(keys[i], files[n].what);

			for (size_t len = 0; len < s.len; len++)
				refused_by(files[n].f, s.data, len);
			refused_with(files[n].f, &s, s.len, 0, "\0", 1);
		}
	}
	_cleanup_sample_ struct sample nv = read_of("nv", "attest");

	for (size_t len = 0; len < nv.len; len++)
		refused_by(parse_attest, nv.data, len);
	refused_with(parse_attest, &nv, nv.len, 0, "\0", 1);
}

static void test_attest_bounds(void **state)
{
	_cleanup_sample_ struct sample s = read_of("ecc", "quote"), nv = read_of("nv", "attest");
	static const char zeros[128];
	struct tpm2_attest a;
	uint8_t count[4 + 17 * 6] = {};

	(void)state;
	/* The caller judges the magic. */
	_cleanup_sample_ struct sample magic = splice(&s, 0, 4, "\xde\xad\xbe\xef", 4);
	assert_int_equal(tpm2_attest_parse(magic.data, magic.len, &a), 0);
	assert_int_equal(a.magic, 0xdeadbeef);

	refused_with(parse_attest, &s, SAFE, 1, "\x02", 1);
	_cleanup_sample_ struct sample unsafe = splice(&s, SAFE, 1, "\0", 1);
	assert_int_equal(tpm2_attest_parse(unsafe.data, unsafe.len, &a), 0);
	assert_false(a.clock.safe);

	/* Names and qualifying data: 66 bytes, and no more. */
	for (size_t at = SIGNER; at <= EXTRA; at += EXTRA - SIGNER) {
		const size_t had = at == SIGNER ? 34 : 16;
		char field[2 + 67] = {0, 66};
		_cleanup_sample_ struct sample longest = splice(&s, at, 2 + had, field, 2 + 66);

		assert_int_equal(tpm2_attest_parse(longest.data, longest.len, &a), 0);
		field[1] = 67;
		refused_with(parse_attest, &s, at, 2 + had, field, 2 + 67);
	}

	/* Selections: none is well-formed, and so are 16; their sizes are 3. */
	for (count[3] = 0; count[3] <= 17; count[3]++) {
		for (size_t n = 0; n < count[3]; n++)
			memcpy(count + 4 + 6 * n, (uint8_t[]){0, TPM2_SHA256, 3, n, 0, 0x80}, 6);
		_cleanup_sample_ struct sample many =
			splice(&s, COUNT, 10, count, 4 + 6 * count[3]);

		if (count[3] == 17) {
			refused_by(parse_attest, many.data, many.len);
			continue;
		}
		assert_int_equal(tpm2_attest_parse(many.data, many.len, &a), 0);
		assert_int_equal(a.selections_count, count[3]);
		if (count[3])
			assert_int_equal(a.selections[count[3] - 1].pcrs,
					 0x800000 | (count[3] - 1));
	}
	refused_with(parse_attest, &s, COUNT, 4, "\xff\xff\xff\xff", 4);
	refused_with(parse_attest, &s, COUNT + 6, 4, "\x02\x03\x04", 3);
	refused_with(parse_attest, &s, COUNT + 6, 4, "\x04\x03\x04\x02\0", 5);
	refused_with(parse_attest, &s, COUNT + 6, 4, "\0", 1);

	/* The digest: at most 64 bytes */
	memcpy(count, (uint8_t[]){0, 65}, 2);
	_cleanup_sample_ struct sample body = splice(&s, COUNT + 10, 34, zeros, 66);
	body.data[COUNT + 11] = 65;
	refused_with(parse_attest, &body, body.len, 0, "\0", 1);
	body.data[COUNT + 11] = 64;
	assert_int_equal(tpm2_attest_parse(body.data, body.len, &a), 0);

	/* NV contents: exactly a counter */
	refused_with(parse_attest, &nv, nv.len - 10, 10,
		     "\0\x07"
		     "1234567",
		     9);
	refused_with(parse_attest, &nv, nv.len - 10, 10,
		     "\0\x09"
		     "123456789",
		     11);
}

static void test_public_fields(void **state)
{
	const struct tpm2_public ecc = public_of("ecc", "pub"), rsa = public_of("rsapss", "pub"),
				 p384 = public_of("p384", "pub"), ek = public_of("ecc", "ek.pub"),
				 rsa_ek = public_of("rsassa", "ek.pub");
	const uint32_t ak = TPM2_FIXED_TPM | TPM2_FIXED_PARENT | TPM2_SENSITIVE_DATA_ORIGIN |
			    TPM2_USER_WITH_AUTH | TPM2_RESTRICTED | TPM2_SIGN;

	(void)state;
	assert_int_equal(ecc.type, TPM2_ECC);
	assert_int_equal(ecc.name_alg, TPM2_SHA256);
	assert_int_equal(ecc.attributes, ak);
	assert_int_equal(ecc.symmetric, TPM2_NULL);
	assert_int_equal(ecc.scheme, TPM2_ECDSA);
	assert_int_equal(ecc.scheme_hash, TPM2_SHA256);
	assert_int_equal(ecc.curve, TPM2_P256);
	assert_int_equal(p384.curve, TPM2_P384);
	assert_int_equal(p384.x.len, 48);
	assert_int_equal(rsa.type, TPM2_RSA);
	assert_int_equal(rsa.scheme, TPM2_RSAPSS);
	assert_int_equal(rsa.bits, 2048);
	assert_int_equal(rsa.exponent, 65537);
	assert_int_equal(rsa.n.len, 256);
	assert_int_equal(ek.attributes & (TPM2_RESTRICTED | TPM2_DECRYPT | TPM2_SIGN),
			 TPM2_RESTRICTED | TPM2_DECRYPT);
	assert_int_equal(ek.policy.len, 32);
	assert_int_equal(ek.symmetric, TPM2_AES);
	assert_int_equal(ek.symmetric_bits, 128);
	assert_int_equal(ek.symmetric_mode, TPM2_CFB);
	assert_int_equal(ek.scheme, TPM2_NULL);
	assert_int_equal(rsa_ek.symmetric, TPM2_AES);
	assert_int_equal(rsa_ek.n.len, 256);
}

static void test_public_bounds(void **state)
{
	/*
	 * type 2, nameAlg 2, attributes 4, policy 2, symmetric 2, scheme 2 + 2, then curve or bits
	 */
	enum {
		POLICY = 8,
		SYMMETRIC = 10,
		SCHEME = 12,
		CURVE = 16,
		KDF = 18,
		POINT = 20,
		EXPONENT = 18,
		N = 22
	};
	_cleanup_sample_ struct sample ecc = read_of("ecc", "pub"), rsa = read_of("rsassa", "pub");
	char field[2 + 67] = {0, 65};
	struct tpm2_public p;

	(void)state;
	refused_with(parse_public, &ecc, 0, 2, "\0\x08", 2); /* a keyed hash */
	refused_with(parse_public, &ecc, POLICY, 2, field, 2 + 65);
	field[1] = 64;
	_cleanup_sample_ struct sample policy = splice(&ecc, POLICY, 2, field, 2 + 64);
	assert_int_equal(tpm2_public_parse(policy.data, policy.len, &p), 0);
	assert_int_equal(p.policy.len, 64);
	refused_with(parse_public, &ecc, SYMMETRIC, 2, "\0\x13\0\x80\0\x43", 6);
	refused_with(parse_public, &ecc, SCHEME, 4, "\0\x1a\0\x0b\0\0", 6); /* ECDAA */
	refused_with(parse_public, &ecc, CURVE, 2, "\0\0", 2);
	refused_with(parse_public, &ecc, CURVE, 2, "\0\x10", 2); /* BN_P256 */
	field[1] = 33;
	refused_with(parse_public, &ecc, POINT, 34, field, 2 + 33);
	refused_with(parse_public, &ecc, POINT + 34, 34, field, 2 + 33);
	_cleanup_sample_ struct sample kdf = splice(&ecc, KDF, 2, "\0\x20\0\x0b", 4);
	assert_int_equal(tpm2_public_parse(kdf.data, kdf.len, &p), 0);
	_cleanup_sample_ struct sample null = splice(&ecc, SCHEME, 4, "\0\x10", 2);
	assert_int_equal(tpm2_public_parse(null.data, null.len, &p), 0);
	assert_int_equal(p.scheme, TPM2_NULL);
	assert_int_equal(p.scheme_hash, TPM2_NULL);

	refused_with(parse_public, &rsa, CURVE, 2, "\x0c\0", 2); /* 3072 bits in 256 bytes */
	refused_with(parse_public, &rsa, N, 258, "\0", 2);
	refused_with(parse_public, &rsa, CURVE, 264, "\0\0\0\0\0\0\0", 8); /* 0 bits */
	_cleanup_sample_ struct sample exponent = splice(&rsa, EXPONENT, 4, "\0\1\0\3", 4);
	assert_int_equal(tpm2_public_parse(exponent.data, exponent.len, &p), 0);
	assert_int_equal(p.exponent, 65539);
}

static void test_keys_refused(void **state)
{
	const struct tpm2_public ecc = public_of("ecc", "pub"), rsa = public_of("rsassa", "pub");
	EVP_PKEY *key = (void *)state;
	struct tpm2_public p = ecc;

	p.x.data[31] ^= 1;
	assert_int_equal(tpm2_public_key(&p, &key), -EINVAL);
	p = ecc;
	memset(p.x.data, 0xff, 32); /* above the field's prime */
	assert_int_equal(tpm2_public_key(&p, &key), -EINVAL);
	p = ecc;
	p.x.len = p.y.len = 0;
	assert_int_equal(tpm2_public_key(&p, &key), -EINVAL);
	p = ecc;
	p.curve = TPM2_P384;
	assert_int_equal(tpm2_public_key(&p, &key), -EINVAL);
	p.curve = 0;
	assert_int_equal(tpm2_public_key(&p, &key), -EINVAL);
	p = ecc;
	p.type = 0;
	assert_int_equal(tpm2_public_key(&p, &key), -EINVAL);
	p = rsa;
	p.n.data[255] ^= 1;
	assert_int_equal(tpm2_public_key(&p, &key), -EINVAL);
	p = rsa;
	p.n.data[0] = 0;
	assert_int_equal(tpm2_public_key(&p, &key), -EINVAL);
	p = rsa;
	p.n.len = 128;
	assert_int_equal(tpm2_public_key(&p, &key), -EINVAL);
	p = rsa;
	p.exponent = 3;
	assert_int_equal(tpm2_public_key(&p, &key), -EINVAL);
	p.exponent = 65538;
	assert_int_equal(tpm2_public_key(&p, &key), -EINVAL);
	assert_ptr_equal(key, state);
}

/* A coordinate whose first byte is 0 comes with it or without. */
static void test_leading_zero(void **state)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *with = NULL, *without = NULL;
	/* 5 is the least x on P-256 but 0: its y, from SEC 1, 2.3.4 */
	static const uint8_t y[] = {0x45, 0x92, 0x43, 0xb9, 0xaa, 0x58, 0x18, 0x06,
				    0xfe, 0x91, 0x3b, 0xce, 0x99, 0x81, 0x7a, 0xde,
				    0x11, 0xca, 0x50, 0x3c, 0x64, 0xd9, 0xa3, 0xc5,
				    0x33, 0x41, 0x5c, 0x08, 0x32, 0x48, 0xfb, 0xcc};
	struct tpm2_public p = {
		.type = TPM2_ECC, .curve = TPM2_P256, .x = {32, {[31] = 5}}, .y = {32}};

	(void)state;
	memcpy(p.y.data, y, sizeof(y));
	assert_int_equal(tpm2_public_key(&p, &with), 0);
	p.x.len = 1;
	p.x.data[0] = 5;
	assert_int_equal(tpm2_public_key(&p, &without), 0);
	assert_int_equal(EVP_PKEY_eq(with, without), 1);
}

static void test_signatures(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		_cleanup_sample_ struct sample quote = read_of(keys[i], "quote"),
					       sig = read_of(keys[i], "sig");
		_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = key_of(keys[i]);
		struct tpm2_signature s;

		assert_int_equal(tpm2_signature_parse(sig.data, sig.len, &s), 0);
		assert_int_equal(s.scheme, schemes[i]);
		assert_int_equal(s.hash, i == 3 ? TPM2_SHA384 : TPM2_SHA256);
		assert_int_equal(tpm2_signature_verify(&s, key, quote.data, quote.len), 0);
		assert_int_equal(tpm2_signature_verify(&s, key, quote.data, quote.len - 1),
				 -EBADMSG);
		for (size_t at = 0; at < quote.len; at += 7) {
			quote.data[at] ^= 1;
			assert_int_equal(tpm2_signature_verify(&s, key, quote.data, quote.len),
					 -EBADMSG);
			quote.data[at] ^= 1;
		}
		s.hash = TPM2_SHA512;
		assert_int_equal(tpm2_signature_verify(&s, key, quote.data, quote.len), -EBADMSG);
		s.hash = TPM2_SHA1;
		assert_int_equal(tpm2_signature_verify(&s, key, quote.data, quote.len), -EINVAL);
		s.hash = TPM2_NULL;
		assert_int_equal(tpm2_signature_verify(&s, key, quote.data, quote.len), -EINVAL);
		for (size_t other = 0; other < 4; other++) {
			_cleanup_(EVP_PKEY_freep) EVP_PKEY *wrong = key_of(keys[other]);
			const bool kind = (i == 1 || i == 2) == (other == 1 || other == 2);

			s.hash = i == 3 ? TPM2_SHA384 : TPM2_SHA256;
			if (other != i)
				assert_int_equal(
					tpm2_signature_verify(&s, wrong, quote.data, quote.len),
					kind ? -EBADMSG : -EINVAL);
		}
	}
}

static void test_signature_bounds(void **state)
{
	enum { R = 4, S = 38 };
	_cleanup_sample_ struct sample ecc = read_of("ecc", "sig"), rsa = read_of("rsassa", "sig");
	_cleanup_sample_ struct sample quote = read_of("ecc", "quote");
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = key_of("ecc"), *rsa_key = key_of("rsassa");
	char field[2 + 513] = {0, 66};
	struct tpm2_signature s;

	(void)state;
	refused_with(parse_signature, &ecc, 0, 2, "\0\x1b", 2); /* SM2 */
	refused_with(parse_signature, &ecc, 0, 2, "\0\x10", 2);
	for (size_t at = R; at <= S; at += S - R) {
		_cleanup_sample_ struct sample longest = splice(&ecc, at, 34, field, 2 + 66);

		/* Zero, and for one curve too long */
		assert_int_equal(tpm2_signature_parse(longest.data, longest.len, &s), 0);
		assert_int_equal(tpm2_signature_verify(&s, key, quote.data, quote.len), -EBADMSG);
		field[1] = 67;
		refused_with(parse_signature, &ecc, at, 34, field, 2 + 67);
		field[1] = 66;
	}
	/* A signature longer or shorter than the modulus is none of this key. */
	field[0] = 2;
	field[1] = 0;
	_cleanup_sample_ struct sample longest = splice(&rsa, 4, 258, field, 2 + 512);
	assert_int_equal(tpm2_signature_parse(longest.data, longest.len, &s), 0);
	assert_int_equal(tpm2_signature_verify(&s, rsa_key, quote.data, quote.len), -EBADMSG);
	field[1] = 1;
	refused_with(parse_signature, &rsa, 4, 258, field, 2 + 513);
	_cleanup_sample_ struct sample empty = splice(&rsa, 4, 258, "\0", 2);
	assert_int_equal(tpm2_signature_parse(empty.data, empty.len, &s), 0);
	assert_int_equal(tpm2_signature_verify(&s, rsa_key, quote.data, quote.len), -EBADMSG);
	/* The token never chooses: the same bytes under the other padding */
	assert_int_equal(tpm2_signature_parse(rsa.data, rsa.len, &s), 0);
	s.scheme = TPM2_RSAPSS;
	assert_int_equal(tpm2_signature_verify(&s, rsa_key, quote.data, quote.len), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_names_need_a_digest),
		cmocka_unit_test(test_quotes),
		cmocka_unit_test(test_nv),
		cmocka_unit_test(test_other_type),
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_attest_bounds),
		cmocka_unit_test(test_public_fields),
		cmocka_unit_test(test_public_bounds),
		cmocka_unit_test(test_keys_refused),
		cmocka_unit_test(test_leading_zero),
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_signature_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
