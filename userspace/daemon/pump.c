/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <utlist.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/pb.h"
#include "collect/decode.h"
#include "collect/loss.h"
#include "collect/manifest.h"
#include "collect/note.h"
#include "daemon/core.h"
#include "daemon/dropped.h"
#include "daemon/evidence.h"
#include "daemon/limits.h"
#include "daemon/turn.h"

#define DRAINS_MAX 256      /* outside of a turn of the loop, which has bounds of its own */
#define BATCH_SIZE (1u << 16) /* of events that are taken in one go */
#define BUSY_NS 1000000ull  /* look again so soon while events come */
#define IDLE_NS 20000000ull /* and so late at most: a wake-up can be missed */
#define IDLE_AFTER 5

/* ---- what goes out ---- */

static int append(struct core *c, uint64_t source, uint32_t part, const uint8_t *record, size_t len)
{
	uint8_t whole[SEGMENT_PAYLOAD_MAX + 16];
	uint64_t sequence;
	int err;

	if (len > SEGMENT_PAYLOAD_MAX - 11)
		return -EMSGSIZE;
	sequence = ledger_next_sequence(c->ledger);
	memcpy(whole, record, len);
	/* Record.sequence: field 2, a varint. Only the ledger knows it. */
	whole[len++] = 2 << 3;
	for (; sequence >= 0x80; sequence >>= 7)
		whole[len++] = sequence | 0x80;
	whole[len++] = sequence;
	err = ledger_append(c->ledger, source, part, whole, len);
	c->unsynced |= !err;
	return err;
}

static void keep_back(struct core *c, uint64_t source, uint32_t part, const uint8_t *record,
		      size_t len)
{
	struct backlog *b = malloc(sizeof(*b) + len);

	if (!b) {
		limit_met(LIMIT_MEMORY);
		log_error("out of memory and of disk: a record is lost");
		c->attribute->dropped[LOSS_RECORD]++;
		return;
	}
	*b = (struct backlog){.source = source, .part = part, .len = len};
	memcpy(b->record, record, len);
	*c->backlog_end = b;
	c->backlog_end = &b->next;
}

void core_set_full(struct core *c, int err)
{
	if (!c->full)
		log_error("%s: cannot be written (%s): events wait in the kernel until it can",
			  c->config->state_dir, strerror(-err));
	c->full = err;
}

void core_emit(void *core, uint64_t source, uint32_t part, const uint8_t *record, size_t len)
{
	struct core *c = core;
	int err;

	err = c->backlog ? -ENOSPC : append(c, source, part, record, len);
	if (err == -EMSGSIZE) {
		log_error("a record of %zu bytes is larger than a segment takes, and is lost", len);
		c->attribute->dropped[LOSS_RECORD]++;
	} else if (err) {
		keep_back(c, source, part, record, len);
		core_set_full(c, err);
	}
}

void core_flush(struct core *c)
{
	struct ledger_stats stats;
	struct backlog *b;
	int err = 0;

	while (!err && effort_goes_on() && (b = c->backlog)) {
		effort.bytes += b->len;
		err = append(c, b->source, b->part, b->record, b->len);
		if (err)
			break;
		c->backlog = b->next;
		if (!c->backlog)
			c->backlog_end = &c->backlog;
		free(b);
	}
	err = err ?: ledger_flush(c->ledger);
	if (err) {
		core_set_full(c, err);
		return;
	}
	/* The journal, which is on the same disk, may still find no room. */
	if (c->full && !c->events_len && !c->backlog) {
		log_notice("%s: can be written again", c->config->state_dir);
		c->full = 0;
	}
	/* Not before it is in the ledger: it could be in the backlog. */
	if (c->repair_told)
		ledger_repair_told(c->ledger);
	c->repair_told = false;
	core_tell_gaps(c);
	if (!c->server)
		return;
	ledger_stats(c->ledger, &stats);
	server_appended(c->server, stats.current_index, stats.next_sequence - 1);
}

void core_tell(struct core *c, Affiant__V1__Record *r)
{
	/* Of an earlier boot, it is of when that was heard of last. */
	bool now = !memcmp(c->attribute->config.boot_id, c->boot_id, sizeof(c->boot_id));

	(void)tell(c->attribute, TELL_NO_SOURCE, PART_MAIN,
		   now ? core_boottime_ns() : c->attribute->seen.now_ns, r, NULL, NULL);
}

/* ---- what comes in ---- */

/* Notes that were made meanwhile come behind the events that they waited for. */
static void apply_notes(struct core *c)
{
	struct waiting_note *n;

	while ((n = c->waiting_notes)) {
		LL_DELETE(c->waiting_notes, n);
		c->attribute->dropped[LOSS_EVENT] += attribute_event(c->attribute, n->note) != 0;
		free(n->note);
		free(n);
	}
}

/* What can't be taken is counted. */
static void apply(struct core *c)
{
	const uint8_t *events = c->events;
	const size_t len = c->events_len;
	uint64_t *dropped = &c->attribute->dropped[LOSS_EVENT], before = *dropped;
	const struct event_header *h;

	c->events_len = 0;
	c->journaled = false;
	for (size_t at = 0; at < len; at += h->size) {
		int err = event_decode(events + at, len - at, &h);

		if (err == -ENOTSUP) {
			attribute_unknown(c->attribute, h);
			continue;
		}
		if (!err)
			err = attribute_event(c->attribute, h);
		*dropped += !!err;
		if (err == -EBADMSG) /* what stands behind it leaves a gap in the numbers */
			break;
	}
	if (*dropped != before)
		log_error("%" PRIu64 " events are not recorded: this version does not know them, "
			  "or memory is short",
			  *dropped - before);
	apply_notes(c);
}

int core_note(struct core *c, uint16_t type, const ProtobufCMessage *message)
{
	_cleanup_free_ struct event_header *h = NULL;
	struct waiting_note *w = NULL;
	int err;

	/* Events that were read before the note have to come before it in the journal. */
	if (c->events_len) {
		err = core_drain(c);
		if (err || (c->events_len && !c->journaled))
			return err ?: c->full ?: -EAGAIN;
	}
	/* And be told before it, which may be in a later turn. */
	if (c->journaled) {
		w = malloc(sizeof(*w));
		if (!w)
			return -ENOMEM;
	}
	err = note_new(type, c->note_sequence, core_boottime_ns(), message, &h)
		      ?: journal_append(c->journal, h, h->size);
	if (err) {
		free(w);
		return err;
	}
	c->note_sequence++;
	if (!w)
		return attribute_event(c->attribute, h);
	w->note = TAKE_PTR(h);
	LL_APPEND(c->waiting_notes, w);
	return 0;
}

/* 1: there was something, and it is in the journal now. */
static int take(struct core *c)
{
	int err;

	if (c->journaled)
		return 1;
	if (!c->events_len) {
		err = source_read(c->source, c->events, BATCH_SIZE, &c->events_len);
		if (err)
			return err;
		if (!c->events_len)
			return 0;
		redact_events(c->redact, c->events, c->events_len);
		listening_fill(&c->listening, c->events, c->events_len);
	}
	err = journal_append(c->journal, c->events, c->events_len);
	if (err) {
		core_set_full(c, err);
		return err;
	}
	source_release(c->source);
	c->journaled = true;
	/* What an exec opened was queued before its event: read behind it, it is complete. */
	if (c->chain)
		chain_expect(c->chain);
	return 1;
}

int core_drain(struct core *c)
{
	const uint64_t began = core_boottime_ns(), written = source_written(c->source);
	bool waits = c->journaled;
	int n = 0;

	/*
	 * With records that the disk did not take, nothing more is read: they are in memory alone.
	 * What was read already has to go on, whatever the turn has done before.
	 */
	while (n < DRAINS_MAX && !c->backlog && (c->events_len || effort_goes_on()) && take(c) > 0) {
		n++;
		/* How much fanotify has is for others to choose. */
		if (c->chain && chain_read(c->chain) > 0)
			break;
		apply(c);
		/* Not to begin with the next one what ends in the next turn again: others note then. */
		if (waits)
			break;
	}
	c->idle = n ? 0 : c->idle + 1;
	/* All that was told by then is known: what comes next happened after this began. */
	if (!c->events_len && source_taken(c->source) >= written)
		c->drained_ns = began;
	return 0;
}

void core_count_dropped(struct core *c)
{
	uint64_t lost = c->chain ? chain_lost(c->chain) : c->chain_lost;

	c->attribute->dropped[LOSS_CHAIN] += lost - c->chain_lost;
	c->chain_lost = lost;
	if (c->recovered)
		dropped_keep(c->dropped, c->boot_id, c->attribute->dropped);
}

static void tell_losses(struct core *c)
{
	uint64_t totals[LOSS_ALL] = {0};
	Affiant__V1__Lost *m;
	int err;

	/* They are told when there is room for it. */
	if (c->full || source_losses(c->source, totals, &totals[LOSS_HOOK]) < 0)
		return;
	core_count_dropped(c);
	m = loss_since(c->attribute, totals);
	if (!m)
		return;
	err = core_note(c, NOTE_LOST, &m->base);
	if (err)
		log_error("losses can't be told yet: %s", strerror(-err));
	affiant__v1__lost__free_unpacked(m, NULL);
}

static void save_failed(struct core *c, int err)
{
	log_error("%s: the state can't be saved (%s): the journal grows until it can",
		  c->config->state_dir, strerror(-err));
	c->rotate_bytes = 2 * journal_bytes(c->journal);
}

/* A second at most is lost by a power cut. */
static void save_now_and_then(struct core *c, uint64_t now)
{
	bool state;
	int err;

	if (save_end(c, false, &err) && err && c->saving)
		save_failed(c, err);
	state = journal_bytes(c->journal) > c->rotate_bytes;
	if (!state && (!c->unsynced || now - c->synced_ns <= CORE_SECOND_NS))
		return;
	err = save_begin(c, state);
	if (!err)
		c->synced_ns = now;
	else if (state && err != -EBUSY)
		save_failed(c, err);
}

/*
 * With the last session its filesystems' marks go: every exec on them is an event. With selectors
 * they stay, and what is mounted on the host meanwhile is marked, too.
 */
static void look_at_mounts(struct core *c)
{
	if (c->config->selectors_count)
		core_watch_host(c);
	else if (c->chain && !c->attribute->table.sessions && !c->openings)
		(void)chain_unwatch_all(c->chain); /* otherwise in five seconds */
}

/* What does not have to be done each time. */
static void now_and_then(struct core *c, uint64_t now)
{
	if (now - c->clock_ns > CORE_SECOND_NS) {
		c->clock_ns = now;
		core_keep_clock(c);
	}
	if (now - c->losses_ns > CORE_SECOND_NS) {
		c->losses_ns = now;
		if (source_any_untagged(c->source))
			limit_met(LIMIT_TAGS);
		limits_look(now);
		tell_losses(c);
		core_keep_budgets(c, now);
	} else if (c->folding) {
		core_keep_budgets(c, now);
	}
	reconcile_untagged(c, now);
	if (reconcile_goes_on(c)) {
		reconcile(c);
	} else if (now - c->reconciled_ns > 5 * CORE_SECOND_NS) {
		c->reconciled_ns = now;
		core_check_ledger(c);
		core_look_at_links(c);
		core_look_at_disks(c);
		reconcile(c);
		selectors_refresh(c->selectors);
		look_at_mounts(c);
	}
	save_now_and_then(c, now);
}

static int turn(struct core *c)
{
	uint64_t now, next;
	int err;

	source_sleep(c->source, false);
	err = core_drain(c);
	if (c->aside)
		aside_collect(c->aside);
	if (!c->journaled) /* nobody is over before that is told */
		sessions_over(c);
	sessions_kill(c);
	enrich_collect(c->enrich, c->drained_ns);
	now = core_boottime_ns();
	next = attribute_tick(c->attribute, now);
	core_flush(c);
	if (!c->journaled) /* what is told here is of after those events */
		now_and_then(c, now);
	core_count_dropped(c);
	/* Who waits for evidence waits for the disk, a thread that says nothing when it is done. */
	if (evidence_turn(c->evidence))
		c->idle = 0;

	if (c->idle > IDLE_AFTER && !c->full) {
		source_sleep(c->source, true);
		/* What came between the last look and the flag sent no wake-up. */
		if (source_ring_used(c->source))
			next = now;
	}
	/* It left off somewhere: what else is ready goes first, then this goes on. */
	if (!effort_goes_on()) {
		c->idle = 0;
		next = now;
	}
	next = next < now + IDLE_NS ? next : now + IDLE_NS;
	if (c->idle <= IDLE_AFTER && next > now + BUSY_NS)
		next = now + BUSY_NS;
	return err ?: sd_event_source_set_time(c->timer, next / 1000) ?:
	       sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

static int on_time(sd_event_source *s, uint64_t usec, void *core)
{
	(void)s, (void)usec;
	return turn(core);
}

static int on_readable(sd_event_source *s, int fd, uint32_t revents, void *core)
{
	struct core *c = core;

	(void)s, (void)fd, (void)revents;
	c->idle = 0;
	return turn(c);
}

static int on_chain(sd_event_source *s, int fd, uint32_t revents, void *core)
{
	struct core *c = core;

	(void)s, (void)fd, (void)revents;
	chain_read(c->chain);
	return 0;
}

static int on_measured(sd_event_source *s, int fd, uint32_t revents, void *core)
{
	(void)s, (void)fd, (void)revents;
	opening_collect(core);
	return 0;
}

static int on_aside(sd_event_source *s, int fd, uint32_t revents, void *core)
{
	struct core *c = core;

	(void)s, (void)fd, (void)revents;
	aside_collect(c->aside);
	return 0;
}

void core_wake(struct core *c)
{
	(void)sd_event_source_set_time(c->timer, 0);
	(void)sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

int core_start(struct core *c)
{
	int err;

	err = selectors_start(c->selectors);
	err = err < 0 ? err
		      : sd_event_add_time(c->event, &c->timer, CLOCK_BOOTTIME, 0, 1, on_time, c);
	err = err < 0 ? err
		      : sd_event_add_io(c->event, NULL, source_fd(c->source), EPOLLIN | EPOLLET,
					on_readable, c);
	err = err < 0 ? err
		      : sd_event_add_io(c->event, NULL, filehash_fd(c->hash), EPOLLIN, on_readable,
					c);
	err = err < 0 ? err
		      : sd_event_add_io(c->event, NULL, manifests_fd(c->manifests), EPOLLIN,
					on_measured, c);
	err = err < 0 ? err
		      : sd_event_add_io(c->event, NULL, aside_fd(c->aside), EPOLLIN, on_aside, c);
	if (err >= 0 && c->chain)
		err = sd_event_add_io(c->event, NULL, chain_fd(c->chain), EPOLLIN, on_chain, c);
	return err < 0 ? err : evidence_start(c->evidence);
}
