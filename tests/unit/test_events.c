/* SPDX-License-Identifier: Apache-2.0 */
/* `affiant events --ledger`: the whole command, over segments of our own making. */
#include "ledger_fixture.h"

#include <jansson.h>

#include "base/reader.h"
#include "cli/cmd.h"
#include "record/codec.h"
#include "samples.h"

#define TURNS 3 /* each sample so often */

static char output[1 << 20];
static char complaint[65536];

/* Segments of a few records each, sealed but for the last. */
static uint64_t fill(void)
{
	struct ledger *l = open_clean();
	static uint8_t packed[SEGMENT_PAYLOAD_MAX];
	uint64_t count = 0;
	size_t len;

	for (int turn = 0; turn < TURNS; turn++)
		for (size_t i = 0; i < samples_count; i++, count++) {
			Affiant__V1__Record r = *samples[i].record;

			r.sequence = ledger_next_sequence(l);
			len = sample_pack(&r, packed);
			assert_int_equal(ledger_append(l, SEGMENT_NO_SOURCE, 0, packed, len), 0);
		}
	ledger_close(l);
	return count;
}

static size_t read_back(FILE *file, int fd, int saved, char *to, size_t room)
{
	size_t len;

	fflush(NULL);
	dup2(saved, fd);
	close(saved);
	rewind(file);
	len = fread(to, 1, room - 1, file);
	to[len] = '\0';
	fclose(file);
	return len;
}

/*
 * Runs it with @arguments behind --ledger; returns the exit code, *@ret_len the length of the
 * output.
 */
static int run_events(size_t *ret_len, const char *const *arguments)
{
	char *argv[24] = {(char *)"events", (char *)"--ledger", ledger_dir};
	FILE *out = tmpfile(), *err = tmpfile();
	int argc = 3, code, saved_out, saved_err;

	while (*arguments)
		argv[argc++] = (char *)*arguments++; /* getopt(3) moves them, and changes none */
	fflush(NULL);
	saved_out = dup(STDOUT_FILENO);
	saved_err = dup(STDERR_FILENO);
	dup2(fileno(out), STDOUT_FILENO);
	dup2(fileno(err), STDERR_FILENO);
	code = cmd_events(argc, argv);
	read_back(err, STDERR_FILENO, saved_err, complaint, sizeof(complaint));
	*ret_len = read_back(out, STDOUT_FILENO, saved_out, output, sizeof(output));
	return code;
}

#define EVENTS(len, ...) run_events(len, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static size_t lines(void)
{
	size_t count = 0;

	for (const char *at = output; (at = strchr(at, '\n')); at++)
		count++;
	return count;
}

/* The sequence numbers of length-delimited records. */
static size_t sequences(size_t len, uint64_t *ret, size_t room)
{
	struct reader r = reader_of(output, len), record;
	size_t count = 0;
	uint64_t size;

	while (r.left) {
		Affiant__V1__Record *decoded;

		assert_int_equal(reader_varint(&r, &size), 0);
		assert_int_equal(reader_bytes(&r, size, &record), 0);
		assert_int_equal(record_unpack(record.at, record.left, &decoded), 0);
		assert_true(count < room);
		ret[count++] = decoded->sequence;
		record_free(decoded);
	}
	return count;
}

static void three_formats_show_all(void **state)
{
	uint64_t found[200], total = fill();
	char *line, *rest = output;
	size_t len, count = 0;

	(void)state;
	assert_int_equal(EVENTS(&len), 0);
	assert_int_equal(lines(), total);
	assert_string_equal(complaint, "");
	assert_int_equal(EVENTS(&len, "-o", "proto"), 0);
	assert_int_equal(sequences(len, found, 200), total);
	for (uint64_t i = 0; i < total; i++)
		assert_int_equal(found[i], i + 1);
	assert_int_equal(EVENTS(&len, "--output=json"), 0);
	while ((line = strsep(&rest, "\n")) && *line) {
		json_t *event = json_loads(line, 0, NULL);

		assert_int_equal(json_integer_value(json_object_get(
					 json_object_get(event, "metadata"), "sequence")),
				 ++count);
		json_decref(event);
	}
	assert_int_equal(count, total);
}

/* Whatever number of the last ones, out of however many segments: those, in order. */
static void the_last_ones(void **state)
{
	uint64_t all[200], found[200], total;
	char number[8];
	size_t len, execs;

	(void)state;
	total = fill();
	for (size_t n = 1; n <= total + 3; n += n < 5 ? 1 : 7) {
		uint64_t expected = n < total ? n : total;

		snprintf(number, sizeof(number), "%zu", n);
		assert_int_equal(EVENTS(&len, "-o", "proto", "-n", number), 0);
		assert_int_equal(sequences(len, found, 200), expected);
		for (uint64_t i = 0; i < expected; i++)
			assert_int_equal(found[i], total - expected + 1 + i);
	}
	assert_int_equal(EVENTS(&len, "-oproto", "--type=exec"), 0);
	execs = sequences(len, all, 200);
	assert_int_equal(execs, 4 * TURNS);
	for (size_t n = 1; n <= execs + 1; n++) {
		size_t expected = n < execs ? n : execs;

		snprintf(number, sizeof(number), "%zu", n);
		assert_int_equal(EVENTS(&len, "-oproto", "--type=exec", "-n", number), 0);
		assert_int_equal(sequences(len, found, 200), expected);
		assert_memory_equal(found, all + execs - expected, expected * sizeof(*found));
	}
}

static void hidden_losses_are_said(void **state)
{
	size_t len;

	(void)state;
	fill();
	assert_int_equal(EVENTS(&len, "--agent=research"), 0);
	assert_int_equal(lines(), TURNS * (samples_count - 8));
	assert_non_null(strstr(complaint, "18 records tell of losses"));
	assert_int_equal(EVENTS(&len, "--type=session_started,lost"), 0);
	assert_string_equal(complaint, "");
	assert_int_equal(EVENTS(&len, "--type=exec"), 0);
	assert_non_null(strstr(complaint, " records tell of losses"));
	assert_non_null(strstr(complaint, "affiant events: 3 records count, of agents past their "
					  "budget, what may be among these: --type folded shows "
					  "them\n"));
}

static void damage_is_said_and_passed_over(void **state)
{
	uint64_t total = fill();
	uint8_t *data;
	size_t size, len;

	(void)state;
	data = load("0000000000000002.seg", &size);
	data[SEGMENT_HEADER_SIZE + SEGMENT_FRAME_HEADER_SIZE] ^= 1; /* the first record there */
	store("0000000000000002.seg", data, size);
	assert_int_equal(EVENTS(&len), 1);
	assert_int_equal(lines(), total - 1);
	assert_non_null(strstr(complaint, "segment 0000000000000002 is damaged at byte 64: "));
	assert_non_null(strstr(complaint, ", with records "));

	data[10] ^= 1; /* its header too */
	store("0000000000000002.seg", data, size);
	assert_int_equal(EVENTS(&len), 1);
	assert_in_range(lines(), 1, total - 2);
	assert_non_null(strstr(complaint, "segment 0000000000000002 is damaged at byte 0: "));
	free(data);

	begin(NULL);
	total = fill();
	data = load("0000000000000001.seg",
		    &size); /* a tail torn off, in the middle of the ledger */
	store("0000000000000001.seg", data, size - 50);
	assert_int_equal(EVENTS(&len), 1);
	assert_int_equal(lines(), total - 1);
	assert_non_null(strstr(complaint, "segment 0000000000000001 is damaged at byte "));
	free(data);
}

/* Of records that no Gap tells of. */
static void what_is_gone_is_said(void **state)
{
	static uint8_t packed[SEGMENT_PAYLOAD_MAX];
	struct ledger *l = open_clean();
	char path[128], said[128];
	struct segment_reader *r;
	uint64_t first;
	size_t len;

	(void)state;
	for (int i = 0; i < 60; i++) {
		Affiant__V1__Record record = *samples[0].record;

		record.sequence = ledger_next_sequence(l);
		len = sample_pack(&record, packed);
		assert_int_equal(ledger_append(l, SEGMENT_NO_SOURCE, 0, packed, len), 0);
	}
	ledger_close(l);
	assert_int_equal(EVENTS(&len), 0);
	snprintf(path, sizeof(path), "%s/0000000000000002.seg", ledger_dir);
	assert_int_equal(segment_reader_new(open(path, O_RDONLY), &r), 0);
	first = segment_reader_sequence(r);
	segment_reader_free(r);
	assert_int_equal(unlink(path), 0);
	snprintf(said, sizeof(said), "records %llu to ", (unsigned long long)first);
	assert_int_equal(EVENTS(&len), 1);
	assert_non_null(strstr(complaint, said));
	assert_non_null(strstr(complaint, "are missing"));
	/* From the newest back. */
	assert_int_equal(EVENTS(&len, "-n", "59"), 1);
	assert_non_null(strstr(complaint, said));
	/* It is not come to. */
	assert_int_equal(EVENTS(&len, "-n", "2"), 0);
	assert_string_equal(complaint, "");
}

static void a_record_that_is_none(void **state)
{
	struct ledger *l = open_clean();
	static const uint8_t later[] = {0x0a, 16, 0, 0, 0, 0, 0,    0, 0,    0, 0, 0,
					0,    0,  0, 0, 0, 0, 0x10, 1, 0xc2, 2, 0};
	size_t len;

	(void)state;
	assert_int_equal(ledger_append(l, 0, 0, "no record", 9), 0);
	assert_int_equal(ledger_append(l, 0, 0, later, sizeof(later)), 0);
	ledger_close(l);
	assert_int_equal(EVENTS(&len), 1);
	assert_int_equal(len, 0);
	assert_non_null(strstr(complaint, "record 1 can't be decoded"));
	assert_non_null(strstr(complaint, "record 2 is of a type that this version doesn't know"));
}

static void wrong_options(void **state)
{
	static const char *const wrong[][4] = {
		{"--nonsense"},
		{"-x"},
		{"argument"},
		{"--follow"},    /* with --ledger */
		{"--socket=/x"}, /* likewise */
		{"-n"},
		{"-n", "0"},
		{"-n", "1000001"},
		{"-n", "-1"},
		{"-o", "xml"},
		{"--since", "yesterday"},
		{"--until", ""},
		{"--dst", "example.org"},
		{"--outcome", "fine"},
		{"--type", "connects"},
		{"--session", "abc"},
	};
	size_t len;

	(void)state;
	fill();
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		assert_int_equal(run_events(&len, wrong[i]), EXIT_USAGE);
		assert_int_equal(len, 0);
		assert_int_equal(strncmp(complaint, "affiant events: ", 16), 0);
		assert_non_null(strstr(complaint, "--help"));
	}
	assert_int_equal(EVENTS(&len, "--help"), 0);
	assert_int_equal(strncmp(output, "Usage: affiant events", 21), 0);
	for (const char *line = output; *line; line = strchr(line, '\n') + 1)
		assert_true(strchr(line, '\n') - line <= 100);
}

static void no_ledger_there(void **state)
{
	size_t len;

	(void)state;
	assert_int_equal(EVENTS(&len), 1);
	assert_non_null(strstr(complaint, "there are no segments"));
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(three_formats_show_all, begin),
		cmocka_unit_test_setup(the_last_ones, begin),
		cmocka_unit_test_setup(hidden_losses_are_said, begin),
		cmocka_unit_test_setup(damage_is_said_and_passed_over, begin),
		cmocka_unit_test_setup(what_is_gone_is_said, begin),
		cmocka_unit_test_setup(a_record_that_is_none, begin),
		cmocka_unit_test_setup(wrong_options, begin),
		cmocka_unit_test_setup(no_ledger_there, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return run_in_directory(run);
}
