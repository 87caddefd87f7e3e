/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/pb.h"
#include "collect/decode.h"
#include "daemon/alive.h"
#include "daemon/core.h"

/* Their tags were in the maps that are gone: nobody hears of them again. */
static uint64_t count_untracked(const struct core *c)
{
	struct process *p, *next;
	uint64_t n = 0;

	HASH_ITER (hh, c->attribute->table.processes, p, next) {
		_cleanup_close_ int pidfd = syscall(SYS_pidfd_open, p->key.tgid, 0);

		n += pidfd >= 0 &&
		     alive_is(c->aside, p->actor->session->key,
			      &(struct alive_process){pidfd, p->key.tgid, p->key.start}) != 0;
	}
	return n;
}

int core_note_epoch(struct core *c)
{
	Affiant__V1__NoteEpoch m = AFFIANT__V1__NOTE_EPOCH__INIT;
	bool before = c->attribute->epoch.known;
	struct source_epoch epoch;

	source_get_epoch(c->source, &epoch);
	if (epoch_is(c->attribute, epoch.id))
		return 0;
	SET(&m, id, pb_bytes(epoch.id, sizeof(epoch.id)));
	/* As if they had been known: who was to tell where they began did so, and is gone. */
	if (!before && c->state_lost && source_continued(c->source))
		return core_note(c, NOTE_EPOCH, &m.base);
	SET(&m, first, epoch.base + 1);
	SET(&m, to_boottime_ns, core_boottime_ns());
	SET(&m, untracked, count_untracked(c));
	if (before)
		log_warning(
			"tracing was removed, or the state is not of these kernel maps: the sessions "
			"that lived then have ended, and %" PRIu64
			" processes of theirs stay untracked",
			m.untracked);
	return core_note(c, NOTE_EPOCH, &m.base);
}

int core_repeat_epoch(struct core *c)
{
	Affiant__V1__NoteEpoch m = AFFIANT__V1__NOTE_EPOCH__INIT;

	SET(&m, id, pb_bytes(c->attribute->epoch.id, sizeof(c->attribute->epoch.id)));
	return c->attribute->epoch.known ? core_note(c, NOTE_EPOCH, &m.base) : 0;
}
