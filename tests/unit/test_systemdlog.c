/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/systemdlog.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "attest/hash.h"
#include "attest_samples.h"
#include "base/digest.h"

#define _cleanup_systemdlog_ __attribute__((cleanup(systemdlog_clear)))

/* As systemd writes it (tpm2_userspace_log(), src/shared/tpm2-util.c) */
static size_t entry(char *ret, int pcr, const char *measured, const char *text, const char *type)
{
	uint8_t digest[TPM2_DIGEST_MAX];
	char sha1[41], sha256[65], index[32] = "\"nvIndexName\":\"x\",";

	if (pcr >= 0)
		snprintf(index, sizeof(index), "\"pcr\":%d,", pcr);
	assert_int_equal(hash_of(TPM2_SHA1, measured, strlen(measured), digest), 0);
	hex_encode(digest, 20, sha1);
	assert_int_equal(hash_of(TPM2_SHA256, measured, strlen(measured), digest), 0);
	hex_encode(digest, 32, sha256);
	return sprintf(
		ret,
		"\x1e{%s\"digests\":[{\"hashAlg\":\"sha1\",\"digest\":\"%s\"},{\"hashAlg\":"
		"\"sha256\","
		"\"digest\":\"%s\"},{\"hashAlg\":\"sm3_256\",\"digest\":\"00\"}],\"content_type\":"
		"\"systemd\","
		"\"content\":{\"string\":\"%s\",\"bootId\":\"0b1c26d36c6b44d0a3dfa1a8b3f0f5f0\","
		"\"timestamp\":8117412,\"eventType\":\"%s\"}}\n",
		index, sha1, sha256, text, type);
}

static size_t log_of(char *ret)
{
	size_t len = entry(ret, 11, "enter-initrd", "enter-initrd", "phase");

	len += entry(ret + len, 15, "HMAC of the key", "cryptsetup:root:uuid", "volume-key");
	len += entry(ret + len, -1, "anything", "anything", "nv");
	return len + entry(ret + len, 11, "leave-initrd", "leave-initrd", "phase");
}

static void test_log(void **state)
{
	_cleanup_systemdlog_ struct systemdlog l = {};
	struct pcr_bank bank, by_hand;
	uint8_t digest[TPM2_DIGEST_MAX];
	char text[4096];
	size_t len = log_of(text);

	(void)state;
	assert_int_equal(systemdlog_parse(text, len, &l), 0);
	assert_int_equal(l.count, 4);
	assert_int_equal(l.entries[0].pcr, 11);
	assert_int_equal(l.entries[0].digests_count, 2);
	assert_string_equal(l.entries[0].type, "phase");
	assert_string_equal(systemdlog_text(&l.entries[0], TPM2_SHA256), "enter-initrd");
	assert_string_equal(systemdlog_text(&l.entries[0], TPM2_SHA1), "enter-initrd");
	assert_null(systemdlog_text(&l.entries[0], TPM2_SHA384));
	assert_string_equal(l.entries[1].text, "cryptsetup:root:uuid");
	assert_null(systemdlog_text(&l.entries[1], TPM2_SHA256));
	assert_int_equal(l.entries[2].pcr, SYSTEMDLOG_NV);

	assert_int_equal(pcr_bank_init(&bank, TPM2_SHA256), 0);
	by_hand = bank;
	for (int i = 0; i < 3; i++) {
		static const char *const measured[] = {"enter-initrd", "HMAC of the key",
						       "leave-initrd"};

		hash_of(TPM2_SHA256, measured[i], strlen(measured[i]), digest);
		assert_int_equal(pcr_extend(&by_hand, i == 1 ? 15 : 11, digest), 0);
	}
	assert_int_equal(systemdlog_replay(&l, &bank), 0);
	assert_memory_equal(&bank, &by_hand, sizeof(bank));
	assert_int_equal(pcr_bank_init(&bank, TPM2_SHA384), 0);
	by_hand = bank;
	assert_int_equal(systemdlog_replay(&l, &bank), -ENOENT);
	assert_memory_equal(&bank, &by_hand, sizeof(bank));
}

static int parse(const char *text, size_t len)
{
	_cleanup_sample_ struct sample s = sample_copy(text, len);
	struct systemdlog l = {.count = 0};
	int err = systemdlog_parse(s.data, s.len, &l);

	if (err)
		assert_null(l.entries);
	systemdlog_clear(&l);
	return err;
}

static void test_every_length(void **state)
{
	char text[4096];
	size_t len = log_of(text), good = 0;

	(void)state;
	for (size_t n = 0; n < len; n++) {
		const bool whole = n == 0 || text[n - 1] == '\n';

		assert_int_equal(parse(text, n), whole ? 0 : -EBADMSG);
		good += whole;
	}
	assert_int_equal(good, 4);
}

static void test_malformed(void **state)
{
	static const struct {
		const char *text;
		int expected;
	} cases[] = {
		{"\x1e{\"pcr\":11,\"digests\":[]}\n", 0},
		{"\x1e{\"digests\":[],\"content\":{}}\n", 0},
		{"{\"pcr\":11,\"digests\":[]}\n", -EBADMSG},
		{"\x1e\x1e{\"pcr\":11,\"digests\":[]}\n", -EBADMSG},
		{"\x1e\n", -EBADMSG},
		{"\x1e[]\n", -EBADMSG},
		{"\x1e{\"pcr\":24,\"digests\":[]}\n", -EBADMSG},
		{"\x1e{\"pcr\":-1,\"digests\":[]}\n", -EBADMSG},
		{"\x1e{\"pcr\":\"11\",\"digests\":[]}\n", -EBADMSG},
		{"\x1e{\"pcr\":11.5,\"digests\":[]}\n", -EBADMSG},
		{"\x1e{\"pcr\":11,\"pcr\":12,\"digests\":[]}\n", -EBADMSG},
		{"\x1e{\"pcr\":11}\n", -EBADMSG},
		{"\x1e{\"pcr\":11,\"digests\":{}}\n", -EBADMSG},
		{"\x1e{\"pcr\":11,\"digests\":[1]}\n", -EBADMSG},
		{"\x1e{\"pcr\":11,\"digests\":[{\"hashAlg\":\"sha1\"}]}\n", -EBADMSG},
		{"\x1e{\"pcr\":11,\"digests\":[{\"hashAlg\":\"sha1\",\"digest\":\"00\"}]}\n",
		 -EBADMSG},
		{"\x1e{\"pcr\":11,\"digests\":[{\"hashAlg\":\"sha1\",\"digest\":"
		 "\"zz11111111111111111111111111111111111111\"}]}\n",
		 -EBADMSG},
		{"\x1e{\"pcr\":11,\"digests\":[{\"hashAlg\":\"sha1\",\"digest\":"
		 "\"0011111111111111111111111111111111111111\"},"
		 "{\"hashAlg\":\"sha1\",\"digest\":\"0011111111111111111111111111111111111111\"}]}"
		 "\n",
		 -EBADMSG},
		{"\x1e{\"pcr\":11,\"digests\":[],\"content\":[]}\n", -EBADMSG},
		{"\x1e{\"pcr\":11,\"digests\":[],\"content\":{\"string\":1}}\n", -EBADMSG},
		{"\x1e{\"pcr\":11,\"digests\":[],\"content\":{\"x\":[[[[]]]]}}\n", -EBADMSG},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (parse(cases[i].text, strlen(cases[i].text)) != cases[i].expected)
			fail_msg("case %zu: %d", i, parse(cases[i].text, strlen(cases[i].text)));
}

static void test_maxima(void **state)
{
	static const char one[] = "\x1e{\"digests\":[]}\n";
	const size_t size = strlen(one);
	char digests[1024] = "\x1e{\"digests\":[", *many = malloc(SYSTEMDLOG_SIZE_MAX + 1);

	(void)state;
	assert_non_null(many);
	for (size_t i = 0; i <= SYSTEMDLOG_ENTRIES_MAX; i++)
		memcpy(many + i * size, one, size);
	assert_int_equal(parse(many, SYSTEMDLOG_ENTRIES_MAX * size), 0);
	assert_int_equal(parse(many, (SYSTEMDLOG_ENTRIES_MAX + 1) * size), -E2BIG);
	assert_int_equal(parse(many, SYSTEMDLOG_SIZE_MAX + 1), -E2BIG);
	free(many);
	for (size_t i = 0; i <= SYSTEMDLOG_DIGESTS_MAX; i++)
		strcat(digests, i ? ",{\"hashAlg\":\"x\",\"digest\":\"\"}"
				  : "{\"hashAlg\":\"x\",\"digest\":\"\"}");
	strcat(digests, "]}\n");
	assert_int_equal(parse(digests, strlen(digests)), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_maxima),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
