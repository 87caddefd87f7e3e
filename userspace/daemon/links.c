/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the kernel still runs our programs: who may, can detach their links. */
#include <stdlib.h>

#include "base/log.h"
#include "base/pb.h"
#include "daemon/core.h"

static void tell_detached(struct core *c, const char *hook)
{
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__Gap gap = AFFIANT__V1__GAP__INIT;

	log_error("%s: somebody detached the program there: what it sees is not recorded until "
		  "affiantd starts anew",
		  hook);
	SET(&gap, reason, AFFIANT__V1__GAP_REASON__GAP_TRACING_REMOVED);
	SET(&gap, from_boottime_ns, c->links_ns);
	gap.what = (char *)hook;
	r.body_case = AFFIANT__V1__RECORD__BODY_GAP;
	r.gap = &gap;
	core_tell(c, &r);
}

/* Attached anew it would stand behind others. A start finds the link gone, and begins anew. */
void core_look_at_links(struct core *c)
{
	const uint64_t now = core_boottime_ns(), detached = source_detached(c->source);

	for (size_t i = 0; source_hook(i); i++)
		if (detached & ~c->detached & (uint64_t)1 << i)
			tell_detached(c, source_hook(i));
	c->detached |= detached;
	c->links_ns = now;
}
