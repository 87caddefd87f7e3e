/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pb.h"
#include "collect/decode.h"
#include "daemon/core.h"
#include "daemon/joining.h"
#include "daemon/turn.h"

#define NOTES 16 /* in one turn of the loop */

int core_note_budget(struct core *c)
{
	Affiant__V1__NoteFold m = AFFIANT__V1__NOTE_FOLD__INIT;

	SET(&m, state_bytes, c->config->state_bytes);
	return core_note(c, NOTE_FOLD, &m.base);
}

static void tell_folded(struct core *c, uint64_t now_ns)
{
	Affiant__V1__NoteFold *m;
	int err = 0;

	c->folding = false;
	for (int i = 0; i < NOTES && !err && !c->full; i++) {
		if (!effort_goes_on()) {
			c->folding = true;
			return;
		}
		m = fold_due(c->attribute, now_ns);
		if (!m)
			return;
		err = core_note(c, NOTE_FOLD, &m->base); /* otherwise in a second */
		affiant__v1__note_fold__free_unpacked(m, NULL);
	}
}

void core_keep_budgets(struct core *c, uint64_t now_ns)
{
	tell_folded(c, now_ns);
	if (!c->full && !c->folding)
		joining_look(c, now_ns);
}
