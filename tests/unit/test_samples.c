/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docs/samples: NDJSON of every record type, and how many bytes each record takes. `test_samples
 * --write` makes them anew, the test fails when they are not what today's code writes.
 * docs/records.md: no field, no word is missing.
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

#include "record/frame.h"
#include "record/ocsf.h"
#include "record/words.h"

#define DIRECTORY TEST_DATA "/../../docs/samples"
#define BODY_FIRST 20
#define BODY_LAST 39

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
		size_t len = sample_pack(samples[i].record, packed);

		assert_int_equal(ocsf_of_record(samples[i].record, &line), 0);
		buffer_print(out, "%s\t%zu\t%zu\t%zu\n", samples[i].name, len, frame_size(len),
			     line.len + 1);
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
	if (fread(found, 1, content->len + 1, file) != content->len ||
	    memcmp(found, content->data, content->len))
		fail_msg("%s is not what the code writes now; test_samples --write makes it anew",
			 path);
}

static void each_file(void (*with)(const char *name, const struct buffer *content))
{
	_cleanup_buffer_ struct buffer table = {};

	for (int body = BODY_FIRST; body <= BODY_LAST; body++) {
		_cleanup_buffer_ struct buffer content = {};
		char name[64];

		if (!strcmp(word_of_body(body), "unknown"))
			continue; /* a number that is not given yet */
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

/* ---- docs/records.md ---- */

static char dictionary[128 * 1024];

/*
 * From "## Name" up to the next heading of that level; NULL: there is none. Its end is cut off in a
 * copy.
 */
static char *section_of(const char *name)
{
	char heading[80], *begin, *end;

	snprintf(heading, sizeof(heading), "\n## %s\n", name);
	begin = strstr(dictionary, heading);
	if (!begin)
		return NULL;
	end = strstr(begin + 4, "\n## ");
	return strndup(begin, end ? (size_t)(end - begin) : strlen(begin));
}

/* In the first column of a row, alone or with others. */
static bool has_row(const char *section, const char *field)
{
	char quoted[80];
	const char *at = section;

	snprintf(quoted, sizeof(quoted), "`%s`", field);
	while ((at = strstr(at, "\n| `"))) {
		const char *end = strchr(at + 3, '|'), *found = strstr(at, quoted);

		if (found && end && found < end)
			return true;
		at++;
	}
	return false;
}

static void check_message(const ProtobufCMessageDescriptor *d)
{
	_cleanup_free_ char *section = section_of(d->short_name);

	if (!section)
		fail_msg("docs/records.md: no section %s", d->short_name);
	for (unsigned int i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &d->fields[i];

		if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
			; /* a body: its own section */
		else if (!has_row(section, field->name))
			fail_msg("docs/records.md: %s.%s is missing", d->short_name, field->name);
		if (field->type == PROTOBUF_C_TYPE_MESSAGE)
			check_message(field->descriptor);
		if (field->type != PROTOBUF_C_TYPE_ENUM)
			continue;
		for (unsigned int n = 0;
		     n < ((const ProtobufCEnumDescriptor *)field->descriptor)->n_values; n++) {
			const char *word = word_of(field->descriptor, n);
			char quoted[80];

			snprintf(quoted, sizeof(quoted), "`%s`", word);
			if (strcmp(word, "unknown") && !strstr(dictionary, quoted))
				fail_msg("docs/records.md: the word %s of %s is missing", word,
					 field->name);
		}
	}
}

static void every_field_is_explained(void **state)
{
	_cleanup_fclose_ FILE *file = fopen(TEST_DATA "/../../docs/records.md", "r");

	(void)state;
	assert_non_null(file);
	assert_in_range(fread(dictionary, 1, sizeof(dictionary) - 1, file), 1,
			sizeof(dictionary) - 2);
	check_message(&affiant__v1__record__descriptor);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples_are_current),
		cmocka_unit_test(every_field_is_explained),
	};

	if (argc == 2 && !strcmp(argv[1], "--write")) {
		mkdir(DIRECTORY, 0755);
		each_file(write_file);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
