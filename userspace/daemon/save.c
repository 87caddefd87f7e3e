/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/pb.h"
#include "daemon/core.h"

#define STATE_FILE "state"
#define STATE_MAGIC "AFFSTAT1"
#define STATE_MAX (1u << 30)

struct state_header {
	char magic[8];
	uint32_t crc;
	uint32_t len;
};

static ssize_t read_at(int fd, void *to, size_t len, off_t at)
{
	ssize_t n = pread(fd, to, len, at);

	return n < 0 ? -errno : n;
}

/* -EBADMSG: damaged. */
static int state_unpack(int fd, Affiant__V1__State **ret)
{
	_cleanup_free_ uint8_t *packed = NULL;
	struct state_header h;
	Affiant__V1__State *m;
	ssize_t n;

	n = read_at(fd, &h, sizeof(h), 0);
	if (n < 0)
		return n;
	if (n != (ssize_t)sizeof(h) || memcmp(h.magic, STATE_MAGIC, 8) || h.len > STATE_MAX)
		return -EBADMSG;
	packed = malloc(h.len ?: 1);
	if (!packed)
		return -ENOMEM;
	n = read_at(fd, packed, h.len, sizeof(h));
	if (n < 0)
		return n;
	if (n != (ssize_t)h.len || crc32(0, packed, h.len) != h.crc)
		return -EBADMSG;
	m = affiant__v1__state__unpack(NULL, h.len, packed);
	if (!m)
		return -EBADMSG;
	if (m->boot_id.len != 16) {
		affiant__v1__state__free_unpacked(m, NULL);
		return -EBADMSG;
	}
	*ret = m;
	return 0;
}

int saved_read(struct core *c, char **ret_why)
{
	_cleanup_close_ int fd =
		openat(c->state_dir, STATE_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int err = fd < 0 ? -errno : state_unpack(fd, &c->saved);

	c->saved_damaged = err == -EBADMSG;
	if (c->saved_damaged)
		log_error("%s/" STATE_FILE ": damaged; only the journal that is left is read again",
			  c->config->state_dir);
	if (!err || err == -ENOENT || c->saved_damaged)
		return 0;
	if (asprintf(ret_why, "%s/" STATE_FILE ": %s", c->config->state_dir, strerror(-err)) < 0)
		*ret_why = NULL;
	return err;
}

int saved_drop(struct core *c)
{
	return unlinkat(c->state_dir, STATE_FILE, 0) && errno != ENOENT ? -errno : 0;
}

/* The file's bytes. */
static int pack(const Affiant__V1__State *m, uint8_t **ret, size_t *ret_len)
{
	size_t len = affiant__v1__state__get_packed_size(m);
	struct state_header h = {.magic = STATE_MAGIC, .len = len};
	uint8_t *data;

	if (len > STATE_MAX)
		return -EFBIG;
	data = malloc(sizeof(h) + len);
	if (!data)
		return -ENOMEM;
	affiant__v1__state__pack(m, data + sizeof(h));
	h.crc = crc32(0, data + sizeof(h), len);
	memcpy(data, &h, sizeof(h));
	*ret = data;
	*ret_len = sizeof(h) + len;
	return 0;
}

/* In the saver's thread: it takes twice as long as to make @state, and grows with it. */
static int pack_state(void *state, uint8_t **ret, size_t *ret_len)
{
	int err = pack(state, ret, ret_len);

	affiant__v1__state__free_unpacked(state, NULL);
	return err;
}

/* From here on events go to a journal of their own. */
static int take_state(struct core *c, struct saver_job *job)
{
	Affiant__V1__State *m;
	uint64_t index;
	int err;

	err = journal_rotate(c->journal, &index);
	if (err)
		return err;
	core_count_dropped(c);
	m = state_save(c->attribute);
	if (!m)
		return -ENOMEM;
	SET(m, journal_index, index);
	SET(m, ledger_sequence, ledger_next_sequence(c->ledger));
	SET(m, note_sequence, c->note_sequence);
	job->pack = pack_state;
	job->message = m;
	c->saving_index = index;
	/* Each file says by itself what time it was, and of which maps: the state may be lost. */
	(void)core_note_clock(c);
	(void)core_repeat_epoch(c);
	(void)core_note_budget(c);
	return 0;
}

/* Once, whenever it changes: it is tried every second. */
static void say_durable(struct core *c, int err)
{
	if (err && !c->undurable)
		log_error("%s/ledger: records can't be made durable (%s): a power cut may take those "
			  "since record %" PRIu64,
			  c->config->state_dir, strerror(-err), c->durable_sequence);
	else if (!err && c->undurable)
		log_notice("%s/ledger: records are made durable again", c->config->state_dir);
	c->undurable = err;
}

int save_begin(struct core *c, bool state)
{
	struct saver_job job = {.ledger = -1,
				.directory = c->state_dir,
				.name = STATE_FILE,
				.beside = STATE_FILE ".new"};
	int err;

	if (saver_busy(c->saver))
		return -EBUSY;
	if (state && (c->backlog || c->events_len))
		return -EAGAIN;
	err = ledger_sync_begin(c->ledger, &job.ledger);
	if (err && !c->full)
		say_durable(c, err);
	if (!err && state)
		err = take_state(c, &job);
	if (err) {
		closep(&job.ledger);
		return err;
	}
	c->saving = state;
	c->unsynced = false;
	c->saving_sequence = ledger_next_sequence(c->ledger);
	saver_start(c->saver, &job);
	return 0;
}

/*
 * The order matters: the records made so far are on disk before the state that contains them, and
 * that before the journal which they came from goes.
 */
bool save_end(struct core *c, bool wait, int *ret_err)
{
	int ledger, err, end;

	if (!saver_collect(c->saver, wait, &ledger, &err))
		return false;
	end = ledger_sync_end(c->ledger, ledger);
	err = err ?: end;
	say_durable(c, ledger);
	c->unsynced |= err != 0;
	c->save_error = err;
	if (!err)
		c->durable_sequence = c->saving_sequence;
	if (!err && c->saving) {
		journal_drop(c->journal, c->saving_index);
		/*
		 * The copy was as large as everything else, and came in between it. The saver's
		 * thread gives it back, which goes behind others: it doesn't do this, with a lock
		 * of malloc(3) that the loop waits for.
		 */
		(void)malloc_trim(0);
		/* Saving costs as much as the state is large: the larger, the rarer. */
		c->rotate_bytes = 2 * saver_length(c->saver) > CORE_JOURNAL_MIN
					  ? 2 * saver_length(c->saver)
					  : CORE_JOURNAL_MIN;
	}
	*ret_err = err;
	return true;
}

int state_write(struct core *c)
{
	int err;

	(void)save_end(c, true, &err);
	err = save_begin(c, true);
	if (!err)
		(void)save_end(c, true, &err);
	return err;
}
