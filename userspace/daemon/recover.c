/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/pb.h"
#include "collect/decode.h"
#include "collect/loss.h"
#include "collect/note.h"
#include "daemon/core.h"
#include "daemon/dropped.h"
#include "daemon/told.h"

/* The state that was saved for that boot, borrowed; NULL: there is none. */
static const Affiant__V1__State *saved_of(const struct core *c, const uint8_t boot_id[static 16])
{
	return c->saved && !memcmp(c->saved->boot_id.data, boot_id, 16) ? c->saved : NULL;
}

static void notice_daemon(struct replayed *r, const uint8_t *note, size_t len)
{
	Affiant__V1__NoteDaemon *m = affiant__v1__note_daemon__unpack(NULL, len, note);

	if (!m)
		return;
	r->stopped = m->stopped;
	r->gap |= m->gap && m->gap->reason == AFFIANT__V1__GAP_REASON__GAP_STATE;
	affiant__v1__note_daemon__free_unpacked(m, NULL);
}

/* A boot's first journal begins with an epoch that was found; those behind a state repeat it. */
static void notice_epoch(struct replayed *r, const uint8_t *note, size_t len)
{
	Affiant__V1__NoteEpoch *m = affiant__v1__note_epoch__unpack(NULL, len, note);

	if (!m)
		return;
	r->epoch = true;
	r->goes_on = !m->has_to_boottime_ns;
	affiant__v1__note_epoch__free_unpacked(m, NULL);
}

static void notice(struct core *c, const struct event_header *h)
{
	const uint8_t *note;
	size_t len;

	c->replayed.stopped = false;
	note = event_is_note(h) ? note_message(h, &len) : NULL;
	if (note && h->type == NOTE_DAEMON)
		notice_daemon(&c->replayed, note, len);
	if (note && h->type == NOTE_EPOCH && !c->replayed.epoch)
		notice_epoch(&c->replayed, note, len);
}

static int replay(void *core, const void *events, size_t len)
{
	const struct event_header *h;
	struct core *c = core;

	for (size_t at = 0; at < len; at += h->size) {
		int err = event_decode((const uint8_t *)events + at, len - at, &h);

		/* Its checksum held: written so by a program that knew other events. */
		if (err == -ENOTSUP) {
			attribute_unknown(c->attribute, h);
			continue;
		}
		if (err) {
			c->attribute->dropped[LOSS_EVENT]++;
			return 0;
		}
		if (event_is_note(h) && h->sequence >= c->note_sequence)
			c->note_sequence = h->sequence + 1;
		notice(c, h);
		err = attribute_event(c->attribute, h);
		if (err)
			return err;
	}
	return 0;
}

static void tell_recovery(struct core *c, const struct ledger_recovery *r)
{
	Affiant__V1__Record record = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__Gap gap = AFFIANT__V1__GAP__INIT;

	if (!r->repaired)
		return;
	log_warning("the ledger's end was damaged: %" PRIu64
		    " bytes were cut, and are told as a gap",
		    r->torn_bytes);
	SET(&gap, reason, AFFIANT__V1__GAP_REASON__GAP_TORN);
	if (r->torn_bytes)
		SET(&gap, bytes, r->torn_bytes);
	if (r->lost_first) {
		SET(&gap, first_sequence, r->lost_first);
		SET(&gap, last_sequence, r->lost_last);
	}
	record.body_case = AFFIANT__V1__RECORD__BODY_GAP;
	record.gap = &gap;
	core_tell(c, &record);
	c->repair_told = true;
}

/* The events in it can't be counted any more: the gaps in their numbers will show. */
static void note_damage(struct core *c, uint64_t bytes)
{
	if (!bytes)
		return;
	log_error("%s/journal: %" PRIu64 " bytes are damaged: what they told is lost",
		  c->config->state_dir, bytes);
	c->attribute->dropped[LOSS_JOURNAL] += bytes;
}

/* Ledger and attribution as @boot_id left them, and all of its journal read. */
static int read_boot(struct core *c, const struct attribute_config *config, char **ret_why)
{
	char path[4096];
	struct ledger_config ledger = {
		.directory = path,
		.segment_bytes = c->config->segment_bytes,
		.total_bytes = c->config->state_bytes,
	};
	const Affiant__V1__State none = AFFIANT__V1__STATE__INIT,
				 *found = saved_of(c, config->boot_id), *state = found ?: &none;
	struct ledger_recovery recovery;
	uint64_t damaged = 0;
	int err;

	c->replayed = (struct replayed){0};
	snprintf(path, sizeof(path), "%s/ledger", c->config->state_dir);
	memcpy(ledger.boot_id, config->boot_id, 16);
	err = told_new(&c->told)
		      ?: ledger_open(&ledger, state->ledger_sequence, told_add, c->told, &recovery,
				     &c->ledger);
	if (err && asprintf(ret_why, "%s: %s", path, strerror(-err)) < 0)
		*ret_why = NULL;
	err = err ?: attribute_new(config, &c->attribute);
	if (!err) {
		attribute_tick(c->attribute, core_boottime_ns());
		/* The state may be lost: a number must not be given twice. */
		c->note_sequence = told_notes(c->told);
		if (state->note_sequence > c->note_sequence)
			c->note_sequence = state->note_sequence;
	}
	if (!err && found) {
		err = state_load(c->attribute, state);
		if (err == -EBADMSG &&
		    asprintf(ret_why, "%s/state: contradicts itself; move it away",
			     c->config->state_dir) < 0)
			*ret_why = NULL;
	}
	if (!err)
		tell_recovery(c, &recovery);
	err = err
		      ?: journal_replay(c->journal, config->boot_id, state->journal_index, replay,
					c, &damaged);
	if (!err)
		note_damage(c, damaged);
	if (!err && !found)
		loss_resume(c->attribute, told_lost(c->told), told_lost_before(c->told));
	if (!err)
		dropped_restore(c->dropped, config->boot_id, c->attribute->dropped);
	return err;
}

/* What the kernel lost at the end, nobody knows any more. */
static void tell_last_losses(struct core *c)
{
	const uint64_t kernel[LOSS_ALL] = {0};
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;

	r.lost = loss_since(c->attribute, kernel);
	if (!r.lost)
		return;
	r.body_case = AFFIANT__V1__RECORD__BODY_LOST;
	core_tell(c, &r);
	affiant__v1__lost__free_unpacked(r.lost, NULL);
}

/*
 * Kernel programs outlive the daemon, but not the boot: what they saw and nobody read is gone with
 * their ring, and the end of the journal perhaps with a disk's cache.
 */
static void tell_reboot(struct core *c)
{
	const uint64_t source = (uint64_t)NOTE_CPU << 48 | NOTE_REBOOT_SEQUENCE;
	struct attribute *a = c->attribute;
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__Gap gap = AFFIANT__V1__GAP__INIT;

	if (c->replayed.stopped)
		return;
	SET(&gap, reason, AFFIANT__V1__GAP_REASON__GAP_REBOOT);
	if (a->newest_ns)
		SET(&gap, from_boottime_ns, a->newest_ns);
	r.body_case = AFFIANT__V1__RECORD__BODY_GAP;
	r.gap = &gap;
	(void)tell(a, source, PART_MAIN, a->newest_ns, &r, NULL, NULL);
}

/* Its sessions ended with it; what had not reached the ledger is told now. */
static int end_boot(struct core *c, const struct attribute_config *config, char **ret_why)
{
	int err = read_boot(c, config, ret_why);

	if (err)
		return err;
	attribute_finish(c->attribute, true);
	tell_last_losses(c);
	tell_reboot(c);
	core_flush(c);
	if (c->full)
		return c->full;
	err = ledger_sync(c->ledger);
	attribute_free(TAKE_PTR(c->attribute));
	ledger_close(TAKE_PTR(c->ledger));
	told_free(TAKE_PTR(c->told));
	return err;
}

/*
 * A state is of a boot whose journal may be gone, or damaged: what it knows is told all the same.
 * Then it goes, so that this is done once.
 */
static int end_saved_boot(struct core *c, struct attribute_config *config, bool ended,
			  char **ret_why)
{
	int err = 0;

	if (!c->saved || saved_of(c, c->boot_id))
		return 0;
	if (!ended) {
		memcpy(config->boot_id, c->saved->boot_id.data, 16);
		err = end_boot(c, config, ret_why);
	}
	return err ?: saved_drop(c);
}

static int end_boots(struct core *c, const struct attribute_config *config, char **ret_why)
{
	struct attribute_config old = *config;
	bool ended = false;
	int more;

	old.enrich = NULL;
	old.began = NULL;
	old.entered = NULL;
	while ((more = journal_other_boot(c->journal, c->boot_id, old.boot_id)) > 0) {
		uint8_t again[16];
		int err = end_boot(c, &old, ret_why);

		if (err)
			return err;
		ended |= saved_of(c, old.boot_id) != NULL;
		journal_forget(c->journal, old.boot_id);
		/* A directory that takes no more changes is found out elsewhere. */
		if (journal_other_boot(c->journal, c->boot_id, again) > 0 &&
		    !memcmp(again, old.boot_id, sizeof(again)))
			break;
	}
	return more < 0 ? more : end_saved_boot(c, &old, ended, ret_why);
}

static bool was_told(void *core, uint64_t source, uint32_t part)
{
	return told_has(((const struct core *)core)->told, source, part);
}

static bool was_ended(void *core, const struct uuid *session)
{
	return told_ended(((const struct core *)core)->told, session);
}

/*
 * A state directory that is brought back knows less than was told once: the time goes on, though,
 * and notes come at a far lower pace.
 */
static int number_notes(struct core *c)
{
	uint64_t now_ns;
	int err = source_boottime(c->source, &now_ns);

	if (!err && c->note_sequence < now_ns / 4000)
		c->note_sequence = now_ns / 4000;
	return err;
}

/*
 * Without a state, a journal has to begin where the boot does. One that goes on, or is not there
 * though the ledger has something of this boot, stood behind a state.
 */
static void find_lost(struct core *c)
{
	const struct replayed *r = &c->replayed;

	c->found = saved_of(c, c->boot_id) != NULL;
	c->state_lost = !c->found && (c->saved_damaged || r->goes_on ||
				      (!r->epoch && told_any(c->told)));
	c->known_until_ns = told_newest_ns(c->told);
}

int recover_note_lost(struct core *c)
{
	const struct attribute_config *config = &c->attribute->config;
	uint64_t waits = config->outcome_wait_ns > config->digest_wait_ns ? config->outcome_wait_ns
									   : config->digest_wait_ns;
	Affiant__V1__NoteDaemon m = AFFIANT__V1__NOTE_DAEMON__INIT;
	Affiant__V1__Gap gap = AFFIANT__V1__GAP__INIT;

	if (!c->state_lost || c->replayed.gap)
		return 0;
	log_error("%s: what was saved of this boot is gone: its sessions are not known any more, and "
		  "records that waited are lost, which a gap tells",
		  c->config->state_dir);
	SET(&gap, reason, AFFIANT__V1__GAP_REASON__GAP_STATE);
	/* One that waited is of a time before those that did not. */
	if (c->known_until_ns)
		SET(&gap, from_boottime_ns,
		    c->known_until_ns > waits ? c->known_until_ns - waits : 0);
	SET(&gap, to_boottime_ns, core_boottime_ns());
	m.gap = &gap;
	return core_note(c, NOTE_DAEMON, &m.base);
}

int recover(struct core *c, const struct attribute_config *config, uint64_t *ret_past,
	    char **ret_why)
{
	struct attribute_config mine = *config;
	char path[4096], file[JOURNAL_NAME_SIZE];
	int err;

	err = saved_read(c, ret_why);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/journal", c->config->state_dir);
	/* Where a state is that contains all below its index, a file below is not read again. */
	err = journal_open(path, c->boot_id, c->saved ? c->saved->journal_index : 0, file,
			   &c->journal);
	if (err && asprintf(ret_why, "%s%s%s: %s", path, *file ? "/" : "", file, strerror(-err)) < 0)
		*ret_why = NULL;
	mine.told = was_told;
	mine.ended = was_ended;
	err = err ?: end_boots(c, &mine, ret_why) ?: read_boot(c, &mine, ret_why) ?: number_notes(c);
	if (!err) {
		uint64_t told = told_highest(c->told), known = epoch_highest(c->attribute);

		*ret_past = told > known ? told : known;
	}
	if (!err)
		find_lost(c);
	/* What is told from now on is new. */
	told_free(TAKE_PTR(c->told));
	affiant__v1__state__free_unpacked(TAKE_PTR(c->saved), NULL);
	return err;
}
