/* SPDX-License-Identifier: Apache-2.0 */
/* What is read without a TPM: the header of a response, the end of a certificate, the kept keys. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tpm/der.h"
#include "tpm/keystore.h"
#include "tpm/tcti.h"
#include "tpm/template.h"

#define POISON 0xa5a5a5a5u

static void test_response(void **state)
{
	static const struct {
		const char *bytes;
		size_t len, max;
		int err;
		size_t size;
	} cases[] = {
		{"\x80\x01\0\0\0\x0a\0\0\0\0", 10, 4096, 0, 10},
		{"\x80\x02\0\0\x10\0\0\0\0\0", 10, 4096, 0, 4096},
		{"\x80\x01\0\0\0\x0c\0\0\0\0\1", 11, 4096, 0, 12},
		{"\x80\x02\0\0\x10\x01\0\0\0\0", 10, 4096, -EBADMSG, 0},
		{"\x80\x01\0\0\0\x09\0\0\0\0", 10, 4096, -EBADMSG, 0},
		{"\x80\x01\0\0\0\0\0\0\0\0", 10, 4096, -EBADMSG, 0},
		{"\x80\x01\xff\xff\xff\xff\0\0\0\0", 10, 4096, -EBADMSG, 0},
		{"\x80\x01\0\0\0\x0a\0\0\0\0\0", 11, 4096, -EBADMSG, 0},
		{"\x00\xc4\0\0\0\x0a\0\0\0\x1e", 10, 4096, -EBADMSG, 0},
		{"\x80\x14\0\0\0\x0a\0\0\0\0", 10, 4096, -EBADMSG, 0},
		{"HTTP/1.1 2", 10, 4096, -EBADMSG, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		size_t size = POISON;

		assert_int_equal(tcti_response_size((const uint8_t *)cases[i].bytes, cases[i].len,
						    cases[i].max, &size),
				 cases[i].err);
		assert_int_equal(size, cases[i].err ? POISON : cases[i].size);
		for (size_t len = 0; len < 10; len++) {
			assert_int_equal(tcti_response_size((const uint8_t *)cases[i].bytes, len,
							    cases[i].max, &size),
					 0);
			assert_int_equal(size, 0);
		}
	}
}

static void test_der(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		size_t length; /* 0: none */
	} cases[] = {
		{"\x30\x00", 2, 2},
		{"\x30\x03\x02\x01\x01\xff\xff", 7, 5},
		{"\x30\x81\x03\x02\x01\x01\0\0", 8, 6},
		{"\x30\x82\x00\x03\x02\x01\x01", 7, 7},
		{"\x30\x83\x00\x00\x03\x02\x01\x01", 8, 8},
		{"\x30\x04\x02\x01\x01", 5, 0},
		{"\x30\x80\x02\x01\x01\0\0", 7, 0},
		{"\x30\x84\0\0\0\x03\x02\x01\x01", 9, 0},
		{"\x30\xff\xff", 3, 0},
		{"\x31\x03\x02\x01\x01", 5, 0},
		{"\xff\xff\xff\xff", 4, 0},
		{"", 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		size_t length = POISON;

		assert_int_equal(der_length(cases[i].bytes, cases[i].len, &length),
				 cases[i].length ? 0 : -EBADMSG);
		assert_int_equal(length, cases[i].length ?: POISON);
		for (size_t len = 0; len < cases[i].length; len++) {
			length = POISON;
			assert_int_equal(der_length(cases[i].bytes, len, &length), -EBADMSG);
			assert_int_equal(length, POISON);
		}
	}
}

/* The constants of the profile follow from each other (Part 3, 23.6 and 23.4; profile, B.6). */
static void test_policies(void **state)
{
	const struct {
		TPMI_ALG_HASH alg;
		const EVP_MD *md;
	} hashes[] = {{TPM2_ALG_SHA256, EVP_sha256()}, {TPM2_ALG_SHA384, EVP_sha384()}};
	static const uint8_t secret[] = {0, 0, 0x01, 0x51, 0x40, 0, 0, 0x0b},
			     or [] = {0, 0, 0x01, 0x71};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		uint8_t data[4 * 64], digest[64];
		unsigned int size = EVP_MD_get_size(hashes[i].md), len;
		TPM2B_PUBLIC public;
		TPML_DIGEST list;

		template_policies(hashes[i].alg, &list);
		memset(data, 0, size);
		memcpy(data + size, secret, sizeof(secret));
		EVP_Digest(data, size + sizeof(secret), digest, &len, hashes[i].md, NULL);
		EVP_Digest(digest, size, digest, &len, hashes[i].md, NULL); /* an empty policyRef */
		assert_int_equal(list.digests[0].size, size);
		assert_memory_equal(list.digests[0].buffer, digest, size);

		memset(data, 0, size);
		memcpy(data + size, or, sizeof(or));
		memcpy(data + size + 4, list.digests[0].buffer, size);
		memcpy(data + 2 * size + 4, list.digests[1].buffer, size);
		EVP_Digest(data, 3 * size + 4, digest, &len, hashes[i].md, NULL);
		for (size_t t = 0; t < templates_count; t++) {
			if (!templates[t].high || templates[t].name_alg != hashes[i].alg)
				continue;
			template_public(&templates[t], NULL, 0, &public);
			assert_int_equal(public.publicArea.authPolicy.size, size);
			assert_memory_equal(public.publicArea.authPolicy.buffer, digest, size);
		}
	}
}

struct place {
	char path[64];
	int dir;
};

static int place_new(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	strcpy(p->path, "/tmp/affiant-keystore-XXXXXX");
	assert_non_null(mkdtemp(p->path));
	p->dir = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->dir >= 0);
	*state = p;
	return 0;
}

static int place_remove(void **state)
{
	static const char *const names[] = {KEYSTORE_BLOB, KEYSTORE_AK_AUTH, KEYSTORE_BLOB ".new",
					    "copy"};
	struct place *p = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		unlinkat(p->dir, names[i], 0);
	close(p->dir);
	assert_int_equal(rmdir(p->path), 0);
	free(p);
	return 0;
}

static void put(int dir, const char *name, const void *data, size_t len)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static void test_key_file(void **state)
{
	struct keystore_key key = {.private.size = 200}, got;
	struct place *p = *state;
	uint8_t data[8192];
	struct stat st;
	ssize_t len;
	int fd;

	assert_int_equal(keystore_load_key(p->dir, &got), -ENOENT);
	template_attestation_key(&key.public);
	memset(key.private.buffer, 0x5a, key.private.size);
	/* What an interrupted attempt left is in nobody's way. */
	put(p->dir, KEYSTORE_BLOB ".new", "half", 4);
	assert_int_equal(keystore_save_key(p->dir, &key), 0);
	assert_int_equal(faccessat(p->dir, KEYSTORE_BLOB ".new", F_OK, 0), -1);
	assert_int_equal(fstatat(p->dir, KEYSTORE_BLOB, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(keystore_load_key(p->dir, &got), 0);
	assert_int_equal(got.private.size, key.private.size);
	assert_memory_equal(got.private.buffer, key.private.buffer, key.private.size);
	assert_int_equal(got.public.publicArea.objectAttributes,
			 key.public.publicArea.objectAttributes);

	fd = openat(p->dir, KEYSTORE_BLOB, O_RDONLY | O_CLOEXEC);
	len = read(fd, data, sizeof(data));
	close(fd);
	assert_true(len > 200);
	for (ssize_t n = 0; n < len; n++) {
		put(p->dir, KEYSTORE_BLOB, data, n);
		assert_int_equal(keystore_load_key(p->dir, &got), -EBADMSG);
		data[n] ^= 1;
		put(p->dir, KEYSTORE_BLOB, data, len);
		assert_int_equal(keystore_load_key(p->dir, &got), -EBADMSG);
		data[n] ^= 1;
	}
}

static void test_auth_file(void **state)
{
	TPM2B_AUTH auth, got = {0};
	struct place *p = *state;

	assert_int_equal(keystore_random_auth(&auth), 0);
	assert_int_equal(auth.size, 32);
	assert_int_equal(keystore_load_auth(p->dir, KEYSTORE_AK_AUTH, "name", 4, &got), -ENOENT);
	assert_int_equal(keystore_save_auth(p->dir, KEYSTORE_AK_AUTH, "name", 4, &auth), 0);
	assert_int_equal(keystore_load_auth(p->dir, KEYSTORE_AK_AUTH, "name", 4, &got), 0);
	assert_memory_equal(got.buffer, auth.buffer, 32);
	assert_int_equal(keystore_load_auth(p->dir, KEYSTORE_AK_AUTH, "eman", 4, &got), -ESTALE);
	assert_int_equal(keystore_load_auth(p->dir, KEYSTORE_AK_AUTH, "nam", 3, &got), -ESTALE);
	put(p->dir, KEYSTORE_AK_AUTH, auth.buffer, 32);
	assert_int_equal(keystore_load_auth(p->dir, KEYSTORE_AK_AUTH, "name", 4, &got), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_response),
		cmocka_unit_test(test_der),
		cmocka_unit_test(test_policies),
		cmocka_unit_test_setup_teardown(test_key_file, place_new, place_remove),
		cmocka_unit_test_setup_teardown(test_auth_file, place_new, place_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
