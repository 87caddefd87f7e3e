/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/eventlog.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "attest_samples.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include "eventlog_builder.h"

DEFINE_CLEANUP(struct eventlog *, eventlog_free)
#define _cleanup_log_ _cleanup_(eventlog_freep)

static uint16_t alg_of(const char *bank)
{
	return !strcmp(bank, "sha1")     ? TPM2_SHA1
	       : !strcmp(bank, "sha256") ? TPM2_SHA256
	       : !strcmp(bank, "sha384") ? TPM2_SHA384
					 : TPM2_SHA512;
}

/* Every PCR that the log speaks of has the value that the file has. */
static void assert_replays(const char *log, const char *values)
{
	_cleanup_sample_ struct sample s = sample_read(log), text = sample_text(values);
	_cleanup_log_ struct eventlog *l = NULL;
	uint32_t compared = 0;
	char *save, *line;

	assert_int_equal(eventlog_parse(s.data, s.len, &l), 0);
	for (line = strtok_r((char *)text.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		char bank[16], expected[129], hex[129];
		struct pcr_bank b;
		unsigned int pcr;

		assert_int_equal(sscanf(line, "%15s %u %128s", bank, &pcr, expected), 3);
		assert_int_equal(eventlog_replay(l, alg_of(bank), &b), 0);
		if (!(b.extended & 1u << pcr))
			continue;
		/* What IMA, systemd and others extend later is in no event log. */
		hex_encode(b.values[pcr], b.size, hex);
		assert_string_equal(hex, expected);
		compared |= 1u << pcr;
	}
	assert_int_equal(compared & 0xff, 0xff);
}

static void test_real_logs(void **state)
{
	(void)state;
	assert_replays("eventlogs/ubuntu-grub", "eventlogs/ubuntu-grub.pcrs");
	assert_replays("eventlogs/one-bank", "eventlogs/one-bank.pcrs");
	assert_replays("boots/ovmf-ima-sig/binary_bios_measurements",
		       "boots/ovmf-ima-sig/pcrs.txt");
	assert_replays("boots/ovmf-boot-order/binary_bios_measurements",
		       "boots/ovmf-boot-order/pcrs.txt");
	assert_replays("boots/ovmf-systemd-boot/binary_bios_measurements",
		       "boots/ovmf-systemd-boot/pcrs.txt");
	assert_replays("boots/ovmf-shim-grub/binary_bios_measurements",
		       "boots/ovmf-shim-grub/pcrs.txt");
	assert_replays("boots/seabios-ima-ng/binary_bios_measurements",
		       "boots/seabios-ima-ng/pcrs.txt");
	assert_replays("boots/seabios-violation/binary_bios_measurements",
		       "boots/seabios-violation/pcrs.txt");
}

static void test_sha1_alone(void **state)
{
	_cleanup_sample_ struct sample s = sample_read("eventlogs/windows-sha1"),
				       locality = sample_read("eventlogs/sha1-no-action");
	_cleanup_log_ struct eventlog *l = NULL, *short_log = NULL;
	struct pcr_bank b;
	char hex[41];

	(void)state;
	assert_int_equal(eventlog_parse(s.data, s.len, &l), 0);
	assert_int_equal(l->tier, EVENTLOG_SHA1);
	assert_int_equal(eventlog_replay(l, TPM2_SHA256, &b), -ENOENT);
	assert_int_equal(eventlog_replay(l, TPM2_SHA1, &b), 0);
	hex_encode(b.values[0], b.size, hex);
	assert_string_equal(hex, "51c323de0c0c694f4601cdd02beb58ff13629f74");
	hex_encode(b.values[7], b.size, hex);
	assert_string_equal(hex, "859a5877266b5c909613468091a73380a5386786");

	assert_int_equal(eventlog_parse(locality.data, locality.len, &short_log), 0);
	assert_int_equal(short_log->tier, EVENTLOG_SHA1);
	assert_int_equal(short_log->locality, 3);
	assert_int_equal(short_log->count, 1);
	assert_int_equal(eventlog_replay(short_log, TPM2_SHA1, &b), 0);
	assert_int_equal(b.values[0][19], 3);
	assert_int_equal(b.extended, 0);
}

static void test_no_log(void **state)
{
	_cleanup_log_ struct eventlog *l = NULL;
	struct pcr_bank b;

	(void)state;
	assert_int_equal(eventlog_parse(NULL, 0, &l), 0);
	assert_int_equal(l->tier, EVENTLOG_NONE);
	assert_int_equal(l->count, 0);
	assert_int_equal(eventlog_replay(l, TPM2_SHA256, &b), -ENOENT);
}

/* Cut anywhere but between two events a log is malformed; nothing is read behind its end. */
static void test_every_length(void **state)
{
	static const char *const names[] = {"boots/ovmf-ima-sig/binary_bios_measurements",
					    "boots/seabios-ima-ng/binary_bios_measurements",
					    "eventlogs/one-bank", "eventlogs/sha1-no-action"};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		_cleanup_sample_ struct sample s = sample_read(names[i]);
		_cleanup_log_ struct eventlog *whole = NULL;
		size_t good;

		assert_int_equal(eventlog_parse(s.data, s.len, &whole), 0);
		good = whole->tier ==
		       EVENTLOG_SHA1; /* else the header alone is a log of no event */
		for (size_t len = 1; len < s.len; len++) {
			_cleanup_sample_ struct sample cut = sample_copy(s.data, len);
			struct eventlog *l = (void *)state;
			int err = eventlog_parse(cut.data, len, &l);

			if (err) {
				assert_int_equal(err, -EBADMSG);
				assert_ptr_equal(l, state);
				continue;
			}
			assert_int_equal(l->count, good++);
			eventlog_free(l);
		}
		assert_int_equal(good, whole->count);
	}
}

static void test_events(void **state)
{
	static const char locality[17] = "StartupLocality\0\3";
	struct builder b = {};
	struct pcr_bank bank, by_hand;
	uint8_t digest[32];

	(void)state;
	put_header(&b);
	put_data(&b, UINT32_MAX, EV_NO_ACTION, "anything", 8); /* no PCR at all */
	put_data(&b, 0, EV_NO_ACTION, locality, sizeof(locality));
	put_text(&b, 0, EV_S_CRTM_VERSION, "1.0");
	put_text(&b, 23, 0xdead, "no such type");
	put_event(&b, 0, EV_POST_CODE, "blob", 4, "", 0);
	_cleanup_log_ struct eventlog *l = parsed(&b);

	assert_int_equal(l->tier, EVENTLOG_AGILE);
	assert_int_equal(l->algs_count, 3);
	assert_int_equal(l->algs[2].alg, STRANGE_ALG);
	assert_int_equal(l->algs[2].size, STRANGE_SIZE);
	assert_int_equal(l->locality, 3);
	assert_int_equal(l->count, 5);
	assert_int_equal(l->events[0].pcr, UINT32_MAX);
	assert_int_equal(l->events[3].type, 0xdead);
	assert_int_equal(l->events[3].data.left, 12);
	assert_int_equal(l->events[4].data.left, 0);
	assert_int_equal(hash_of(TPM2_SHA256, "blob", 4, digest), 0);
	assert_memory_equal(eventlog_digest(l, &l->events[4], TPM2_SHA256), digest, 32);
	assert_int_equal(*eventlog_digest(l, &l->events[4], STRANGE_ALG), 1);
	assert_null(eventlog_digest(l, &l->events[4], TPM2_SHA384));

	assert_int_equal(pcr_bank_init(&by_hand, TPM2_SHA256), 0);
	by_hand.values[0][31] = 3;
	hash_of(TPM2_SHA256, "1.0", 3, digest);
	assert_int_equal(pcr_extend(&by_hand, 0, digest), 0);
	hash_of(TPM2_SHA256, "no such type", 12, digest);
	assert_int_equal(pcr_extend(&by_hand, 23, digest), 0);
	hash_of(TPM2_SHA256, "blob", 4, digest);
	assert_int_equal(pcr_extend(&by_hand, 0, digest), 0);
	memset(&bank, 0xa5, sizeof(bank));
	assert_int_equal(eventlog_replay(l, TPM2_SHA256, &bank), 0);
	assert_memory_equal(&bank, &by_hand, sizeof(bank));
	memset(&by_hand, 0xa5, sizeof(bank));
	bank = by_hand;
	assert_int_equal(eventlog_replay(l, TPM2_SHA384, &bank), -ENOENT);
	assert_int_equal(eventlog_replay(l, STRANGE_ALG, &bank), -EINVAL);
	assert_memory_equal(&bank, &by_hand, sizeof(bank));
}

static void test_hcrtm(void **state)
{
	struct builder b = {}, late = {};
	struct pcr_bank bank;

	(void)state;
	put_header(&b);
	put_text(&b, 0, EV_EFI_HCRTM_EVENT, "HCRTM");
	_cleanup_log_ struct eventlog *l = parsed(&b);
	assert_int_equal(l->locality, 4);
	assert_int_equal(eventlog_replay(l, TPM2_SHA1, &bank), 0);
	put_header(&late);
	put_text(&late, 0, EV_S_CRTM_VERSION, "1");
	put_text(&late, 0, EV_EFI_HCRTM_EVENT, "HCRTM");
	_cleanup_log_ struct eventlog *second = parsed(&late);
	assert_int_equal(second->locality, 0);
}

static void assert_refused(const struct builder *b, int expected)
{
	_cleanup_sample_ struct sample s = sample_copy(b->data, b->len);
	struct eventlog *l = NULL;

	assert_int_equal(eventlog_parse(s.data, s.len, &l), expected);
	assert_null(l);
}

static void test_locality_refused(void **state)
{
	static const char three[17] = "StartupLocality\0\3", five[17] = "StartupLocality\0\5";
	struct builder b;

	(void)state;
	for (int i = 0; i < 5; i++) {
		b.len = 0;
		put_header(&b);
		if (i == 1)
			put_text(&b, 0, EV_POST_CODE, "first");
		if (i == 2)
			put_data(&b, 0, EV_NO_ACTION, three, 17);
		put_data(&b, 0, EV_NO_ACTION, i == 0 ? five : three, i == 3 ? 16 : 17);
		if (i < 4)
			assert_refused(&b, -EBADMSG);
		else
			eventlog_free(parsed(&b));
	}
}

static void test_digests_refused(void **state)
{
	enum { EVENT = 32 + 43, COUNT = EVENT + 8, FIRST = COUNT + 4, SECOND = FIRST + 22 };
	struct builder good = {}, b;

	(void)state;
	put_header(&good);
	put_text(&good, 1, EV_POST_CODE, "x");
	assert_int_equal(good.last, EVENT);
	for (uint8_t count = 0; count < 8; count++) {
		b = good;
		b.data[COUNT] = count;
		if (count != 3)
			assert_refused(&b, -EBADMSG);
	}
	b.data[COUNT + 3] = 0xff;
	assert_refused(&b, -EBADMSG);
	b = good; /* not among the header's */
	b.data[FIRST] = TPM2_SHA384;
	assert_refused(&b, -EBADMSG);
	b = good; /* the same twice */
	memcpy(b.data + SECOND, b.data + FIRST, 2);
	assert_refused(&b, -EBADMSG);
	for (uint32_t pcr = 24; pcr <= 32; pcr++) {
		b = good;
		b.data[EVENT] = pcr;
		assert_refused(&b, -EBADMSG);
	}
	b = good;
	memset(b.data + b.len - 5, 0xff, 4); /* the size of its data */
	assert_refused(&b, -EBADMSG);
	b = good;
	put(&b, "\0", 1);
	assert_refused(&b, -EBADMSG);
}

static void test_header_refused(void **state)
{
	enum { SIZE = 28, COUNT = 32 + 24, ALGS = COUNT + 4, VENDOR = ALGS + 12 };
	struct builder good = {}, b;

	(void)state;
	put_header(&good);
	for (int count = 0; count < 256; count++) {
		b = good;
		b.data[COUNT] = count;
		if (count != 3)
			assert_refused(&b, -EBADMSG);
	}
	b = good;
	b.data[COUNT + 3] = 0x80;
	assert_refused(&b, -EBADMSG);
	b = good; /* SHA-1 of 21 bytes */
	b.data[ALGS + 2]++;
	assert_refused(&b, -EBADMSG);
	b = good; /* of none */
	b.data[ALGS + 10] = 0;
	assert_refused(&b, -EBADMSG);
	b = good; /* SHA-1 twice */
	memcpy(b.data + ALGS + 4, b.data + ALGS, 4);
	assert_refused(&b, -EBADMSG);
	for (int vendor = 0; vendor < 256; vendor++) {
		b = good;
		b.data[VENDOR] = vendor;
		if (vendor != 2)
			assert_refused(&b, -EBADMSG);
	}
	b = good; /* a tail inside the header */
	b.data[SIZE]++;
	put(&b, "\0", 1);
	assert_refused(&b, -EBADMSG);
	b = good; /* another signature: then it is a log of SHA-1, of one event */
	b.data[32 + 14] = '2';
	_cleanup_log_ struct eventlog *l = parsed(&b);
	assert_int_equal(l->tier, EVENTLOG_SHA1);
	assert_int_equal(l->count, 1);
}

/* Some firmware gives all of the area that it kept the log in. */
static void test_padding(void **state)
{
	static const uint8_t fills[] = {0, 0xff, 0xfe, 1};
	struct builder good = {}, old = {};

	(void)state;
	put_header(&good);
	put_data(&good, 1, EV_POST_CODE, "\0\0\0", 4);
	put_u32(&old, 0);
	put_u32(&old, EV_S_CRTM_VERSION);
	put(&old, "01234567890123456789\0\0\0\0", 24);
	for (size_t len = 1; len < 200; len++)
		for (size_t i = 0; i < 2 * sizeof(fills); i++) {
			const bool agile = i < sizeof(fills);
			const uint8_t fill = fills[i % sizeof(fills)];
			struct builder b = agile ? good : old;
			struct eventlog *l = NULL;

			memset(b.data + b.len, fill, len);
			b.len += len;
			if ((fill == 0 || fill == 0xff) && len >= (agile ? 12u : 32u)) {
				l = parsed(&b);
				assert_int_equal(l->count, 1);
				eventlog_free(l);
				b.data[b.len - 1] ^= 0x40; /* not alike up to its end */
			}
			assert_refused(&b, -EBADMSG);
		}
	/* Nothing but zeros: no log, and nothing that could be the header of one. */
	struct builder none = {.len = 4096};
	struct eventlog *l = parsed(&none);

	assert_int_equal(l->count, 0);
	assert_int_equal(l->tier, EVENTLOG_SHA1);
	eventlog_free(l);
}

static void test_maxima(void **state)
{
	_cleanup_free_ uint8_t *data = calloc(1, EVENTLOG_SIZE_MAX + 1);
	struct builder b = {};
	struct eventlog *l = NULL;
	size_t len, size;

	(void)state;
	assert_non_null(data);
	assert_int_equal(eventlog_parse(data, EVENTLOG_SIZE_MAX + 1, &l), -E2BIG);
	put_header(&b);
	put_text(&b, 1, EV_POST_CODE, "");
	size = b.len - b.last;
	memcpy(data, b.data, b.last);
	len = b.last;
	for (size_t i = 0; i < EVENTLOG_EVENTS_MAX + 1; i++, len += size)
		memcpy(data + len, b.data + b.last, size);
	assert_int_equal(eventlog_parse(data, len, &l), -E2BIG);
	assert_int_equal(eventlog_parse(data, len - size, &l), 0);
	assert_int_equal(l->count, EVENTLOG_EVENTS_MAX);
	eventlog_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_real_logs),        cmocka_unit_test(test_sha1_alone),
		cmocka_unit_test(test_no_log),           cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_events),           cmocka_unit_test(test_hcrtm),
		cmocka_unit_test(test_locality_refused), cmocka_unit_test(test_digests_refused),
		cmocka_unit_test(test_header_refused),   cmocka_unit_test(test_maxima),
		cmocka_unit_test(test_padding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
