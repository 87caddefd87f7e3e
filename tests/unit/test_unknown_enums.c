/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of a later version's enums, wherever one stands: they are shown as unknown, and nothing more happens. */
#include "samples.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/pb.h"
#include "cli/answer.h"
#include "cli/compact.h"
#include "cli/filter.h"
#include "record/json.h"
#include "record/ocsf.h"
#include "record/words.h"

static const int numbers[] = {-1, 15, 16, 99, 65536, INT_MAX, INT_MIN};

#define EACH_NUMBER(n) for (size_t n = 0; n < sizeof(numbers) / sizeof(*numbers); n++)

static struct filter *asking; /* for some types, and an outcome */

static void show(const Affiant__V1__Record *r)
{
	static const struct compact_style style = {};
	_cleanup_buffer_ struct buffer ocsf = {}, line = {};
	struct json_builder b = {};
	json_t *o;

	assert_int_equal(ocsf_of_record(r, &ocsf), 0);
	assert_true(ocsf.len > 0);
	compact_line(r, &style, &line);
	filter_match(asking, r);
	filter_hides_loss(asking, r);
	filter_hides_folded(asking, r);
	assert_int_equal(buffer_error(&line), 0);
	o = json_of_message(&b, &r->base, NULL);
	assert_false(b.failed);
	json_decref(o);
	buffer_done(&b.scratch);
}

static size_t visit(const Affiant__V1__Record *r, ProtobufCMessage *m);

static size_t visit_field(const Affiant__V1__Record *r, const ProtobufCFieldDescriptor *field,
			  void *value)
{
	int *number = value, was;

	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return *(ProtobufCMessage **)value ? visit(r, *(ProtobufCMessage **)value) : 0;
	if (field->type != PROTOBUF_C_TYPE_ENUM)
		return 0;
	was = *number;
	EACH_NUMBER (n) {
		*number = numbers[n];
		show(r);
	}
	*number = was;
	return 1;
}

/* Every enum of @m and of what is in it, one after another. */
static size_t visit(const Affiant__V1__Record *r, ProtobufCMessage *m)
{
	size_t found = 0;

	for (unsigned int i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &m->descriptor->fields[i];
		uint8_t *member = (uint8_t *)m + field->offset;
		const unsigned int *which = (void *)((uint8_t *)m + field->quantifier_offset);

		if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF && *which != field->id)
			continue;
		if (field->label != PROTOBUF_C_LABEL_REPEATED) {
			found += visit_field(r, field, member);
			continue;
		}
		for (size_t k = 0; k < *(const size_t *)which; k++)
			if (field->type == PROTOBUF_C_TYPE_MESSAGE)
				found += visit(r, (*(ProtobufCMessage ***)member)[k]);
			else if (field->type == PROTOBUF_C_TYPE_ENUM)
				found += visit_field(r, field, *(int **)member + k);
	}
	return found;
}

static void test_records(void **state)
{
	size_t found = 0;

	(void)state;
	assert_int_equal(filter_new(&asking), 0);
	assert_int_equal(filter_add(asking, FILTER_TYPE, "connect,folded"), 0);
	assert_int_equal(filter_add(asking, FILTER_OUTCOME, "refused,unknown"), 0);
	for (size_t i = 0; i < samples_count; i++)
		found += visit(samples[i].record,
			       (ProtobufCMessage *)&samples[i].record->base);
	filter_free(asking);
	assert_true(found > 100);
}

static void check_session(const Affiant__V1__SessionInfo *s, const char *isolation,
			  const char *assurance)
{
	json_t *o = answer_session_json(s);

	assert_string_equal(json_string_value(json_object_get(o, "isolation")), isolation);
	assert_string_equal(json_string_value(json_object_get(o, "assurance")), assurance);
	json_decref(o);
}

/* affiant sessions -o json: with the words that records have. */
static void test_sessions(void **state)
{
	Affiant__V1__SessionInfo s = AFFIANT__V1__SESSION_INFO__INIT;
	Affiant__V1__Session session = AFFIANT__V1__SESSION__INIT;
	Affiant__V1__Principal principal = AFFIANT__V1__PRINCIPAL__INIT;

	(void)state;
	s.session = &session;
	s.principal = &principal;
	SET(&session, isolation, AFFIANT__V1__ISOLATION__ISOLATION_LANDLOCK);
	SET(&principal, assurance, AFFIANT__V1__ASSURANCE__ASSURANCE_ASSERTED);
	check_session(&s, "landlock", "asserted");
	SET(&session, isolation, AFFIANT__V1__ISOLATION__ISOLATION_UID);
	SET(&principal, assurance, AFFIANT__V1__ASSURANCE__ASSURANCE_VERIFIED);
	check_session(&s, "uid", "verified");
	EACH_NUMBER (n) {
		session.isolation = (Affiant__V1__Isolation)numbers[n];
		principal.assurance = (Affiant__V1__Assurance)numbers[n];
		check_session(&s, "unknown", "unknown");
	}
}

static void test_words(void **state)
{
	(void)state;
	EACH_NUMBER (n) {
		assert_string_equal(word_of(&affiant__v1__isolation__descriptor, numbers[n]),
				    "unknown");
		assert_string_equal(
			word_of_body((Affiant__V1__Record__BodyCase)(numbers[n] == 15 ? 1000 : numbers[n])),
			"unknown");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
