/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Endorsement keys of every kind and their certificates, the attestation key over the years,
 * activation, the counter.
 */
#include "quote_check.h"

#include <openssl/x509.h>

static const uint8_t nonce[32] = "a nonce";

/* A credential by tpm2_makecredential, taken apart: it puts eight bytes in front. */
static void make_credential(const struct softtpm *s, const struct tpm_identity *i,
			    const uint8_t *name, uint8_t *file, size_t *credential_len, size_t *len)
{
	uint8_t public[2 + TPM_PUBLIC_MAX] = {i->ek_public_len >> 8, i->ek_public_len};
	char hex[2 * TPM_NAME_MAX + 1] = "";

	memcpy(public + 2, i->ek_public, i->ek_public_len);
	save(s, "ek.pub", public, 2 + i->ek_public_len);
	save(s, "secret", "thirty-two bytes for the holder.", 32);
	for (size_t n = 0; n < i->ak_name_len; n++)
		sprintf(hex + 2 * n, "%02x", name[n]);
	assert_int_equal(run("cd %s && tpm2_makecredential -Q -T none -u ek.pub -s secret -n %s -o "
			     "credential",
			     s->dir, hex),
			 0);
	*len = load(s, "credential", file, 1024) - 8;
	memmove(file, file + 8, *len);
	*credential_len = 2 + (file[0] << 8 | file[1]);
}

static int activate(struct tpm_worker *w, const uint8_t *file, size_t credential_len, size_t len,
		    struct outcome *o)
{
	memset(o, 0, sizeof(*o));
	assert_int_equal(tpm_worker_activate(w, file, credential_len, file + credential_len,
					     len - credential_len, on_activated, o),
			 0);
	return await_outcome(w, o);
}

static void check_activation(const struct softtpm *s, struct tpm_worker *w,
			     const struct tpm_identity *i)
{
	uint8_t file[1024], other[TPM_NAME_MAX];
	size_t credential_len, len;
	struct outcome o;

	make_credential(s, i, i->ak_name, file, &credential_len, &len);
	assert_int_equal(activate(w, file, credential_len, len, &o), 0);
	assert_int_equal(o.secret_len, 32);
	assert_memory_equal(o.secret, "thirty-two bytes for the holder.", 32);
	for (size_t n = 0; n < len; n++) {
		assert_int_equal(tpm_worker_activate(w, file,
						     n < credential_len ? n : credential_len,
						     file + credential_len,
						     n < credential_len ? 0 : n - credential_len,
						     on_activated, &o),
				 -EBADMSG);
	}
	/* A flipped bit of the seed, and a credential for another key. */
	file[len - 1] ^= 1;
	assert_int_equal(activate(w, file, credential_len, len, &o), -EBADMSG);
	memcpy(other, i->ak_name, i->ak_name_len);
	other[5] ^= 1;
	make_credential(s, i, other, file, &credential_len, &len);
	assert_int_equal(activate(w, file, credential_len, len, &o), -EBADMSG);
	assert_int_equal(status_of(w).reconnects, 0);
	quote_well(w, 1);
}

/* A certificate of the CA that affiant-softtpm made, for exactly this key. */
static void check_certificate(const struct softtpm *s, const struct tpm_identity *i)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *ours = NULL;
	const unsigned char *at = i->ek_chain[0].data;
	struct tpm2_public public;
	X509 *x = d2i_X509(NULL, &at, i->ek_chain[0].len);

	assert_non_null(x);
	assert_ptr_equal(at, i->ek_chain[0].data + i->ek_chain[0].len);
	assert_int_equal(tpm2_public_parse(i->ek_public, i->ek_public_len, &public), 0);
	assert_int_equal(tpm2_public_key(&public, &ours), 0);
	assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(x), ours), 1);
	X509_free(x);
	save(s, "ek.der", i->ek_chain[0].data, i->ek_chain[0].len);
	assert_int_equal(run("cd %s && openssl x509 -inform DER -in ek.der -out ek.pem && openssl "
			     "verify -x509_strict "
			     "-CAfile state/ca/swtpm-localca-rootca-cert.pem -untrusted "
			     "state/ca/issuercert.pem ek.pem >/dev/null",
			     s->dir),
			 0);
}

static void test_every_kind(void **state)
{
	static const struct {
		enum tpm_ek kind;
		uint16_t type, curve, name_alg;
	} kinds[] = {
		{TPM_EK_AUTO, TPM2_ECC, 3, TPM2_SHA256},
		{TPM_EK_ECC_P256, TPM2_ECC, 3, TPM2_SHA256},
		{TPM_EK_ECC_P384, TPM2_ECC, 4, TPM2_SHA384},
		{TPM_EK_RSA_2048, TPM2_RSA, 0, TPM2_SHA256},
	};
	struct softtpm *s = *state;

	for (size_t n = 0; n < sizeof(kinds) / sizeof(*kinds); n++) {
		struct tpm_worker *w = worker_new(s, kinds[n].kind);
		struct tpm_identity i = identity_of(w);
		struct tpm2_public public;

		assert_int_equal(tpm2_public_parse(i.ek_public, i.ek_public_len, &public), 0);
		assert_int_equal(public.type, kinds[n].type);
		assert_int_equal(public.name_alg, kinds[n].name_alg);
		if (kinds[n].curve)
			assert_int_equal(public.curve, kinds[n].curve);
		assert_int_equal(i.ek_chain_count, 1);
		check_certificate(s, &i);
		quote_well(w, n);
		check_activation(s, w, &i);
		/* Another EK is another parent, so another AK; that is said. */
		assert_int_equal(!!status_of(w).notice[0], n >= 2);
		tpm_identity_clear(&i);
		tpm_worker_free(w);
	}
}

/*
 * What holds no certificate that OpenSSL can read is a verifier's to judge: it names the template
 * all the same.
 */
static const char odd_certificate[] = "printf '\\060\\003\\002\\001\\001' > odd && "
				      "tpm2_nvdefine -Q $1 -C p -s 5 -a "
				      "'ppwrite|ppread|ownerread|authread|no_da|platformcreate' && "
				      "tpm2_nvwrite -Q $1 -C p -i odd";

static void test_high_range(void **state)
{
	static const struct {
		enum tpm_ek kind;
		const char *low, *high;
	} kinds[] = {
		{TPM_EK_ECC_P256, "0x01C0000A", "0x01C00014"},
		{TPM_EK_RSA_2048, "0x01C00002", "0x01C00012"},
	};
	struct softtpm *s = *state;

	for (size_t n = 0; n < 2; n++) {
		struct tpm2_public public;
		struct tpm_identity i;
		struct tpm_worker *w;

		assert_int_equal(TPM2(s, "set -- %s && tpm2_nvundefine -Q -C p %s && %s",
				      kinds[n].high, kinds[n].low, odd_certificate),
				 0);
		w = worker_new(s, kinds[n].kind);
		i = identity_of(w);
		assert_int_equal(tpm2_public_parse(i.ek_public, i.ek_public_len, &public), 0);
		assert_true(public.attributes & TPM2_USER_WITH_AUTH);
		assert_int_equal(i.ek_chain_count, 1);
		assert_int_equal(i.ek_chain[0].len, 5);
		quote_well(w, n);
		check_activation(s, w, &i);
		tpm_identity_clear(&i);
		tpm_worker_free(w);
	}
}

static void test_chain_in_nv(void **state)
{
	struct softtpm *s = *state;
	uint8_t root[TPM_CERTIFICATE_MAX];
	struct tpm_identity i;
	struct tpm_worker *w;
	size_t len;

	/*
	 * The EK's with room behind it; the issuers' over two indices, which end anywhere, and
	 * padded.
	 */
	assert_int_equal(TPM2(s, "A='ppwrite|ppread|ownerread|authread|no_da|platformcreate' && "
				 "tpm2_nvread -Q -C o 0x01C0000A -o ek && tpm2_nvundefine -Q -C p "
				 "0x01C0000A && "
				 "tpm2_nvdefine -Q -C p -s 1500 -a $A 0x01C0000A && tpm2_nvwrite "
				 "-Q -C p 0x01C0000A -i ek && "
				 "openssl x509 -in state/ca/issuercert.pem -outform DER > one && "
				 "openssl x509 -in state/ca/swtpm-localca-rootca-cert.pem -outform "
				 "DER > two && "
				 "cat one two > both && head -c 1000 both > first && tail -c +1001 "
				 "both > second && "
				 "tpm2_nvdefine -Q -C p -s 1000 -a $A 0x01C00100 && tpm2_nvwrite "
				 "-Q -C p 0x01C00100 -i first && "
				 "tpm2_nvdefine -Q -C p -s 1600 -a $A 0x01C00101 && tpm2_nvwrite "
				 "-Q -C p 0x01C00101 -i second"),
			 0);
	w = worker_new(s, TPM_EK_ECC_P256);
	i = identity_of(w);
	check_certificate(s, &i);
	assert_int_equal(i.ek_chain_count, 3);
	len = load(s, "two", root, sizeof(root));
	assert_int_equal(i.ek_chain[2].len, len);
	assert_memory_equal(i.ek_chain[2].data, root, len);
	tpm_identity_clear(&i);
	tpm_worker_free(w);
}

/* A nonce in NV makes another key, which the certificate is not of. */
static void test_nonce_in_nv(void **state)
{
	struct softtpm *s = *state;
	struct tpm_worker *w = worker_new(s, TPM_EK_ECC_P256);
	struct tpm_identity before = identity_of(w), after;

	tpm_worker_free(w);
	assert_int_equal(
		TPM2(s, "head -c 32 /dev/urandom > n && tpm2_nvdefine -Q -C p -s 32 -a "
			"'ppwrite|ppread|ownerread|authread|no_da|platformcreate' 0x01C0000B && "
			"tpm2_nvwrite -Q -C p 0x01C0000B -i n"),
		0);
	w = worker_new(s, TPM_EK_ECC_P256);
	after = identity_of(w);
	assert_int_equal(after.ek_chain_count, 0);
	assert_memory_not_equal(after.ek_public, before.ek_public, before.ek_public_len);
	tpm_identity_clear(&before);
	tpm_identity_clear(&after);
	tpm_worker_free(w);
}

static void test_no_certificate(void **state)
{
	struct softtpm *s = *state;
	struct tpm2_public public;
	struct tpm_identity i;
	struct tpm_worker *w;

	assert_int_equal(TPM2(s, "for n in 0x01C00002 0x01C0000A 0x01C00016; do tpm2_nvundefine -Q "
				 "-C p $n; done"),
			 0);
	w = worker_new(s, TPM_EK_AUTO);
	i = identity_of(w);
	assert_int_equal(i.ek_chain_count, 0);
	assert_int_equal(tpm2_public_parse(i.ek_public, i.ek_public_len, &public), 0);
	assert_int_equal(public.curve, 3);
	quote_well(w, 1);
	check_activation(s, w, &i);
	tpm_identity_clear(&i);
	tpm_worker_free(w);
}

/* The AK's name, by a worker of its own. */
static void ak_of(const struct softtpm *s, uint8_t name[static TPM_NAME_MAX], char *notice)
{
	struct tpm_worker *w = worker_new(s, TPM_EK_ECC_P256);
	struct tpm_identity i = identity_of(w);

	memset(name, 0, TPM_NAME_MAX);
	memcpy(name, i.ak_name, i.ak_name_len);
	strcpy(notice, status_of(w).notice);
	quote_well(w, 1);
	tpm_identity_clear(&i);
	tpm_worker_free(w);
}

static void test_key_stays(void **state)
{
	struct softtpm *s = *state;
	uint8_t first[TPM_NAME_MAX], then[TPM_NAME_MAX];
	char notice[256];

	ak_of(s, first, notice);
	assert_string_equal(notice, "");
	assert_int_equal(run("cd %s/keys && test \"$(stat -c %%a ak.blob ak.auth | sort -u)\" = "
			     "600 && test -z \"$(ls *.new 2>/dev/null)\"",
			     s->dir),
			 0);
	ak_of(s, then, notice);
	assert_memory_equal(first, then, sizeof(first));
	softtpm_kill(s);
	softtpm_start(s);
	ak_of(s, then, notice);
	assert_memory_equal(first, then, sizeof(first));
	assert_string_equal(notice, "");

	assert_int_equal(TPM2(s, "tpm2_clear -Q -c p"), 0);
	ak_of(s, then, notice);
	assert_memory_not_equal(first, then, sizeof(first));
	assert_non_null(strstr(notice, "made anew"));
	memcpy(first, then, sizeof(first));
	/* Interrupted between its two files, when it was replaced. */
	assert_int_equal(run("cd %s/keys && cp ak.auth old && rm ak.blob", s->dir), 0);
	ak_of(s, then, notice);
	assert_memory_not_equal(first, then, sizeof(first));
	assert_int_equal(run("cd %s/keys && mv old ak.auth", s->dir), 0);
	ak_of(s, first, notice);
	assert_memory_not_equal(first, then, sizeof(first));
	assert_non_null(strstr(notice, "made anew"));
}

/* Damaged, unreadable or half gone: an error that says what, and nothing is replaced. */
static void test_damaged_key(void **state)
{
	static const struct {
		const char *damage, *mend, *word;
	} cases[] = {
		{"printf X | dd of=ak.blob bs=1 seek=100 conv=notrunc status=none",
		 "cp ../whole/ak.blob .", "damaged"},
		{"truncate -s 100 ak.blob", "cp ../whole/ak.blob .", "damaged"},
		{": > ak.blob", "cp ../whole/ak.blob .", "damaged"},
		{"echo >> ak.blob", "cp ../whole/ak.blob .", "damaged"},
		{"rm ak.blob; mkdir ak.blob", "rmdir ak.blob; cp ../whole/ak.blob .", "damaged"},
		{"rm ak.blob; ln -s /nonexistent ak.blob", "rm ak.blob; cp ../whole/ak.blob .",
		 "symbolic"},
		{"rm ak.auth", "cp ../whole/ak.auth .", "No such file"},
		{"truncate -s 20 ak.auth", "cp ../whole/ak.auth .", "damaged"},
	};
	struct softtpm *s = *state;
	uint8_t first[TPM_NAME_MAX], then[TPM_NAME_MAX];
	char notice[256];
	struct outcome o;

	ak_of(s, first, notice);
	assert_int_equal(run("cp -a %s/keys %s/whole", s->dir, s->dir), 0);
	for (size_t n = 0; n < sizeof(cases) / sizeof(*cases); n++) {
		struct tpm_worker *w;

		assert_int_equal(run("cd %s/keys && (%s)", s->dir, cases[n].damage), 0);
		w = worker_new(s, TPM_EK_ECC_P256);
		assert_int_equal(quote(w, nonce, &o), -EIO);
		assert_int_equal(status_of(w).state, TPM_UNUSABLE);
		if (!strstr(status_of(w).error, cases[n].word))
			fail_msg("%s: %s", cases[n].damage, status_of(w).error);
		assert_int_equal(run("cd %s/keys && (%s)", s->dir, cases[n].mend), 0);
		quote_well(w, n);
		tpm_worker_free(w);
	}
	ak_of(s, then, notice);
	assert_memory_equal(first, then, sizeof(first));
}

static int anchor(struct tpm_worker *w, bool increment, struct outcome *o)
{
	memset(o, 0, sizeof(*o));
	assert_int_equal(tpm_worker_anchor(w, increment, nonce, on_anchored, o), 0);
	return await_outcome(w, o);
}

static uint64_t anchor_well(struct tpm_worker *w, bool increment)
{
	struct tpm2_attest attest;
	struct outcome o;

	if (anchor(w, increment, &o))
		fail_msg("anchor: %d: %s", o.err, status_of(w).error);
	check_signed(w, &o.quoted, nonce, &attest);
	assert_int_equal(attest.type, TPM2_ST_ATTEST_NV);
	assert_int_equal(attest.nv_offset, 0);
	assert_int_equal(attest.nv_counter, o.counter);
	return o.counter;
}

static void test_counter(void **state)
{
	struct softtpm *s = *state;
	struct tpm_worker *w = worker_new(s, TPM_EK_ECC_P256);
	uint64_t first = anchor_well(w, false);
	struct outcome o;

	assert_true(first > 0);
	assert_int_equal(anchor_well(w, false), first);
	for (uint64_t n = 1; n <= 5; n++)
		assert_int_equal(anchor_well(w, true), first + n);
	quote_well(w, 1);
	softtpm_kill(s);
	softtpm_start(s);
	assert_int_equal(anchor_well(w, true), first + 6);
	tpm_worker_free(w);

	/* Nobody else moves it. Removed, it comes back above what it was. */
	assert_int_not_equal(TPM2(s, "tpm2_nvincrement -Q 0x01800AF1 -C 0x01800AF1 2>/dev/null"),
			     0);
	assert_int_not_equal(TPM2(s, "tpm2_nvincrement -Q 0x01800AF1 -C o 2>/dev/null"), 0);
	assert_int_equal(TPM2(s, "tpm2_nvundefine -Q 0x01800AF1 -C o"), 0);
	w = worker_new(s, TPM_EK_ECC_P256);
	assert_int_equal(anchor_well(w, true), first + 7);
	/* Without its authorisation, which is read each time. */
	assert_int_equal(run("mv %s/keys/counter.auth %s/kept", s->dir, s->dir), 0);
	assert_int_equal(anchor(w, true, &o), -EIO);
	assert_non_null(strstr(status_of(w).error, "counter.auth"));
	assert_int_equal(status_of(w).state, TPM_READY);
	assert_int_equal(run("mv %s/kept %s/keys/counter.auth", s->dir, s->dir), 0);
	assert_int_equal(anchor_well(w, true), first + 8);
	tpm_worker_free(w);

	assert_int_equal(
		TPM2(s,
		     "tpm2_nvundefine -Q 0x01800AF1 -C o && tpm2_nvdefine -Q 0x01800AF1 -C o -s 8"),
		0);
	w = worker_new(s, TPM_EK_ECC_P256);
	assert_int_equal(anchor(w, true, &o), -EIO);
	assert_non_null(strstr(status_of(w).error, "somebody else's"));
	tpm_worker_free(w);
}

/* Whatever was done: afterwards the TPM has nothing of ours loaded. */
static void test_no_handle_leaks(void **state)
{
	unsigned int quotes = getenv("AFFIANT_TEST_LONG") ? 10000 : 300;
	struct softtpm *s = *state;
	struct tpm_worker *w = worker_new(s, TPM_EK_ECC_P256);
	struct tpm_identity i = identity_of(w);
	struct timespec start, end;
	struct outcome o;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (unsigned int n = 0; n < quotes; n++)
		assert_int_equal(quote(w, nonce, &o), 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	print_message("%u quotes, %.3f ms each\n", quotes,
		      ((end.tv_sec - start.tv_sec) * 1e3 + (end.tv_nsec - start.tv_nsec) / 1e6) /
			      quotes);
	assert_int_equal(status_of(w).quotes, quotes);
	for (unsigned int n = 0; n < 10; n++) {
		check_activation(s, w, &i);
		anchor_well(w, true);
	}
	assert_int_equal(status_of(w).reconnects, 0);
	tpm_identity_clear(&i);
	tpm_worker_free(w);
	assert_int_equal(TPM2(s, "for kind in transient loaded-session saved-session; do "
				 "test -z \"$(tpm2_getcap handles-$kind)\" || exit 1; done"),
			 0);
}

/* tpm2-tools agree. */
static void test_checkquote(void **state)
{
	struct softtpm *s = *state;
	struct tpm_worker *w = worker_new(s, TPM_EK_ECC_P256);
	struct tpm_identity i = identity_of(w);
	uint8_t public[2 + TPM_PUBLIC_MAX] = {i.ak_public_len >> 8, i.ak_public_len};
	struct outcome o;

	memcpy(public + 2, i.ak_public, i.ak_public_len);
	assert_int_equal(quote(w, nonce, &o), 0);
	save(s, "ak.pub", public, 2 + i.ak_public_len);
	save(s, "attest", o.quoted.attest, o.quoted.attest_len);
	save(s, "signature", o.quoted.signature, o.quoted.signature_len);
	save(s, "nonce", nonce, sizeof(nonce));
	tpm_identity_clear(&i);
	tpm_worker_free(w);
	assert_int_equal(TPM2(s, "tpm2_loadexternal -Q -C n -u ak.pub -c ak.ctx && tpm2_readpublic "
				 "-Q -c ak.ctx -f pem -o ak.pem && "
				 "tpm2_checkquote -Q -u ak.pem -m attest -s signature -q $(od -An "
				 "-v -tx1 nonce | tr -d ' \\n')"),
			 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, tpm_new, tpm_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_every_kind),  CASE(test_high_range),     CASE(test_chain_in_nv),
		CASE(test_nonce_in_nv), CASE(test_no_certificate), CASE(test_key_stays),
		CASE(test_damaged_key), CASE(test_counter),        CASE(test_no_handle_leaks),
		CASE(test_checkquote),
	};

	return softtpm_there() ? cmocka_run_group_tests(tests, NULL, NULL) : SOFTTPM_SKIP;
}
