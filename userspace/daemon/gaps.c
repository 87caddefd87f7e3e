/* SPDX-License-Identifier: Apache-2.0 */
/* What is no longer in the ledger, told as Gap records. */
#include <inttypes.h>

#include "base/log.h"
#include "base/pb.h"
#include "daemon/core.h"

static void tell_removed(struct core *c)
{
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__Gap gap = AFFIANT__V1__GAP__INIT;

	if (!ledger_removed(c->ledger, &gap.first_sequence, &gap.last_sequence, &gap.bytes))
		return;
	gap.has_first_sequence = gap.has_last_sequence = true;
	gap.has_bytes = gap.bytes != 0; /* where only the place of them is known */
	SET(&gap, reason, AFFIANT__V1__GAP_REASON__GAP_RETENTION);
	r.body_case = AFFIANT__V1__RECORD__BODY_GAP;
	r.gap = &gap;
	core_tell(c, &r);
}

/* They are there, but the disk would not say that it has them. */
static void tell_doubted(struct core *c)
{
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__Gap gap = AFFIANT__V1__GAP__INIT;

	if (!ledger_doubted(c->ledger, &gap.first_sequence, &gap.last_sequence))
		return;
	gap.has_first_sequence = gap.has_last_sequence = true;
	SET(&gap, reason, AFFIANT__V1__GAP_REASON__GAP_UNSYNCED);
	r.body_case = AFFIANT__V1__RECORD__BODY_GAP;
	r.gap = &gap;
	core_tell(c, &r);
}

/* Somebody else removed it: there is nothing that could be read again. */
static void tell_holes(struct core *c)
{
	Affiant__V1__Gap gap = AFFIANT__V1__GAP__INIT;
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;

	while (ledger_hole(c->ledger, &gap.first_sequence, &gap.last_sequence)) {
		log_error("%s/ledger: records %" PRIu64 " to %" PRIu64
			  " are gone: their files were removed or cut by others",
			  c->config->state_dir, gap.first_sequence, gap.last_sequence);
		c->void_records += gap.last_sequence - gap.first_sequence + 1;
		gap.has_first_sequence = gap.has_last_sequence = true;
		SET(&gap, reason, AFFIANT__V1__GAP_REASON__GAP_VOID);
		r.body_case = AFFIANT__V1__RECORD__BODY_GAP;
		r.gap = &gap;
		core_tell(c, &r);
	}
}

void core_tell_gaps(struct core *c)
{
	tell_removed(c);
	tell_doubted(c);
	tell_holes(c);
}

void core_check_ledger(struct core *c)
{
	int err = ledger_check(c->ledger);

	if (err)
		core_set_full(c, err);
}
