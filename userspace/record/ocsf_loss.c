/* SPDX-License-Identifier: Apache-2.0 */
/* What OCSF has of losses: an Application Error. */
#include <string.h>

#include "record/ocsf_object.h"
#include "record/words.h"

/* Numbers that never came are mostly of events that are counted by what lost them, too. */
static uint64_t lost_sum(const Affiant__V1__Lost *m, bool numbers)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < m->n_counts; i++) {
		const Affiant__V1__LostCount *c = m->counts[i];

		if ((c->stage && !strcmp(c->stage, "sequence")) == numbers &&
		    __builtin_add_overflow(sum, c->count, &sum))
			sum = INT64_MAX;
	}
	return sum;
}

void ocsf_put_lost(struct json_builder *b, json_t *root, const Affiant__V1__Lost *m,
		   json_t *unmapped)
{
	uint64_t sum = lost_sum(m, false) ?: lost_sum(m, true);

	if (sum <= INT64_MAX)
		json_put(b, root, "count", json_integer(sum));
	json_put(b, root, "message", json_string("Events were lost before they became records."));
	json_put_message(b, unmapped, "lost", &m->base, NULL);
}

void ocsf_put_gap(struct json_builder *b, json_t *root, const Affiant__V1__Gap *m,
		  json_t *unmapped)
{
	static const char *const messages[] = {
		[AFFIANT__V1__GAP_REASON__GAP_UNKNOWN] = "Something is missing.",
		[AFFIANT__V1__GAP_REASON__GAP_RETENTION] =
			"The oldest records were removed: the ledger has its size.",
		[AFFIANT__V1__GAP_REASON__GAP_TORN] =
			"The ledger's end was damaged: it was cut off.",
		[AFFIANT__V1__GAP_REASON__GAP_SELECTORS] =
			"What a selector should take could not be watched.",
		[AFFIANT__V1__GAP_REASON__GAP_TRACING_REMOVED] =
			"The kernel programs were removed: nothing was seen.",
		[AFFIANT__V1__GAP_REASON__GAP_VOID] =
			"Records are gone from the ledger, and nobody said that they would be.",
		[AFFIANT__V1__GAP_REASON__GAP_REBOOT] =
			"The host went down: what was done last is not known.",
		[AFFIANT__V1__GAP_REASON__GAP_STATE] =
			"The daemon's saved state is gone, with what waited in it.",
		[AFFIANT__V1__GAP_REASON__GAP_UNSYNCED] =
			"The disk refused to make records durable.",
	};
	unsigned int reason = m->reason;

	if (reason >= sizeof(messages) / sizeof(*messages) || !messages[reason])
		reason = AFFIANT__V1__GAP_REASON__GAP_UNKNOWN;
	json_put(b, root, "message", json_string(messages[reason]));
	json_put(b, root, "status_detail",
		 json_string(word_of(&affiant__v1__gap_reason__descriptor, m->reason)));
	json_put_message(b, unmapped, "gap", &m->base, MAPPED("reason"));
}
