/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docs/samples: NDJSON of every record type, and how many bytes each record takes. `test_samples --write` makes them
 * anew, the test fails when they are not what today's code writes.
 */
#include "samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "record/codec.h"
#include "record/frame.h"
#include "record/ocsf.h"
#include "record/words.h"

#define DIRECTORY TEST_DATA "/../../docs/samples"
#define BODY_FIRST 20
#define BODY_LAST 30

static void ndjson_of(Affiant__V1__Record__BodyCase body, struct buffer *out)
{
	for (size_t i = 0; i < samples_count; i++) {
		if (samples[i].record->body_case != body)
			continue;
		assert_int_equal(ocsf_of_record(samples[i].record, out), 0);
		buffer_add_char(out, '\n');
	}
	assert_int_equal(buffer_error(out), 0);
}

static void sizes(struct buffer *out)
{
	static uint8_t packed[SEGMENT_PAYLOAD_MAX];

	buffer_add_text(out, "sample\tprotobuf\tin a segment\tOCSF line\n");
	for (size_t i = 0; i < samples_count; i++) {
		_cleanup_buffer_ struct buffer line = {};
		size_t len;

		assert_int_equal(record_pack(samples[i].record, NULL, 0, packed, sizeof(packed), &len), 0);
		assert_int_equal(ocsf_of_record(samples[i].record, &line), 0);
		buffer_print(out, "%s\t%zu\t%zu\t%zu\n", samples[i].name, len, frame_size(len), line.len + 1);
	}
	assert_int_equal(buffer_error(out), 0);
}

static void write_file(const char *name, const struct buffer *content)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", DIRECTORY, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(content->data, 1, content->len, file), content->len);
}

static void compare_file(const char *name, const struct buffer *content)
{
	_cleanup_fclose_ FILE *file = NULL;
	_cleanup_free_ char *found = malloc(content->len + 1);
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", DIRECTORY, name);
	file = fopen(path, "r");
	if (!file)
		fail_msg("%s: missing; test_samples --write makes it", path);
	if (fread(found, 1, content->len + 1, file) != content->len || memcmp(found, content->data, content->len))
		fail_msg("%s is not what the code writes now; test_samples --write makes it anew", path);
}

static void each_file(void (*with)(const char *name, const struct buffer *content))
{
	_cleanup_buffer_ struct buffer table = {};

	for (int body = BODY_FIRST; body <= BODY_LAST; body++) {
		_cleanup_buffer_ struct buffer content = {};
		char name[64];

		ndjson_of(body, &content);
		snprintf(name, sizeof(name), "%s.ndjson", word_of_body(body));
		with(name, &content);
	}
	sizes(&table);
	with("sizes.tsv", &table);
}

static void samples_are_current(void **state)
{
	(void)state;
	each_file(compare_file);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(samples_are_current) };

	if (argc == 2 && !strcmp(argv[1], "--write")) {
		mkdir(DIRECTORY, 0755);
		each_file(write_file);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
