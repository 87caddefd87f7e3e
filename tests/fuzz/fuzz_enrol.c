/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any JSON as each of the files of enrolment: refused by a member's name, or written and read
 * again.
 */
#include "attest/enrol.h"

#include <stdlib.h>

#include "attest/jose.h"

static void check(json_t *o, json_t *again)
{
	/* Members that are not known are gone, and nothing else. */
	if (!again || json_object_size(again) > json_object_size(o))
		abort();
	json_decref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct enrol_challenge challenge;
	struct enrol_request request;
	struct enrol_pending pending;
	struct enrol_checked checked;
	struct enrol_answer answer;
	const char *why = NULL;
	json_t *o;

	if (size > ENROL_FILE_MAX || jose_json(data, size, ENROL_DEPTH_MAX, &o) < 0)
		return 0;
	if (enrol_request_parse(o, &request, &why) == 0) {
		check(o, enrol_request_json(&request));
		(void)enrol_check_request(&request, NULL, 0, &checked, &why);
		enrol_request_clear(&request);
	} else if (enrol_pending_parse(o, &pending, &why) == 0) {
		check(o, enrol_pending_json(&pending));
		enrol_pending_clear(&pending);
	} else if (enrol_challenge_parse(o, &challenge, &why) == 0) {
		check(o, enrol_challenge_json(&challenge));
	} else if (enrol_answer_parse(o, &answer, &why) == 0) {
		check(o, enrol_answer_json(&answer));
	} else if (!why) {
		abort();
	}
	json_decref(o);
	return 0;
}
