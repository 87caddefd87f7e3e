/* SPDX-License-Identifier: Apache-2.0 */
#include "record/codec.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "record/segment.h"
#include "samples.h"

static uint8_t packed[SEGMENT_PAYLOAD_MAX];

static size_t pack(const Affiant__V1__Record *r)
{
	return sample_pack(r, packed);
}

static int unpack(const void *data, size_t len)
{
	Affiant__V1__Record *r = (void *)1;
	int err = record_unpack(data, len, &r);

	if (err)
		assert_ptr_equal(r, (void *)1);
	else
		record_free(r);
	return err;
}

static void every_sample_comes_back(void **state)
{
	static uint8_t again[SEGMENT_PAYLOAD_MAX];

	(void)state;
	for (size_t i = 0; i < samples_count; i++) {
		Affiant__V1__Record *r;
		size_t len = pack(samples[i].record);

		assert_int_equal(record_unpack(packed, len, &r), 0);
		assert_int_equal(sample_pack(r, again), len);
		assert_memory_equal(again, packed, len);
		record_free(r);
	}
}

/*
 * The daemon serialises a process once an exec and puts it behind the rest: fields come in any
 * order.
 */
static void a_process_packed_before(void **state)
{
	Affiant__V1__Record part = AFFIANT__V1__RECORD__INIT, rest = *samples[3].record, *r;
	static uint8_t reference[SEGMENT_PAYLOAD_MAX];
	size_t len, reference_len = pack(samples[3].record);

	(void)state;
	memcpy(reference, packed, reference_len);
	part.process = rest.process;
	rest.process = NULL;
	len = sample_pack(&rest, packed);
	len += sample_pack(&part, packed + len);
	assert_int_equal(len, reference_len);
	assert_memory_not_equal(packed, reference, len);
	assert_int_equal(record_unpack(packed, len, &r), 0);
	assert_int_equal(pack(r), reference_len);
	assert_memory_equal(packed, reference, reference_len);
	record_free(r);
}

static void every_truncated_length(void **state)
{
	(void)state;
	for (size_t i = 0; i < samples_count; i++) {
		size_t len = pack(samples[i].record);

		for (size_t cut = 0; cut < len; cut++) {
			/* In memory of its own, so that a sanitizer sees a read beyond it. */
			_cleanup_free_ uint8_t *copy = malloc(cut ?: 1);
			Affiant__V1__Record *r;
			int err;

			memcpy(copy, packed, cut);
			err = record_unpack(copy, cut, &r);
			/* cut between two fields: what is left is a record all the same */
			if (!err)
				record_free(r);
			else
				assert_int_equal(err, -EBADMSG);
		}
	}
}

static void exactly_one_body(void **state)
{
	Affiant__V1__Record r = *samples[0].record;
	static const uint8_t other_body[] = {0xe2, 1, 0}; /* field 28, gap: {} */
	static const uint8_t later_body[] = {0xc2, 2, 0}; /* field 40 */
	static const uint8_t sequence[] = {2 << 3, 9};
	size_t len = pack(&r);

	(void)state;
	assert_int_equal(unpack(packed, len), 0);
	memcpy(packed + len, other_body, sizeof(other_body));
	assert_int_equal(unpack(packed, len + sizeof(other_body)), -EBADMSG);
	memcpy(packed + len, later_body, sizeof(later_body)); /* a later version may add a field */
	assert_int_equal(unpack(packed, len + sizeof(later_body)), 0);
	memcpy(packed + len, sequence, sizeof(sequence));
	assert_int_equal(unpack(packed, len + sizeof(sequence)), -EBADMSG);

	r.body_case = AFFIANT__V1__RECORD__BODY__NOT_SET;
	len = pack(&r);
	assert_int_equal(unpack(packed, len), -EBADMSG);
	memcpy(packed + len, later_body, sizeof(later_body));
	assert_int_equal(unpack(packed, len + sizeof(later_body)), -ENOTSUP);
	assert_int_equal(unpack(NULL, 0), -EBADMSG);
}

static void ids_and_enums_are_checked(void **state)
{
	Affiant__V1__Record r = *samples[0].record;
	Affiant__V1__Endpoint endpoint = AFFIANT__V1__ENDPOINT__INIT;
	Affiant__V1__Connect connect = AFFIANT__V1__CONNECT__INIT;
	uint8_t bytes[40] = {};

	(void)state;
	for (size_t len = 0; len <= 40; len++) {
		r = *samples[0].record;
		r.id = (ProtobufCBinaryData){len, bytes};
		assert_int_equal(unpack(packed, pack(&r)), len == 16 ? 0 : -EBADMSG);
		r = *samples[0].record;
		r.host = (ProtobufCBinaryData){len, bytes};
		assert_int_equal(unpack(packed, pack(&r)), len == 16 ? 0 : -EBADMSG);
	}
	r = *samples[0].record;
	r.has_id = false;
	assert_int_equal(unpack(packed, pack(&r)), -EBADMSG);
	r = *samples[0].record;
	r.has_sequence = false;
	assert_int_equal(unpack(packed, pack(&r)), -EBADMSG);
	r = *samples[0].record;
	r.clock_state = 4;
	assert_int_equal(unpack(packed, pack(&r)), -EBADMSG);

	r = *samples[0].record;
	r.body_case = AFFIANT__V1__RECORD__BODY_CONNECT;
	r.connect = &connect;
	connect.reached = &endpoint;
	endpoint.has_address = true;
	for (size_t len = 0; len <= 40; len++) {
		endpoint.address = (ProtobufCBinaryData){len, bytes};
		assert_int_equal(unpack(packed, pack(&r)), len == 4 || len == 16 ? 0 : -EBADMSG);
	}
	endpoint.address.len = 4;
	endpoint.has_port = true;
	endpoint.port = 65535;
	assert_int_equal(unpack(packed, pack(&r)), 0);
	endpoint.port = 65536;
	assert_int_equal(unpack(packed, pack(&r)), -EBADMSG);
	endpoint.port = 1;
	connect.has_outcome = true;
	connect.outcome = 11;
	assert_int_equal(unpack(packed, pack(&r)), -EBADMSG);
	connect.outcome = -1;
	assert_int_equal(unpack(packed, pack(&r)), -EBADMSG);
}

/* Deep inside: the digest of a step of a chain. */
static void digests_are_32_bytes(void **state)
{
	Affiant__V1__Digest digest = AFFIANT__V1__DIGEST__INIT;
	Affiant__V1__Step step = AFFIANT__V1__STEP__INIT, *chain[] = {&step};
	Affiant__V1__Process process = AFFIANT__V1__PROCESS__INIT;
	Affiant__V1__Record r = *samples[0].record;
	uint8_t bytes[40] = {};

	(void)state;
	r.process = &process;
	process.n_chain = 1;
	process.chain = chain;
	step.digest = &digest;
	digest.has_sha256 = true;
	for (size_t len = 0; len <= 40; len++) {
		digest.sha256 = (ProtobufCBinaryData){len, bytes};
		assert_int_equal(unpack(packed, pack(&r)), len == 32 ? 0 : -EBADMSG);
	}
	digest.has_sha256 = false;
	digest.has_unproven_sha256 = true;
	for (size_t len = 0; len <= 40; len++) {
		digest.unproven_sha256 = (ProtobufCBinaryData){len, bytes};
		assert_int_equal(unpack(packed, pack(&r)), len == 32 ? 0 : -EBADMSG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_sample_comes_back),
		cmocka_unit_test(a_process_packed_before),
		cmocka_unit_test(every_truncated_length),
		cmocka_unit_test(exactly_one_body),
		cmocka_unit_test(ids_and_enums_are_checked),
		cmocka_unit_test(digests_are_32_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
