/* SPDX-License-Identifier: Apache-2.0 */
#include "record/ocsf.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "record/words.h"
#include "samples.h"

static const char *at(const json_t *event, const char *path);

static json_t *event_of(const Affiant__V1__Record *r)
{
	_cleanup_buffer_ struct buffer line = {};
	json_error_t error;
	json_t *event;

	assert_int_equal(ocsf_of_record(r, &line), 0);
	for (size_t i = 0; i < line.len; i++)
		assert_in_range((uint8_t)line.data[i], 0x20, 0x7e);
	event = json_loadb(line.data, line.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	assert_non_null(event);
	return event;
}

static const Affiant__V1__Record *sample(const char *name)
{
	for (size_t i = 0; i < samples_count; i++)
		if (!strcmp(samples[i].name, name))
			return samples[i].record;
	fail_msg("no sample %s", name);
	return NULL;
}

static void every_type_has_a_sample(void **state)
{
	const ProtobufCMessageDescriptor *d = &affiant__v1__record__descriptor;
	int bodies = 0;

	(void)state;
	for (unsigned int i = 0; i < d->n_fields; i++) {
		bool found = false;

		if (!(d->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
			continue;
		bodies++;
		for (size_t n = 0; n < samples_count && !found; n++)
			found = samples[n].record->body_case == d->fields[i].id;
		if (!found)
			fail_msg("no sample of %s", d->fields[i].name);
	}
	assert_int_equal(bodies, 13);
	for (int outcome = 1; outcome < (int)affiant__v1__outcome__descriptor.n_values; outcome++) {
		bool found = false;

		for (size_t n = 0; n < samples_count && !found; n++)
			found = samples[n].record->body_case == AFFIANT__V1__RECORD__BODY_CONNECT &&
				(int)samples[n].record->connect->outcome == outcome;
		if (!found)
			fail_msg("no sample of %s",
				 word_of(&affiant__v1__outcome__descriptor, outcome));
	}
}

/* Classes, activities and severities, as OCSF 1.9.0 numbers them. */
static void classes(void **state)
{
	static const struct {
		const char *name;
		int type_uid, severity, status; /* status -1: none */
		const char *detail;
	} expected[] = {
		{"daemon_started", 600203, 1, -1, NULL},
		{"session_started", 600203, 1, -1, NULL},
		{"exec", 100701, 1, -1, NULL},
		{"exit", 100702, 1, -1, NULL},
		{"connect established", 400101, 1, 1, "established"},
		{"connect refused", 400105, 1, 2, "refused"},
		{"connect timed_out", 400104, 1, 2, "timed_out"},
		{"connect unreachable", 400104, 1, 2, "unreachable"},
		{"connect reset", 400103, 1, 2, "reset"},
		{"connect aborted", 400104, 1, 2, "aborted"},
		{"connect denied", 400104, 1, 2, "denied"},
		{"connect not_sent", 400104, 1, 2, "not_sent"},
		{"connect pending", 400199, 1, 0, "pending"},
		{"connect udp", 400101, 1, 0, "attempted"},
		{"close", 400102, 1, -1, NULL},
		{"close reset", 400103, 1, -1, NULL},
		{"untracked_socket", 400199, 3, -1, NULL},
		{"untracked_socket denied", 400199, 3, 2, NULL},
		{"listening", 400107, 1, -1, NULL},
		{"lost", 600801, 4, -1, NULL},
		{"gap", 600801, 3, -1, "retention"},
		{"session_ended", 600204, 1, -1, NULL},
		{"daemon_stopping", 600204, 1, -1, NULL},
		{"folded", 400199, 3, -1, NULL},
		{"folded processes", 100799, 3, -1, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
		json_t *event = event_of(sample(expected[i].name));
		const char *detail = json_string_value(json_object_get(event, "status_detail"));
		const json_t *status = json_object_get(event, "status_id");
		int type = json_integer_value(json_object_get(event, "type_uid"));

		assert_int_equal(type, expected[i].type_uid);
		assert_int_equal(json_integer_value(json_object_get(event, "class_uid")),
				 type / 100);
		assert_int_equal(json_integer_value(json_object_get(event, "activity_id")),
				 type % 100);
		assert_int_equal(json_integer_value(json_object_get(event, "category_uid")),
				 type / 100000);
		assert_int_equal(json_integer_value(json_object_get(event, "severity_id")),
				 expected[i].severity);
		assert_int_equal(status ? json_integer_value(status) : -1, expected[i].status);
		if (expected[i].detail)
			assert_string_equal(detail, expected[i].detail);
		else
			assert_null(detail);
		json_decref(event);
	}
}

/*
 * The text at a dotted path, numbers and booleans too; "" when there is nothing. Static memory, by
 * turns.
 */
static const char *at(const json_t *event, const char *path)
{
	static char texts[8][512];
	static unsigned int turn;
	char *text = texts[turn++ % 8], *rest, *key;
	_cleanup_free_ char *copy = strdup(path);

	for (key = strtok_r(copy, ".", &rest); key; key = strtok_r(NULL, ".", &rest))
		event = json_is_array(event) ? json_array_get(event, atoi(key))
					     : json_object_get(event, key);
	text[0] = '\0';
	if (json_is_string(event))
		snprintf(text, 512, "%s", json_string_value(event));
	else if (json_is_integer(event))
		snprintf(text, 512, "%lld", json_integer_value(event));
	else if (json_is_boolean(event))
		snprintf(text, 512, "%s", json_is_true(event) ? "true" : "false");
	return text;
}

static void both_identities_travel_together(void **state)
{
	json_t *event = event_of(sample("connect established"));

	(void)state;
	assert_string_equal(at(event, "ai_agent.uid"), "spiffe://example.org/agent/research");
	assert_string_equal(at(event, "ai_agent.instance_uid"),
			    "01a1990c-5210-7abc-9def-0123456789ab");
	assert_string_equal(at(event, "actor.user.uid"), "alice@example.org");
	assert_string_equal(at(event, "actor.process.user.uid"), "1000");
	assert_string_equal(at(event, "unmapped.principal.assurance"), "asserted");
	assert_string_equal(at(event, "unmapped.task.id"), "T-1042");
	assert_string_equal(at(event, "unmapped.task.scope.1"), "repo:read");
	assert_string_equal(at(event, "delegation.uid"), "");
	assert_string_equal(at(event, "metadata.profiles.1"), "ai_operation");
	json_decref(event);
	event = event_of(sample("lost"));
	assert_string_equal(at(event, "metadata.profiles.0"), "host");
	assert_string_equal(at(event, "metadata.profiles.1"), "");
	assert_string_equal(at(event, "ai_agent.uid"), "");
	json_decref(event);
}

static void a_fold(void **state)
{
	json_t *event = event_of(sample("folded"));

	(void)state;
	assert_string_equal(at(event, "activity_name"), "Folded");
	/* What another record counted already is not counted again. */
	assert_string_equal(at(event, "count"), "59962");
	assert_string_equal(at(event, "start_time"), "1793599999250");
	assert_string_equal(at(event, "end_time"), "1793600000250");
	assert_string_equal(at(event, "actor.app_name"), "affiantd");
	assert_string_equal(at(event, "ai_agent.name"), "research");
	assert_string_equal(at(event, "unmapped.session.folded"), "true");
	assert_string_equal(at(event, "unmapped.folded.first.0.destination.address"),
			    "192.0.2.200");
	assert_string_equal(at(event, "unmapped.folded.first.0.outcome"), "pending");
	assert_string_equal(at(event, "unmapped.folded.busiest.0.again"), "12");
	assert_string_equal(at(event, "unmapped.folded.busiest.1.kind"), "close");
	assert_string_equal(at(event, "unmapped.folded.others.0.distinct"), "4090");
	json_decref(event);
	event = event_of(sample("folded processes"));
	assert_string_equal(at(event, "class_name"), "Process Activity");
	assert_string_equal(at(event, "count"), "619");
	assert_string_equal(at(event, "process.uid"), "unknown");
	assert_string_equal(at(event, "unmapped.folded.busiest.0.path"), "/usr/bin/git");
	json_decref(event);
}

static void a_connection(void **state)
{
	json_t *event = event_of(sample("connect established"));

	(void)state;
	assert_string_equal(at(event, "time"), "1793600000259");
	assert_string_equal(at(event, "unmapped.wall_ns"), "1793600000259000000");
	assert_string_equal(at(event, "metadata.uid"), "01a1990c-6009-7000-8000-000000000009");
	assert_string_equal(at(event, "metadata.sequence"), "9");
	assert_string_equal(at(event, "metadata.event_code"), "connect");
	assert_string_equal(at(event, "device.uid"), "c45e81092b7a4f36901dee520cba6438");
	assert_string_equal(at(event, "device.boot_uid"), "6f0d2c7b-5e14-4e0a-9c3b-2a10775d1e42");
	assert_string_equal(at(event, "dst_endpoint.ip"), "203.0.113.80");
	assert_string_equal(at(event, "dst_endpoint.port"), "443");
	assert_string_equal(at(event, "src_endpoint.ip"), "192.0.2.10");
	assert_string_equal(at(event, "connection_info.protocol_num"), "6");
	assert_string_equal(at(event, "connection_info.protocol_ver_id"), "4");
	assert_string_equal(at(event, "connection_info.direction_id"), "2");
	assert_string_equal(at(event, "connection_info.uid"),
			    "6f0d2c7b-5e14-4e0a-9c3b-2a10775d1e42:281474976710665");
	assert_string_equal(at(event, "unmapped.connect.latency_ns"), "12345678");
	json_decref(event);

	event = event_of(sample("connect rewritten"));
	assert_string_equal(at(event, "dst_endpoint.ip"), "10.96.0.7");
	assert_string_equal(at(event, "unmapped.connect.asked.address"), "198.51.100.1");
	json_decref(event);
	event = event_of(sample("connect refused"));
	assert_string_equal(at(event, "dst_endpoint.ip"), "2001:db8::7");
	assert_string_equal(at(event, "status_code"), "ECONNREFUSED");
	assert_string_equal(at(event, "connection_info.protocol_ver_id"), "6");
	json_decref(event);
	event = event_of(sample("connect unix"));
	assert_string_equal(at(event, "dst_endpoint.name"), "/run/docker.sock");
	assert_string_equal(at(event, "unmapped.unix.path"), "/run/docker.sock");
	assert_string_equal(at(event, "unmapped.unix.abstract"), "false");
	json_decref(event);
	event = event_of(sample("connect relative"));
	assert_string_equal(at(event, "dst_endpoint.name"), "/srv/run/log");
	assert_string_equal(at(event, "unmapped.unix.path"), "../run/log");
	assert_string_equal(at(event, "unmapped.unix.resolved"), "/srv/run/log");
	json_decref(event);
	event = event_of(sample("connect abstract"));
	assert_string_equal(at(event, "dst_endpoint.name"), "@/tmp/.X11-unix/X0");
	assert_string_equal(at(event, "unmapped.unix.path"), "/tmp/.X11-unix/X0");
	assert_string_equal(at(event, "unmapped.unix.abstract"), "true");
	json_decref(event);
	event = event_of(sample("close"));
	assert_string_equal(at(event, "traffic.bytes_out"), "1810");
	assert_string_equal(at(event, "traffic.bytes_in"), "5241880");
	assert_string_equal(at(event, "duration"), "2431");
	json_decref(event);
	event = event_of(sample("close udp"));
	assert_null(json_object_get(event, "traffic"));
	assert_string_equal(at(event, "unmapped.close.excess_datagrams"), "412");
	json_decref(event);
}

static void a_process(void **state)
{
	json_t *event = event_of(sample("exec"));

	(void)state;
	assert_string_equal(at(event, "process.pid"), "4211");
	assert_string_equal(at(event, "process.uid"),
			    "6f0d2c7b-5e14-4e0a-9c3b-2a10775d1e42:4211:5020100000000:3");
	/* 904 ms before the record */
	assert_string_equal(at(event, "process.created_time"), "1793599999350");
	assert_string_equal(at(event, "process.cmd_line"),
			    "python3 agent.py --topic 'release notes'");
	assert_string_equal(at(event, "process.file.name"), "python3.11");
	assert_string_equal(at(event, "process.file.hashes.0.algorithm_id"), "3");
	assert_string_equal(at(event, "process.file.hashes.0.value"),
			    "1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f");
	assert_string_equal(at(event, "process.ancestry.0.path"), "/usr/bin/bash");
	assert_string_equal(at(event, "process.parent_process.pid"), "4200");
	assert_string_equal(at(event, "actor.process.pid"), "4211");
	assert_string_equal(at(event, "unmapped.process.executable.digest.state"), "observed");
	assert_string_equal(at(event, "unmapped.process.chain.2.kind"), "script_argument");
	assert_string_equal(at(event, "unmapped.process.chain.2.named_by_argv"), "true");
	assert_string_equal(at(event, "unmapped.process.cap_effective"), "0x0");
	assert_string_equal(at(event, "unmapped.exec.filename"), "/usr/bin/python3");
	json_decref(event);

	/* No digest is no digest, and says why. */
	event = event_of(sample("exec too_late"));
	assert_string_equal(at(event, "process.file.hashes.0.value"), "");
	assert_string_equal(at(event, "unmapped.process.executable.digest.state"), "too_late");
	assert_string_equal(at(event, "unmapped.process.redacted"), "1");
	json_decref(event);

	/* What is not proven is nowhere where somebody looks for the hashes of a file. */
	event = event_of(sample("exec unproven"));
	assert_string_equal(at(event, "process.file.hashes.0.value"), "");
	assert_string_equal(at(event, "unmapped.process.executable.digest.state"), "unproven");
	assert_string_equal(at(event, "unmapped.process.executable.digest.unproven"), "owner");
	assert_string_equal(at(event, "unmapped.process.executable.digest.unproven_sha256"),
			    "7777777777777777777777777777777777777777777777777777777777777777");
	assert_string_equal(at(event, "unmapped.process.executable.digest.sha256"), "");
	assert_string_equal(at(event, "unmapped.process.chain.1.digest.state"), "offered");
	assert_string_equal(at(event, "unmapped.process.chain.1.digest.sha256"),
			    "acacacacacacacacacacacacacacacacacacacacacacacacacacacacacacacac");
	json_decref(event);
	event = event_of(sample("connect claimed"));
	assert_string_equal(at(event, "actor.process.file.hashes.0.value"), "");
	assert_string_equal(at(event, "unmapped.process.executable.digest.state"), "claimed");
	json_decref(event);

	event = event_of(sample("exit"));
	assert_string_equal(at(event, "exit_code"), "3");
	json_decref(event);
	event = event_of(sample("exit killed"));
	assert_null(json_object_get(event, "exit_code"));
	assert_string_equal(at(event, "unmapped.signal"), "9");
	json_decref(event);
}

static void bytes_that_are_no_utf8(void **state)
{
	json_t *event = event_of(sample("exec hostile"));

	(void)state;
	/*
	 * U+009B and U+202E are UTF-8: JSON's own escapes hold them. 0xff is not, and then % must
	 * not be taken for it.
	 */
	assert_string_equal(at(event, "process.path"),
			    "/tmp/\x1b[31mno\xc2\x9bsuch established \xe2\x80\xae%FF%2541");
	assert_string_equal(at(event, "process.cmd_line"), "'x\x1b]0;owned\x07' '100%25%FF' ''");
	assert_string_equal(at(event, "unmapped.percent_escaped"), "true");
	assert_string_equal(at(event, "process.file.hashes.0.algorithm"), "fs-verity");
	assert_string_equal(at(event, "process.file.hashes.0.algorithm_id"), "99");
	assert_string_equal(at(event, "process.file.is_deleted"), "true");
	assert_string_equal(at(event, "unmapped.process.executable.memfd"), "true");
	json_decref(event);
	event = event_of(sample("exec"));
	assert_string_equal(at(event, "unmapped.percent_escaped"), "");
	json_decref(event);
}

static void a_record_may_lack_everything(void **state)
{
	_cleanup_buffer_ struct buffer line = {};
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	const ProtobufCMessageDescriptor *d = r.base.descriptor;

	(void)state;
	assert_int_equal(ocsf_of_record(&r, &line), -EINVAL);
	assert_int_equal(line.len, 0);
	for (unsigned int i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &d->fields[i];
		_cleanup_free_ ProtobufCMessage *body = NULL;
		json_t *event;

		if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
			continue;
		body = calloc(1, 1024);
		((const ProtobufCMessageDescriptor *)field->descriptor)->message_init(body);
		r.body_case = field->id;
		r.connect = (Affiant__V1__Connect *)body;
		event = event_of(&r);
		if (json_integer_value(json_object_get(event, "class_uid")) == 4001)
			assert_string_equal(at(event, "src_endpoint.uid"), "unknown");
		json_decref(event);
	}
}

/* By the state, not by which field is there: as a faulty daemon, or a later one, may write it. */
static void hashes_are_proven_ones(void **state)
{
	Affiant__V1__Digest digest = *sample_process.executable->digest;
	Affiant__V1__Executable exe = *sample_process.executable;
	Affiant__V1__Process process = sample_process;
	Affiant__V1__Record record = *sample("exec");
	json_t *event;

	(void)state;
	exe.digest = &digest;
	process.executable = &exe;
	record.process = &process;
	digest.has_verity = true;
	digest.verity = digest.sha256;
	for (int s = 0; s <= 12; s++) {
		const bool proven = s >= AFFIANT__V1__HASH_STATE__HASH_KERNEL &&
				    s <= AFFIANT__V1__HASH_STATE__HASH_OBSERVED;
		const bool verity = s == AFFIANT__V1__HASH_STATE__HASH_VERITY;

		digest.state = s;
		event = event_of(&record);
		assert_string_equal(at(event, "process.file.hashes.0.algorithm_id"),
				    !proven ? "" : verity ? "99" : "3");
		assert_string_equal(at(event, "process.file.hashes.1.algorithm_id"), "");
		/* Nothing is left out without a word. */
		assert_int_equal(!*at(event, "unmapped.process.executable.digest.sha256"),
				 proven && !verity);
		assert_int_equal(!*at(event, "unmapped.process.executable.digest.verity"), verity);
		json_decref(event);
	}
}

static void words_are_the_schema_s(void **state)
{
	static const struct {
		const ProtobufCEnumDescriptor *of;
		const char *prefix;
	} enums[] = {
		{&affiant__v1__clock_state__descriptor, "CLOCK_"},
		{&affiant__v1__isolation__descriptor, "ISOLATION_"},
		{&affiant__v1__assurance__descriptor, "ASSURANCE_"},
		{&affiant__v1__hash_state__descriptor, "HASH_"},
		{&affiant__v1__step_kind__descriptor, "STEP_"},
		{&affiant__v1__session_origin__descriptor, "ORIGIN_"},
		{&affiant__v1__session_end_reason__descriptor, "END_"},
		{&affiant__v1__protocol__descriptor, "PROTOCOL_"},
		{&affiant__v1__outcome__descriptor, "OUTCOME_"},
		{&affiant__v1__gap_reason__descriptor, "GAP_"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(enums) / sizeof(*enums); i++) {
		for (unsigned int n = 0; n < enums[i].of->n_values; n++) {
			const ProtobufCEnumValue *value = &enums[i].of->values[n];
			const char *name = value->name;

			if (!strncmp(name, enums[i].prefix, strlen(enums[i].prefix)))
				name += strlen(enums[i].prefix);
			assert_int_equal(strcasecmp(word_of(enums[i].of, value->value), name), 0);
			assert_int_equal(
				word_value(enums[i].of, word_of(enums[i].of, value->value)),
				value->value);
		}
		assert_string_equal(word_of(enums[i].of, -1), "unknown");
		assert_string_equal(word_of(enums[i].of, 100), "unknown");
		assert_int_equal(word_value(enums[i].of, "no such word"), -EINVAL);
	}
	assert_int_equal(word_body("untracked_socket"), AFFIANT__V1__RECORD__BODY_UNTRACKED_SOCKET);
	assert_int_equal(word_body("process"), -EINVAL);
	assert_int_equal(word_body(""), -EINVAL);
	assert_string_equal(word_of_body(AFFIANT__V1__RECORD__BODY_GAP), "gap");
}

/* json.c reads fields by type: one that it does not know would be missing without a word. */
static void check_types(const ProtobufCMessageDescriptor *d)
{
	for (unsigned int i = 0; i < d->n_fields; i++) {
		switch (d->fields[i].type) {
		case PROTOBUF_C_TYPE_MESSAGE:
			check_types(d->fields[i].descriptor);
			break;
		case PROTOBUF_C_TYPE_BYTES:
		case PROTOBUF_C_TYPE_STRING:
		case PROTOBUF_C_TYPE_ENUM:
		case PROTOBUF_C_TYPE_BOOL:
		case PROTOBUF_C_TYPE_UINT64:
		case PROTOBUF_C_TYPE_INT32:
		case PROTOBUF_C_TYPE_UINT32:
			break;
		default:
			fail_msg("%s.%s has a type that record/json.c does not know", d->name,
				 d->fields[i].name);
		}
		if (d->fields[i].label == PROTOBUF_C_LABEL_REPEATED)
			assert_true(d->fields[i].type == PROTOBUF_C_TYPE_MESSAGE ||
				    d->fields[i].type == PROTOBUF_C_TYPE_STRING ||
				    d->fields[i].type == PROTOBUF_C_TYPE_BYTES);
	}
}

static void every_field_s_type_is_known(void **state)
{
	(void)state;
	check_types(&affiant__v1__record__descriptor);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_has_a_sample),
		cmocka_unit_test(classes),
		cmocka_unit_test(both_identities_travel_together),
		cmocka_unit_test(a_fold),
		cmocka_unit_test(a_connection),
		cmocka_unit_test(a_process),
		cmocka_unit_test(bytes_that_are_no_utf8),
		cmocka_unit_test(a_record_may_lack_everything),
		cmocka_unit_test(hashes_are_proven_ones),
		cmocka_unit_test(words_are_the_schema_s),
		cmocka_unit_test(every_field_s_type_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
